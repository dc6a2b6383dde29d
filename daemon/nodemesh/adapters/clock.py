"""What time is it?"""

import time


class BootClock:
    def now(self) -> float:
        """Seconds since the machine came up, its sleep included: nothing that a person sets moves them."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        return time.time()
