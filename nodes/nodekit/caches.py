"""Which caches does the node keep, and how can they be made smaller while it runs?"""

import logging
from collections import OrderedDict
from collections.abc import Callable, ItemsView, Iterator, MutableMapping, ValuesView
from dataclasses import dataclass
from threading import RLock
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable

logger = logging.getLogger("nodekit")
K = TypeVar("K")
V = TypeVar("V")

# Entries given up per hold of the lock: the event loop never waits for it longer than about a millisecond.
BATCH = 1000


@runtime_checkable
class Shrinkable(Protocol):
    """Anything that can tell its size and be cut down to `entries`. Called on the event loop."""

    def __len__(self) -> int: ...
    def shrink(self, entries: int) -> object: ...


@runtime_checkable
class Memoized(Protocol):
    """What functools.lru_cache and functools.cache make of a function. It can only be cleared whole."""

    def cache_info(self) -> Any: ...
    def cache_clear(self) -> None: ...


class Cache(MutableMapping[K, V], Generic[K, V]):
    """A mapping that forgets what was not used for longest once it holds `limit` entries. Safe in threads."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit: expected at least 1 entry, got {limit}")
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._lock = RLock()
        self._limit = limit
        self.hits = 0
        self.misses = 0

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, entries: int) -> None:
        self._limit = max(1, entries)
        self.shrink(self._limit)

    def __getitem__(self, key: K) -> V:
        with self._lock:
            try:
                value = self._entries[key]
            except KeyError:
                self.misses += 1
                raise
            self._entries.move_to_end(key)
            self.hits += 1
            return value

    def __setitem__(self, key: K, value: V) -> None:
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            else:
                # Room first: len() takes no lock and must never see one entry too many.
                while len(self._entries) >= self._limit:
                    self._entries.popitem(last=False)
            self._entries[key] = value

    def __delitem__(self, key: K) -> None:
        with self._lock:
            del self._entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        """The keys as they were at the start, the least recently used first."""
        with self._lock:
            return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> ItemsView[K, V]:
        """As they are now; looking at all of them is neither a hit nor a use."""
        with self._lock:
            return dict(self._entries).items()

    def values(self) -> ValuesView[V]:
        with self._lock:
            return dict(self._entries).values()

    def pop(self, key: K, *default: Any) -> Any:
        with self._lock:
            return self._entries.pop(key, *default)

    def popitem(self) -> tuple[K, V]:
        with self._lock:
            return self._entries.popitem(last=False)

    def setdefault(self, key: K, default: Any = None) -> Any:
        with self._lock:
            return super().setdefault(key, default)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def shrink(self, entries: int) -> None:
        """Forgets the least recently used until `entries` are left."""
        while True:
            with self._lock:
                surplus = min(BATCH, len(self._entries) - max(0, entries))
                for _ in range(surplus):
                    self._entries.popitem(last=False)
            if surplus < BATCH:
                return


@dataclass(frozen=True, slots=True)
class Registered:
    name: str
    cache: "Cache[Any, Any] | Memoized | Shrinkable"
    limit: int
    """Entries at most, as registered; 0 means unbounded or not known."""

    def report(self) -> dict[str, object]:
        cache, seen = self.cache, {"entries": 0, "limit": self.limit, "hits": 0, "misses": 0}
        if isinstance(cache, Cache):
            seen.update(entries=len(cache), limit=cache.limit, hits=cache.hits, misses=cache.misses)
        elif isinstance(cache, Memoized):
            info = cache.cache_info()
            seen.update(entries=int(info.currsize), hits=int(info.hits), misses=int(info.misses))
        else:
            seen.update(entries=len(cache))
        return {"name": self.name, **seen}

    def entries(self) -> int:
        return cast(int, self.report()["entries"])


OnLoop = Callable[[Callable[[], object]], object]


class Caches:
    """The registered caches of one node."""

    def __init__(self) -> None:
        self._registered: dict[str, Registered] = {}

    def add(self, name: str, cache: object) -> None:
        if name in self._registered:
            raise ValueError(f"cache {name!r} is already registered")
        if isinstance(cache, Cache):
            limit = cache.limit
        elif isinstance(cache, Memoized):
            limit = cache.cache_info().maxsize or 0
        elif isinstance(cache, Shrinkable):
            limit = 0
        else:
            raise TypeError(f"cache {name!r}: expected a Cache, an lru_cache function or len() and shrink(n)")
        self._registered[name] = Registered(name, cache, limit)

    def report(self) -> list[dict[str, object]]:
        """A cache that cannot tell its own size is left out and named in the log, once."""
        reports = []
        for registered in list(self._registered.values()):
            # The node's own len() or cache_info() runs here: its faults must not end the heartbeats.
            try:
                reports.append(registered.report())
            except Exception:
                logger.exception("cache %s is no longer reported", registered.name)
                self._registered.pop(registered.name, None)
        return reports

    def shrink(self, fraction: float, on_loop: OnLoop) -> list[dict[str, object]]:
        """One cache after the other, so that no two of them have to be filled again at the same moment."""
        return [self._cut(registered, fraction, on_loop) for registered in list(self._registered.values())]

    def _cut(self, registered: Registered, fraction: float, on_loop: OnLoop) -> dict[str, object]:
        before = registered.entries()
        target, cache = int(before * fraction), registered.cache
        if isinstance(cache, Cache):
            cache.limit = target
            cache.shrink(target)
        elif isinstance(cache, Memoized):
            cache.cache_clear()
        else:
            on_loop(lambda: cache.shrink(target))
        return {"name": registered.name, "before": before, "after": registered.entries()}

    def restore(self) -> list[dict[str, object]]:
        """The limits as registered; what was forgotten stays forgotten."""
        report = []
        for registered in list(self._registered.values()):
            if isinstance(registered.cache, Cache):
                registered.cache.limit = registered.limit
            entries = registered.entries()
            report.append({"name": registered.name, "before": entries, "after": entries})
        return report
