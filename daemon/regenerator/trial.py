"""How do the parent and a candidate behave when they really run?

Everything is seen from outside: exit codes, resident memory from /proc, wall time. What a node prints is
only compared in length of its test counts and shown; it never decides for it.
"""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import stat
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from nodespec.environment import with_site
from nodespec.manifest import NodeSpec
from regenerator.children import KEPT_OUTPUT, Child, Ran, child, run
from regenerator.incident import Incident
from regenerator.processes import end_strays
from regenerator.sandbox import Sandbox

SAMPLE_SECONDS = 0.02
SOAK_SECONDS = 60.0
FAULT_SECONDS = 2.0
"""So long after its load failed the end of a node may still be told."""
SUMMARY = re.compile(r"(?:Ran (\d+) test|(\d+) passed|skipped[ =](\d+)|(\d+) skipped)")


class Deadline:
    """The overall budget of seconds; every child gets what is left at most."""

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self._end = time.monotonic() + budget

    @property
    def left(self) -> float:
        return max(self._end - time.monotonic(), 0.0)

    def at_most(self, seconds: float) -> float:
        return min(seconds, self.left)


@dataclass(frozen=True, slots=True)
class Room:
    """In what the tests of a node run."""

    spec: NodeSpec
    env: Mapping[str, str]
    """What every node of the host starts from."""
    sandbox: Sandbox
    deadline: Deadline
    origin: Path
    """The release as PYTHONPATH in `env` may name it."""


@dataclass(frozen=True, slots=True)
class Bench(Room):
    """What every trial of a candidate needs."""

    incident: Incident


@dataclass(frozen=True, slots=True)
class Tested:
    """One run of the node's tests; the counts are -1 when they could not be seen."""

    ran: Ran
    count: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Load:
    """One soak run against a freshly started node: resident bytes over time, after which end."""

    requests: int
    seconds: float
    samples: tuple[tuple[float, int], ...]
    fault: str

    @property
    def peak(self) -> int:
        return max(size for _, size in self.samples)

    def portions(self, requests: int, count: int = 4) -> list[int]:
        """Growth in bytes in each of `count` equal parts of the last `requests`."""
        marks = self._marks(requests, count)
        return [after - before for before, after in pairwise(self._level(mark) for mark in marks)]

    def growth(self, requests: int) -> float:
        """Bytes over the last `requests`: the median slope between samples, so that a step counts little."""
        begin = self._marks(requests, 1)[0]
        window = [sample for sample in self.samples if sample[0] >= begin]
        step = max(len(window) // 100, 1)
        window = window[::step]
        slopes = [
            (b[1] - a[1]) / (b[0] - a[0])
            for i, a in enumerate(window)
            for b in window[i + 1 :]
            if b[0] > a[0]
        ]
        return statistics.median(slopes) * (self.seconds - begin) if slopes else 0.0

    @property
    def per_request(self) -> float:
        return self.seconds / self.requests

    def _marks(self, requests: int, count: int) -> list[float]:
        begin = self.seconds * (1 - min(requests / self.requests, 1.0))
        return [begin + (self.seconds - begin) * part / count for part in range(count + 1)]

    def _level(self, at: float) -> int:
        return min(self.samples, key=lambda sample: abs(sample[0] - at))[1]


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """Short, because the path of a unix socket may have 107 bytes at most."""
    folder = Path(tempfile.mkdtemp(prefix="nd"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def run_tests(room: Room, tree: Path, seed: int, kept: int = KEPT_OUTPUT) -> Tested:
    """`seed` orders sets and dicts of strings differently from run to run."""
    with shared_folder() as shared:
        words = room.sandbox.command(tree, shared, list(room.spec.tests.command))
        env = environment(room, tree, shared) | {"PYTHONHASHSEED": str(seed)}
        ran = await run(words, env, tree, shared, room.deadline.at_most(room.spec.tests.timeout), kept)
        end_strays()
    count, skipped = -1, 0
    for unittest_run, pytest_passed, unittest_skipped, pytest_skipped in SUMMARY.findall(ran.output):
        if unittest_run or pytest_passed:
            count = int(unittest_run or pytest_passed)
        if unittest_skipped or pytest_skipped:
            skipped = int(unittest_skipped or pytest_skipped)
    return Tested(ran, count, skipped)


async def run_load(bench: Bench, tree: Path, judge: Path, requests: int, version: str) -> Load:
    """`judge` is the parent's tree: the load is never the candidate's."""
    with shared_folder() as shared:
        listen = f"unix:{bench.sandbox.shared(shared)}/http.sock"
        env = environment(bench, tree, shared) | _identity(bench, listen, version)
        words = bench.sandbox.command(
            tree, shared, [word.replace("{listen}", listen) for word in bench.spec.run]
        )
        async with child(words, env, tree, shared) as node:
            fault = await _ready(bench, node, shared / "http.sock")
            if fault:
                return Load(requests, 1.0, ((0.0, 0),), fault)
            own = env | _soak_env(bench, judge, shared, requests)
            load = await _soak(bench, node, judge, shared, own, requests)
        end_strays()
        return load


def environment(room: Room, tree: Path, shared: Path) -> dict[str, str]:
    """As at a start, with the wheels of the tree that is tried."""
    given = {**room.env, **dict(room.spec.env)}
    inside = room.sandbox.release(tree)
    if "PYTHONPATH" in given:
        parts = [_moved(part, room.origin, inside) for part in given["PYTHONPATH"].split(":") if part]
        given["PYTHONPATH"] = ":".join(parts)
    return with_site(room.spec, inside, room.sandbox.environment(shared) | given)


def sdk_folders(env: Mapping[str, str], origin: Path) -> tuple[str, ...]:
    """What the node imports from outside its release."""
    parts = [Path(part) for part in env.get("PYTHONPATH", "").split(":") if part]
    return tuple(str(part) for part in parts if part.is_dir() and not _within(part, origin))


def _moved(part: str, origin: Path, inside: str) -> str:
    """The parent's folder on PYTHONPATH would bring the parent's code into the candidate's trial."""
    if not _within(Path(part), origin):
        return part
    return str(Path(inside) / Path(part).resolve().relative_to(origin.resolve()))


def _within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _identity(bench: Bench, listen: str, version: str) -> dict[str, str]:
    return {
        "NODED_NODE": bench.spec.name,
        "NODED_INSTANCE": f"{bench.spec.name}.0",
        "NODED_VERSION": version,
        "NODED_LISTEN": listen,
        "NODED_ACTIVE": "1",
        "PYTHONHASHSEED": "0",
    }


def _soak_env(bench: Bench, judge: Path, shared: Path, requests: int) -> dict[str, str]:
    own = environment(bench, judge, shared)
    return {"NODED_SOAK_REQUESTS": str(requests), "PYTHONPATH": own.get("PYTHONPATH", "")}


async def _ready(bench: Bench, node: Child, path: Path) -> str:
    """Empty when the node accepts a connection, else what is wrong."""
    seconds = bench.deadline.at_most(bench.spec.start_timeout)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if node.ended:
            return f"ended while starting ({node.ended}): {node.last_line}"
        if _accepts(path):
            return ""
        await asyncio.sleep(0.02)
    return f"accepted no connection on its unix socket within {seconds:.0f} s: {node.last_line}"


def _accepts(path: Path) -> bool:
    """A link is not followed: the node must not choose what the worker connects to."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0.5)
            probe.connect(str(path))
    except OSError:
        return False
    return True


async def _soak(
    bench: Bench, node: Child, judge: Path, shared: Path, env: dict[str, str], requests: int
) -> Load:
    words = bench.sandbox.command(judge, shared, list(bench.spec.tests.soak))
    started = time.monotonic()
    samples: list[tuple[float, int]] = []
    limit = bench.deadline.at_most(max(SOAK_SECONDS, bench.spec.tests.timeout))
    async with asyncio.TaskGroup() as tasks:
        load = tasks.create_task(run(words, env, judge, shared, limit))
        while not load.done():
            samples.append((time.monotonic() - started, node.resident))
            await asyncio.wait([load], timeout=SAMPLE_SECONDS)
            if node.ended:
                load.cancel()
    seconds = max(time.monotonic() - started, 1e-3)
    if not load.cancelled() and not load.result().ok:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(node.process.wait(), FAULT_SECONDS)
    if node.ended:
        fault = f"ended under load ({node.ended}): {node.last_line}"
    else:
        fault = "" if load.result().ok else f"did not stand the soak load: {load.result().fault}"
    samples.append((seconds, node.resident))
    return Load(requests, seconds, tuple(samples), fault)
