"""What happens next? One thread waits here for descriptors and times; tasks are generators that pause."""

import heapq
import itertools
import selectors
import time
from collections.abc import Callable, Generator
from typing import NamedTuple

from launcher.orders import Refusal, Result


class Pause(NamedTuple):
    """What a task yields: go on after so many seconds, or as soon as the descriptor can be read."""

    seconds: float
    fd: int = -1


Task = Generator[Pause, None, Result]
Ended = Callable[[Result | Refusal], None]


class Loop:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._stopping = False

    def watch(self, fd: int, ready: Callable[[int], None], events: int = selectors.EVENT_READ) -> None:
        """Calls `ready(events)` whenever the descriptor is ready. Replaces an earlier watch of it."""
        if fd in self._selector.get_map():
            self._selector.modify(fd, events, ready)
        else:
            self._selector.register(fd, events, ready)

    def forget(self, fd: int) -> None:
        self._selector.unregister(fd)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._count), call))

    def begin(self, task: Task, ended: Ended) -> None:
        """Runs the task up to its first pause, and `ended` with its result or refusal when it is done."""
        try:
            pause = next(task)
        except StopIteration as stop:
            ended(stop.value)
        except Refusal as refusal:
            ended(refusal)
        except OSError as error:
            ended(Refusal("unavailable", str(error)))
        else:
            self._resume_later(pause, lambda: self.begin(task, ended))

    def _resume_later(self, pause: Pause, resume: Callable[[], None]) -> None:
        waiting = True

        def once(_events: int = 0) -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                if pause.fd >= 0:
                    self.forget(pause.fd)
                resume()

        if pause.fd >= 0:
            self.watch(pause.fd, once)
        self.after(pause.seconds, once)

    def run(self) -> None:
        while not self._stopping:
            now = time.monotonic()
            wait = max(0.0, self._timers[0][0] - now) if self._timers else None
            for key, events in self._selector.select(wait):
                # A descriptor handled earlier in this round may have been closed by another's callback.
                if self._selector.get_map().get(key.fd) is key:
                    key.data(events)
            # Only what is due now: tasks that come back at once must not keep descriptors waiting.
            due = time.monotonic()
            while self._timers and self._timers[0][0] <= due:
                heapq.heappop(self._timers)[2]()

    def stop(self) -> None:
        self._stopping = True
