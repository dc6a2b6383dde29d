"""What time is it, without jumps?"""

import time


class BootClock:
    """Unix seconds that never jump: the wall clock is read once, then the kernel's boot clock advances it.

    CLOCK_BOOTTIME goes on while the machine sleeps, as leases and deadlines of others do. `floor` is the
    newest time the journal knows: a wall clock that was set back between two runs does not turn time back.
    """

    def __init__(self, floor: float = 0.0) -> None:
        self._offset = max(time.time(), floor) - time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> float:
        return self._offset + time.clock_gettime(time.CLOCK_BOOTTIME)
