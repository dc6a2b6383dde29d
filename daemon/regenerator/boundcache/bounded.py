"""What is put into a node's module in place of an unbounded dict?

`get` and `[]` stay those of dict, in C. Writing keeps the newest entries: when one too many is there, the
oldest eighth goes at once, so that the search for the oldest costs nothing on average.
`if key in cache: return cache[key]` must hold although others write in between: a thread can read what it
last found or stored, and what went last can still be read by key, for tasks that wait between the two.
Only dropping takes a lock: without it, threads that drop at once would drop too much. Under it no code of the
node runs but `__eq__` and finalizers, which may come back in. A lock held for a second was left by a thread
that a fork did not copy, and is replaced.
"""

NAME = "_BoundedDict"

CLASS = '''\
class _BoundedDict(dict):
    """A dict that keeps at most `max_entries` entries: a new one drops the oldest."""

    def __init__(self, max_entries, *args, **kwargs):
        super().__init__()
        self._max_entries = max_entries
        self._dropped = {}
        self._found = threading.local()
        self._lock = threading.RLock()
        self.update(*args, **kwargs)

    def _drop_oldest(self):
        if len(self) <= self._max_entries:
            return
        lock = self._lock
        if not lock.acquire(timeout=1.0):  # its thread was lost in a fork
            self._lock = threading.RLock()
            return
        try:
            while len(self) > self._max_entries:
                spare = self._max_entries // 8
                count = max(len(self) - self._max_entries, spare)
                try:
                    oldest = list(zip(self.items(), range(count)))
                except RuntimeError:  # another thread changed the size meanwhile
                    continue
                self._dropped = dict(entry for entry, _ in oldest[-spare:])
                for entry, _ in oldest:
                    super().pop(entry[0], None)
        finally:
            lock.release()

    def __contains__(self, key):
        value = self.get(key, self)
        if value is self:
            return False
        self._found.entry = key, value
        return True

    def __missing__(self, key):  # dropped between a test and a read?
        entry = getattr(self._found, "entry", None)
        if entry is not None and entry[0] == key:
            return entry[1]
        return self._dropped[key]

    def __setitem__(self, key, value):
        self._found.entry = key, value
        super().__setitem__(key, value)
        self._drop_oldest()

    def setdefault(self, key, default=None):
        value = super().setdefault(key, default)
        self._drop_oldest()
        return value

    def update(self, *args, **kwargs):
        super().update(*args, **kwargs)
        self._drop_oldest()

    def __ior__(self, other):
        self.update(other)
        return self

    def _forget(self, key):
        self._found.entry = None
        self._dropped.pop(key, None)

    def __delitem__(self, key):
        self._forget(key)
        super().__delitem__(key)

    def pop(self, key, *default):
        self._forget(key)
        return super().pop(key, *default)

    def clear(self):
        self._found.entry = None
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
