"""How much memory does the node hold, and how much of it can be given back at once?"""

import ctypes
import gc
import os
import time

PAGE = os.sysconf("SC_PAGE_SIZE")


def rss() -> int:
    """Resident bytes of this process, as the kernel counts them."""
    with open("/proc/self/statm", "rb", buffering=0) as statm:
        return int(statm.read(128).split()[1]) * PAGE


def trim() -> bool:
    """Asks the C allocator to give free pages back. False where it has no such call (musl)."""
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return False
    return bool(malloc_trim(0))


def collect() -> dict[str, float]:
    """A full collection, then a trim: the other way round nothing is free yet when the trim looks.

    Holds the interpreter for about a second per million objects.
    """
    before, started = rss(), time.monotonic()
    objects = gc.collect(2)
    trim()
    seconds = round(time.monotonic() - started, 6)
    return {"before": before, "after": rss(), "objects": objects, "seconds": seconds}
