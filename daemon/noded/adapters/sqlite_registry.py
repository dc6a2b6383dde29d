"""How is the registry of one host kept without a server?

All SQL runs in one thread of its own: the loop never waits for the disk, and reads see every write
that was answered before.
"""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from noded.adapters.sqlite_records import HISTORY, Records
from noded.ports import Change, Record, Refused, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_KEY = 512
LARGEST_VALUE = 2**20
LONGEST_TTL = 86_400.0
_KEY = re.compile(r"[A-Za-z0-9._/+:-]*")
_LONGEST_SLEEP = 0.5
"""Seconds a watch sleeps while leases run: their clock need not be the loop's."""


class SqliteRegistry:
    """`noded.ports.Registry`; leases run on `clock` and begin anew when the file is opened."""

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.monotonic, history: int = HISTORY
    ) -> None:
        """Opens the file, and makes it when there is none; blocks meanwhile."""
        self._clock = clock
        self._changed = asyncio.Event()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry")
        try:
            self._records = self._worker.submit(Records, path, clock, history).result()
        except BaseException:
            self._worker.shutdown()
            raise
        self._is_closed = False

    async def get(self, key: str) -> Record | None:
        check_key("read", key)
        return await self._run(self._records.get, key)

    async def list(self, prefix: str) -> tuple[tuple[Record, ...], int]:
        check_prefix("list", prefix)
        return await self._run(self._records.list, prefix)

    async def put(self, key: str, value: bytes, *, expected: int | None = None, lease: int = 0) -> int:
        check_key("write", key)
        check_value(key, value)
        return await self._run(self._records.put, key, value, expected, lease)

    async def delete(self, key: str, *, expected: int | None = None) -> int:
        check_key("remove", key)
        return await self._run(self._records.delete, key, expected)

    async def watch(self, prefix: str, after: int) -> AsyncIterator[Change]:
        check_prefix("watch", prefix)
        position = after
        while True:
            changed = self._changed  # taken before reading: what happens meanwhile wakes us
            found, position = await self._run(self._records.changes, prefix, position)
            for change in found:
                yield change
            if not found:
                await self._sleep(changed)

    async def grant(self, ttl: float) -> int:
        check_ttl(ttl)
        return await self._run(self._records.grant, ttl)

    async def renew(self, lease: int) -> float:
        return await self._run(self._records.renew, lease)

    async def revoke(self, lease: int) -> None:
        await self._run(self._records.revoke, lease)

    async def close(self) -> None:
        """Everything answered is on disk already; watches end with `Unavailable`."""
        if self._is_closed:
            return
        self._is_closed = True
        await asyncio.get_running_loop().run_in_executor(self._worker, self._records.close)
        self._worker.shutdown(wait=False)
        self._wake()

    async def _run(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        if self._is_closed:
            raise Unavailable("cannot use the registry: it is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, partial(self._told, loop, work, *arguments, **named))

    def _told(
        self, loop: asyncio.AbstractEventLoop, work: Callable[P, T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        """In the worker. Watches are woken from here: whoever asked may have been cancelled meanwhile."""
        before = (self._records.revision, self._records.next_end)
        try:
            return work(*arguments, **named)
        finally:
            if (self._records.revision, self._records.next_end) != before:
                loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _sleep(self, changed: asyncio.Event) -> None:
        """Until something changes or a lease ends."""
        end = self._records.next_end
        seconds = None if end is None else min(max(end - self._clock(), 0.0), _LONGEST_SLEEP)
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return


def check_key(verb: str, key: str) -> None:
    if not key:
        raise Refused(f"cannot {verb} a record: the key is empty")
    check_prefix(verb, key)


def check_prefix(verb: str, key: str) -> None:
    if len(key) > LONGEST_KEY:
        raise Refused(f"cannot {verb} {key[:40]}...: at most {LONGEST_KEY} bytes in a key, got {len(key)}")
    if not _KEY.fullmatch(key):
        raise Refused(f"cannot {verb} {key!r}: a key may hold letters, digits and . _ / + : -")


def check_value(key: str, value: bytes) -> None:
    if len(value) > LARGEST_VALUE:
        raise Refused(f"cannot write {key}: at most {LARGEST_VALUE} bytes in a value, got {len(value)}")


def check_ttl(ttl: float) -> None:
    if not (math.isfinite(ttl) and 0 < ttl <= LONGEST_TTL):
        raise Refused(f"cannot grant a lease: expected more than 0 and at most {LONGEST_TTL:g} s, got {ttl}")
