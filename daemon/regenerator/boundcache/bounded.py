"""What is put into a node's module in place of an unbounded dict?

`get` and `[]` stay those of dict, in C. Writing keeps the newest entries: when one too many is there, the
oldest eighth goes at once, so that the search for the oldest costs nothing on average.
`if key in cache: return cache[key]` must hold although others write in between: what went last can still be
read by key, and so can what a thread last tested or stored. Only the key is remembered for a thread and the
value as it was when it went, so a removed or replaced value is seen by nobody.
Changes take a lock. Under it no code of the node runs but `__eq__` and finalizers, which may come back in.
A lock held for a second was left by a thread that a fork did not copy, and is replaced.
"""

NAME = "_BoundedDict"

CLASS = '''\
class _BoundedDict(dict):
    """A dict that keeps at most `max_entries` entries: a new one drops the oldest."""

    def __init__(self, max_entries, *args, **kwargs):
        super().__init__()
        self._max_entries = max_entries
        self._dropped = {}
        self._found = {}  # thread: the key it last tested or stored
        self._lock = threading.RLock()
        self.update(*args, **kwargs)

    def _free_lock(self):
        if self._lock.acquire(timeout=1.0):
            self._lock.release()
        else:  # its thread was lost in a fork
            self._lock = threading.RLock()
        return self._lock

    def _drop_oldest(self):
        surplus = len(self) - self._max_entries
        if surplus <= 0:
            return
        spare = self._max_entries // 8
        oldest = list(self)[: max(surplus, spare)]
        alive = {thread.ident for thread in threading.enumerate()}
        for thread in self._found.copy().keys() - alive:
            self._found.pop(thread, None)
        wanted = set(self._found.copy().values())
        dropped = {key: value for key, value in self._dropped.items() if key in wanted}
        self._dropped = dropped
        wanted.update(oldest[-spare:])
        for key in oldest:
            if key in wanted:
                dropped[key] = self.get(key)
            super().pop(key, None)

    def __contains__(self, key):
        hash(key)
        self._found[threading.get_ident()] = key
        return super().__contains__(key)

    def __missing__(self, key):  # dropped between a test and a read?
        return self._dropped[key]

    def __setitem__(self, key, value):
        with self._free_lock():
            super().__setitem__(key, value)
            self._found[threading.get_ident()] = key
            self._drop_oldest()

    def setdefault(self, key, default=None):
        with self._free_lock():
            value = super().setdefault(key, default)
            self._drop_oldest()
        return value

    def update(self, *args, **kwargs):
        entries = dict(*args, **kwargs)
        with self._free_lock():
            super().update(entries)
            self._drop_oldest()

    def __ior__(self, other):
        self.update(other)
        return self

    def __delitem__(self, key):
        with self._free_lock():
            self._dropped.pop(key, None)
            super().__delitem__(key)

    def pop(self, key, *default):
        with self._free_lock():
            self._dropped.pop(key, None)
            return super().pop(key, *default)

    def clear(self):
        with self._free_lock():
            self._dropped = {}
            super().clear()

    def copy(self):
        return type(self)(self._max_entries, self)

    def __reduce__(self):
        return type(self), (self._max_entries, dict(self))
'''


def bounded_class(base: str) -> tuple[str, str]:
    """Name and text of the class over this base, `dict` or an OrderedDict as the module writes it."""
    if base == "dict":
        return NAME, CLASS
    return "_BoundedOrderedDict", CLASS.replace("(dict):", f"({base}):").replace(NAME, "_BoundedOrderedDict")
