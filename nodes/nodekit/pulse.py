"""How late is the event loop? A timer that runs on the loop and is read from another thread."""

import asyncio
import time

PERIOD = 0.1


class Pulse:
    """`due` is only written on the loop, `worst` by both sides: the loss of one reading does no harm."""

    def __init__(self) -> None:
        self.due = 0.0
        self.worst = 0.0
        self.timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.due = time.monotonic() + PERIOD
        self.timer = loop.call_later(PERIOD, self.tick, loop)

    def tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.worst = max(self.worst, time.monotonic() - self.due)
        self.start(loop)

    def stop(self) -> None:
        if self.timer:
            self.timer.cancel()
        self.due = 0.0

    def lag(self) -> float:
        """Worst lateness in seconds since the last call; a loop stuck now counts as late as it is so far."""
        worst, self.worst = self.worst, 0.0
        return max(worst, self.overdue())

    def overdue(self) -> float:
        return max(0.0, time.monotonic() - self.due) if self.due else 0.0
