"""What do the tests of inbox and outbox share? A node with databases, against a mesh in memory."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

from nodekit.frames import Extra
from nodekit.outbox import Relay, Sender
from nodekit.standin import StandIn, Wire
from nodekit.transaction import Outboxes, Written
from tests.nodekit.noded_side import DEADLINE

EXTRA = Extra(trace=b"t" * 16, span=b"s" * 8, cause="other.1")


def write(event: object, type: str, content: str) -> Written:
    if isinstance(event, dict) and event.get("bad"):
        raise ValueError("it breaks its contract")
    return Written(type or "shop.paid", content, json.dumps(event).encode())


def outboxes(mesh: StandIn, instance: str = "pay.1", connect: Callable[[], Wire] | None = None) -> Outboxes:
    return Outboxes(Sender("pay", instance, "1.0", connect or mesh.connect), write)


@contextlib.asynccontextmanager
async def relays(boxes: Outboxes) -> AsyncIterator[None]:
    tasks: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    def start(relay: Relay) -> None:
        loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(relay.run())))

    boxes.start(start)
    try:
        yield
    finally:
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not true():  # noqa: ASYNC110 - what is waited for lies in a database
            await asyncio.sleep(0.01)
