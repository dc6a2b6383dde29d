"""How does a plain pytest function run as a coroutine, with a deadline, and leave nothing running?"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any

_ends: ContextVar[AsyncExitStack | None] = ContextVar("_ends", default=None)


def looped(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        async def within() -> None:
            async with asyncio.timeout(60), AsyncExitStack() as ends:
                _ends.set(ends)
                await test(*args, **named)

        asyncio.run(within())

    return run


def at_end(call: Callable[[], object]) -> None:
    """What is called when the test that runs is over, however it ends; an awaitable is awaited.

    A server that still takes connections while its loop is closed leaves tasks for another test to trip
    over, and gRPC waits for ever for a server that nobody stopped when it is collected.
    """

    async def over() -> None:
        told = call()
        if isinstance(told, Awaitable):
            await told

    ends = _ends.get()
    if ends is not None:
        ends.push_async_callback(over)


async def until(true: Callable[[], Awaitable[bool]], deadline: float = 10.0, pause: float = 0.01) -> None:
    """Wait for a condition of the world; fail when it does not come."""
    async with asyncio.timeout(deadline):
        while True:
            if await true():
                return
            await asyncio.sleep(pause)
