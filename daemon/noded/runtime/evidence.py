"""Where does a silent instance stand? What its program and the kernel tell of it, in one line for people.

Everything told is data of an untrusted program: counted, cut, never believed.
"""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Mapping

from noded.ports import Heartbeat, Nodes, PortError, Processes

TIME = 0.25
"""Longest time that evidence may delay the end of a silence."""
FRAMES = 3
PLACES = 4
LONGEST = 300
STOPPED = ("T", "t", "Z")
DIGEST = re.compile("[0-9a-f]{64}")


async def gathered(processes: Processes, nodes: Nodes, instance: str, state: str) -> str:
    found = {"threads": "", "stack": ""}

    async def threads() -> None:
        with contextlib.suppress(PortError, TimeoutError):
            async with asyncio.timeout(TIME):
                found["threads"] = _threads(await processes.inspect(instance))

    async def stack() -> None:
        with contextlib.suppress(PortError):
            found["stack"] = _stack(await nodes.order(instance, {"do": "describe"}, TIME))

    async with asyncio.TaskGroup() as group:
        group.create_task(threads())
        if state not in STOPPED:
            group.create_task(stack())
    parts = (found["stack"], found["threads"], _waiting(nodes.heartbeat(instance)))
    return "; ".join(part for part in parts if part)[:LONGEST]


def _waiting(beat: Heartbeat | None) -> str:
    return (
        f"its oldest request waits for {beat.oldest:.0f} s" if beat is not None and beat.oldest >= 1 else ""
    )


def _threads(told: Mapping[str, object]) -> str:
    """ "3 threads: 2 in futex_wait_queue, 1 running"."""
    listed = told.get("wchans")
    threads = [thread for thread in listed if isinstance(thread, Mapping)] if isinstance(listed, list) else []
    places = Counter(_place(thread) for thread in threads)
    if not places:
        return ""
    named = ", ".join(f"{count} {place}" for place, count in places.most_common(PLACES))
    return f"{len(threads)} thread{'s' if len(threads) > 1 else ''}: {named}"


def _place(thread: Mapping[str, object]) -> str:
    place, state = _plain(thread.get("wchan"), 40), _plain(thread.get("state"), 1)
    if place in ("", "0"):
        return "running" if state == "R" else f"in state {state}"
    return f"in {place}"


def _stack(told: Mapping[str, object]) -> str:
    """The innermost frames of its main thread: "main.py:12 block < nodekit/routes.py:67 dispatch"."""
    listed = told.get("stack")
    frames = [_plain(frame, 200) for frame in listed[:FRAMES]] if isinstance(listed, list) else []
    return " < ".join(_near(frame) for frame in frames if frame)


def _near(frame: str) -> str:
    """The end of its path, without the folder that is named by a release's content."""
    folder, _, file = frame.rpartition("/")
    name = folder.rpartition("/")[2]
    return file if not name or DIGEST.fullmatch(name) else f"{name}/{file}"


def _plain(value: object, most: int) -> str:
    text = value[:most] if isinstance(value, str) else ""
    return "".join(c if c.isprintable() else " " for c in text)
