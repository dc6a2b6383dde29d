"""What happens next? One thread waits here for descriptors and times; tasks are generators that pause.

A mistake in one of them must not end all: whoever restarted us would find the exits of that moment unknown.
"""

import contextlib
import heapq
import itertools
import selectors
import time
import traceback
from collections.abc import Callable, Generator
from typing import NamedTuple

from launcher.orders import Refusal, Result

_REST = 1.0
"""Seconds in which a descriptor is left alone after a mistake: it stays ready, and may bring it again."""


class Pause(NamedTuple):
    """What a task yields: go on after so many seconds, or as soon as the descriptor can be read."""

    seconds: float
    fd: int = -1


Task = Generator[Pause, None, Result]
Ended = Callable[[Result | Refusal], None]


class Loop:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._resting: dict[int, tuple[int, Callable[[int], None]]] = {}
        """Descriptors left alone for a while, with the events they are watched for."""
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._stopping = False

    def watch(self, fd: int, ready: Callable[[int], None], events: int = selectors.EVENT_READ) -> None:
        """Calls `ready(events)` whenever the descriptor is ready. Replaces an earlier watch of it."""
        self._resting.pop(fd, None)
        if fd in self._selector.get_map():
            self._selector.modify(fd, events, ready)
        else:
            self._selector.register(fd, events, ready)

    def forget(self, fd: int) -> None:
        """One that is not watched is fine."""
        self._resting.pop(fd, None)
        if fd in self._selector.get_map():
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
        except Exception as mistake:  # noqa: BLE001 - told and refused: one mistake must not end all
            _tell()
            ended(Refusal("unavailable", f"a mistake of the launcher's own: {mistake!r:.200}"))
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
                    self._answer(key, events)
            # Only what is due now: tasks that come back at once must not keep descriptors waiting.
            due = time.monotonic()
            while self._timers and self._timers[0][0] <= due:
                self._try(heapq.heappop(self._timers)[2])

    def _answer(self, key: selectors.SelectorKey, events: int) -> None:
        if self._try(lambda: key.data(events)) or self._selector.get_map().get(key.fd) is not key:
            return
        self.forget(key.fd)
        self._resting[key.fd] = (key.events, key.data)
        self.after(_REST, lambda: self._watch_again(key.fd))

    def _watch_again(self, fd: int) -> None:
        if fd in self._resting:
            events, ready = self._resting[fd]
            self.watch(fd, ready, events)

    def _try(self, call: Callable[[], None]) -> bool:
        """False after a mistake."""
        try:
            call()
        except Exception:  # noqa: BLE001 - told: one mistake must not end all
            _tell()
            return False
        return True

    def stop(self) -> None:
        self._stopping = True


def _tell() -> None:
    with contextlib.suppress(OSError):
        traceback.print_exc()
