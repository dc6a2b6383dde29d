"""Who commits to the log: a thread of its own, or the loop?

A small commit on a fast disk is over sooner than a thread is woken, and wakes the loop again. All else that
the loop has to do waits for the disk meanwhile: so not after a slow commit, for a while.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from time import monotonic
from typing import TypeVar

Result = TypeVar("Result")

SLOW = 0.002
"""Seconds; after a commit that took longer the loop makes none for WARY times as long."""
WARY = 20.0


class Turn:
    """One at a time has it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, "log-commit")
        self._wary_until = 0.0

    async def take(self, work: Callable[[], Result]) -> Result:
        """In the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)

    def later(self, work: Callable[[], Result]) -> "Future[Result]":
        """In the thread, while the loop goes on."""
        return self._thread.submit(self._do, work)

    def try_here(self) -> bool:
        """For a small commit: whether it may be made where it is asked for. Then `release` follows."""
        return monotonic() >= self._wary_until and self._lock.acquire(blocking=False)

    def release(self) -> None:
        self._lock.release()

    def took(self, seconds: float) -> None:
        """To be told of every commit."""
        if seconds > SLOW:
            self._wary_until = monotonic() + WARY * seconds

    def close(self) -> None:
        """When all is done that was asked for."""
        self._thread.shutdown()

    def _do(self, work: Callable[[], Result]) -> Result:
        with self._lock:
            return work()
