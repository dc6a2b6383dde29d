"""A registry in memory: it passes the same contract suite as the one on disk."""

import asyncio
from collections.abc import AsyncIterator, Callable

from noded.adapters.sqlite_registry import check_key, check_prefix, check_ttl, check_value
from noded.ports import Change, Conflict, NotFound, Record, Unavailable


class FakeRegistry:
    def __init__(self, clock: Callable[[], float] = lambda: 0.0, history: int = 10_000) -> None:
        self.is_away = False
        self.revision = 0
        self.records: dict[str, Record] = {}
        self._clock = clock
        self._history = history
        self._changes: list[Change] = []
        self._ttl: dict[int, float] = {}
        self._ends: dict[int, float] = {}
        self._granted = 0
        self._is_closed = False

    async def get(self, key: str) -> Record | None:
        check_key("read", key)
        self._begin()
        return self.records.get(key)

    async def list(self, prefix: str) -> tuple[tuple[Record, ...], int]:
        check_prefix("list", prefix)
        self._begin()
        found = (self.records[key] for key in sorted(self.records) if key.startswith(prefix))
        return tuple(found), self.revision

    async def put(self, key: str, value: bytes, *, expected: int | None = None, lease: int = 0) -> int:
        check_key("write", key)
        check_value(key, value)
        self._begin()
        if lease and lease not in self._ends:
            raise NotFound(f"cannot write {key}: lease {lease} has ended")
        self._compare(key, expected)
        self._change(key, value)
        self.records[key] = Record(key, value, self.revision, lease)
        return self.revision

    async def delete(self, key: str, *, expected: int | None = None) -> int:
        check_key("remove", key)
        self._begin()
        self._compare(key, expected)
        if key not in self.records:
            raise NotFound(f"cannot remove {key}: it is not there")
        del self.records[key]
        self._change(key, None)
        return self.revision

    async def watch(self, prefix: str, after: int) -> AsyncIterator[Change]:
        check_prefix("watch", prefix)
        position = after
        while True:
            self._begin()
            oldest = self._changes[0].revision if self._changes else self.revision + 1
            if position > self.revision or position + 1 < oldest:
                raise Conflict(f"cannot watch {prefix} after {position}: list again")
            found = [change for change in self._changes if change.revision > position]
            position = self.revision
            for change in found:
                if change.key.startswith(prefix):
                    yield change
            if not found:
                await asyncio.sleep(0.005)

    async def grant(self, ttl: float) -> int:
        check_ttl(ttl)
        self._begin()
        self._granted += 1
        self._ttl[self._granted] = ttl
        self._ends[self._granted] = self._clock() + ttl
        return self._granted

    async def renew(self, lease: int) -> float:
        self._begin()
        if lease not in self._ends:
            raise NotFound(f"cannot renew lease {lease}: it has ended")
        self._ends[lease] = self._clock() + self._ttl[lease]
        return self._ttl[lease]

    async def revoke(self, lease: int) -> None:
        self._begin()
        self._end(lease)

    async def close(self) -> None:
        self._is_closed = True

    def _begin(self) -> None:
        if self.is_away or self._is_closed:
            raise Unavailable("cannot use the registry: it is away")
        ended = sorted((end, lease) for lease, end in self._ends.items() if end <= self._clock())
        for _, lease in ended:
            self._end(lease)

    def _end(self, lease: int) -> None:
        self._ends.pop(lease, None)
        for key in sorted(key for key, record in self.records.items() if lease and record.lease == lease):
            del self.records[key]
            self._change(key, None)

    def _compare(self, key: str, expected: int | None) -> None:
        found = self.records[key].revision if key in self.records else 0
        if expected is not None and expected != found:
            raise Conflict(f"cannot write {key}: expected revision {expected}, found {found}")

    def _change(self, key: str, value: bytes | None) -> None:
        self.revision += 1
        self._changes = [*self._changes, Change(key, value, self.revision)][-self._history :]
