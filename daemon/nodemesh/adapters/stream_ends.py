"""Up to which sequence is each stream on disk? Remembered for a day after its last frame."""

from collections.abc import Iterable, Sequence
from math import inf

from nodemesh.model.frame import Stored
from nodemesh.ports import Clock

SILENT = 86_400.0
"""Seconds after which a stream is forgotten."""
AGAIN = 3600.0
"""Seconds for which each is remembered after a start, whatever the dates say: they may have been set since.
Publishers that live come back at once, and who is not known sends anew, under other ids, what it has."""
_GROWTH = 10_000


class StreamEnds:
    """`last` is changed in place. Age is measured by the clock that only rises; on disk it is a date."""

    def __init__(self, clock: Clock) -> None:
        self.last: dict[str, int] = {}
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._forget_at = _GROWTH

    def take(self, frames: Sequence[Stored]) -> None:
        now = self._clock.now()
        for frame in frames:
            if frame.to:
                continue  # sent again: its stream is further on
            self.last[frame.head.stream] = frame.head.last
            self._seen[frame.head.stream] = now
        if len(self.last) >= self._forget_at:
            self._forget(now)
            self._forget_at = len(self.last) + _GROWTH

    def restore(self, found: Iterable[tuple[str, int, float]]) -> None:
        """Of one name the highest counts."""
        now, wall = self._clock.now(), self._clock.wall()
        for stream, last, taken in found:
            self.last[stream] = max(last, self.last.get(stream, 0))
            age = min(max(0.0, wall - taken), SILENT - AGAIN)
            self._seen[stream] = max(now - age, self._seen.get(stream, -inf))

    def rows(self) -> list[tuple[str, int, float]]:
        """For `restore` in another life: with dates."""
        now, wall = self._clock.now(), self._clock.wall()
        self._forget(now)
        return [(stream, last, wall - (now - self._seen[stream])) for stream, last in self.last.items()]

    def _forget(self, now: float) -> None:
        for stream in [stream for stream, seen in self._seen.items() if now - seen > SILENT]:
            del self.last[stream], self._seen[stream]
