"""How is the registry of one host kept without a server?

All SQL runs in one thread of its own: the loop never waits for the disk, and reads see every write
that was answered before. A damaged file is put aside and a new one begun; who knows more enters it again.
"""

import asyncio
import contextlib
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from noded.adapters.aside import put_aside
from noded.adapters.sqlite_records import HISTORY, Damaged, Records
from noded.ports import Change, PortError, Record, Refused, Unavailable

log = logging.getLogger("noded")

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
        """Opens the file, and makes it when there is none; blocks meanwhile. When that is not possible now,
        every call tries again. Raises Refused when a later noded wrote the file."""
        self._path = path
        self._clock = clock
        self._make = partial(Records, path, clock, history)
        self._records: Records | None = None
        self._anew = ""
        self._changed = asyncio.Event()
        self._is_closed = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry")
        try:
            self._worker.submit(self._opened).result()
        except Unavailable as error:
            log.error("%s; it is tried again", error)
        except BaseException:
            self._worker.shutdown()
            raise

    @property
    def is_anew(self) -> bool:
        """It has forgotten everything, and nobody was told yet."""
        return bool(self._anew)

    def begun_anew(self) -> str:
        """Why it has forgotten everything, told once; empty when it has not."""
        why, self._anew = self._anew, ""
        return why

    async def get(self, key: str) -> Record | None:
        check_key("read", key)
        return await self._run(Records.get, key)

    async def list(self, prefix: str) -> tuple[tuple[Record, ...], int]:
        check_prefix("list", prefix)
        return await self._run(Records.list, prefix)

    async def put(self, key: str, value: bytes, *, expected: int | None = None, lease: int = 0) -> int:
        check_key("write", key)
        check_value(key, value)
        return await self._run(Records.put, key, value, expected, lease)

    async def delete(self, key: str, *, expected: int | None = None) -> int:
        check_key("remove", key)
        return await self._run(Records.delete, key, expected)

    async def watch(self, prefix: str, after: int) -> AsyncIterator[Change]:
        check_prefix("watch", prefix)
        position = after
        while True:
            changed = self._changed  # taken before reading: what happens meanwhile wakes us
            found, position = await self._run(Records.changes, prefix, position)
            for change in found:
                yield change
            if not found:
                await self._sleep(changed)

    async def grant(self, ttl: float) -> int:
        check_ttl(ttl)
        return await self._run(Records.grant, ttl)

    async def renew(self, lease: int) -> float:
        return await self._run(Records.renew, lease)

    async def revoke(self, lease: int) -> None:
        await self._run(Records.revoke, lease)

    async def close(self) -> None:
        """Everything answered is on disk already; watches end with `Unavailable`."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._records is not None:
            await asyncio.get_running_loop().run_in_executor(self._worker, self._records.close)
        self._worker.shutdown(wait=False)
        self._wake()

    async def _run(
        self, work: Callable[Concatenate[Records, P], T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        if self._is_closed:
            raise Unavailable("cannot use the registry: it is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, partial(self._told, loop, work, *arguments, **named))

    def _told(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[Concatenate[Records, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """In the worker. Watches are woken from here: whoever asked may have been cancelled meanwhile."""
        records = self._opened()
        before = (records, records.revision, records.next_end)
        try:
            return work(records, *arguments, **named)
        except Damaged as error:
            with contextlib.suppress(PortError):
                records.close()
            self._records = None
            records = self._begin_anew(error)
            return work(records, *arguments, **named)
        finally:
            if (records, records.revision, records.next_end) != before:
                loop.call_soon_threadsafe(self._wake)

    def _opened(self) -> Records:
        if self._records is not None:
            return self._records
        try:
            self._records = self._make()
        except Damaged as error:
            return self._begin_anew(error)
        if self._records.created:
            self._anew = self._anew or f"{self._path.name} was not there"
        return self._records

    def _begin_anew(self, damage: Damaged) -> Records:
        try:
            aside = put_aside(self._path)
        except OSError as error:
            raise Unavailable(f"{damage}, and cannot be put aside: {error.strerror}") from damage
        self._anew = f"{self._path.name} was damaged and is kept as {aside.name}"
        log.error("%s: %s", self._anew, damage)
        self._records = self._make()
        return self._records

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _sleep(self, changed: asyncio.Event) -> None:
        """Until something changes or a lease ends."""
        end = self._records.next_end if self._records is not None else None
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
