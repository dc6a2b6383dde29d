"""How late is the event loop? A timer that runs on the loop and is read from another thread."""

import asyncio
import time
from collections.abc import Callable

PERIOD = 0.1
# Lateness that is news: a loop that stood still for so long says at once that it turns again.
LATE = 0.5


class Pulse:
    """`due` is only written on the loop, `worst` by both sides: the loss of one reading does no harm."""

    def __init__(self) -> None:
        self.due = 0.0
        self.worst = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.on_late: Callable[[], object] = lambda: None
        """Called on the loop when it turns again after it was late."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.due = time.monotonic() + PERIOD
        self.timer = loop.call_later(PERIOD, self.tick, loop)

    def tick(self, loop: asyncio.AbstractEventLoop) -> None:
        late = time.monotonic() - self.due
        self.worst = max(self.worst, late)
        self.start(loop)
        if late > LATE:
            self.on_late()

    def stop(self) -> None:
        if self.timer:
            self.timer.cancel()
        self.due = 0.0

    def lag(self) -> float:
        """Worst lateness in seconds since the last call; a loop stuck now counts as late as it is so far."""
        worst, self.worst = self.worst, 0.0
        return max(worst, self.overdue())

    def overdue(self) -> float:
        """How long the loop has stood still now: what a thread may say of it."""
        return max(0.0, time.monotonic() - self.due) if self.due else 0.0
