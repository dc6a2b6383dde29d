"""How does a plain pytest function run as a coroutine, with a deadline?"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any


def looped(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        async def within() -> None:
            async with asyncio.timeout(60):
                await test(*args, **named)

        asyncio.run(within())

    return run


async def until(true: Callable[[], Awaitable[bool]], deadline: float = 10.0, pause: float = 0.01) -> None:
    """Wait for a condition of the world; fail when it does not come."""
    async with asyncio.timeout(deadline):
        while True:
            if await true():
                return
            await asyncio.sleep(pause)
