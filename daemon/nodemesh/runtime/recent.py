"""Which frames are in memory, and how much of it may each consuming node fill with what it has not sent?"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from nodemesh.model.frame import Stored

LEAST = 256 * 1024
"""Bytes of frames that one consuming node may be offered before any is sent, however many are behind."""


class Recent:
    """Frames that were written or read just now, for all consumers, by position."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._frames: OrderedDict[int, Stored] = OrderedDict()
        self.newest = 0
        """Position of the last that all were told of."""
        self._bytes = 0
        self.behind = 0
        """Consumers for which something is held that was not sent yet."""

    @property
    def share(self) -> int:
        """Bytes that each of them may be ahead: with more, the others push it out before it is sent."""
        return max(LEAST, self._most // 2 // max(1, self.behind))

    def add(self, stored: Stored) -> None:
        if stored.position not in self._frames:
            self._frames[stored.position] = stored
            self._bytes += len(stored.data)
        while self._bytes > self._most:
            self._bytes -= len(self._frames.popitem(last=False)[1].data)

    def get(self, position: int) -> Stored | None:
        return self._frames.get(position)

    def run(self, start: int, most: int) -> Sequence[Stored]:
        """Neighbours from there on, about `most` bytes."""
        found: list[Stored] = []
        size = 0
        while size < most and (stored := self._frames.get(start + len(found))) is not None:
            found.append(stored)
            size += len(stored.data)
        return found


class Ahead:
    """What was offered to one consuming node, and of which nothing was sent yet."""

    def __init__(self, recent: Recent) -> None:
        self._recent = recent
        self._sizes: dict[int, int] = {}
        """By position."""
        self._bytes = 0
        self.is_asked_for = False
        """Who asked last was given nothing: what is ahead is not for him, or there is none."""

    @property
    def is_full(self) -> bool:
        return not self.is_asked_for and self._bytes >= self._recent.share

    @property
    def room(self) -> int:
        """Bytes that may be read; 0 until half of what is ahead is sent."""
        most = self._recent.share
        if self.is_asked_for:
            return most
        return most - self._bytes if self._bytes <= most // 2 else 0

    def add(self, stored: Stored) -> None:
        self.sent(stored.position)
        self._sizes[stored.position] = size = len(stored.data)
        self._count(size)

    def sent(self, position: int) -> None:
        """Some of it."""
        self.is_asked_for = False
        if size := self._sizes.pop(position, 0):
            self._count(-size)

    def forget(self, is_open: Callable[[int], bool]) -> None:
        """What is over without having been sent."""
        for position in [position for position in self._sizes if not is_open(position)]:
            self._count(-self._sizes.pop(position))

    def clear(self) -> None:
        self._count(-self._bytes)
        self._sizes.clear()

    def _count(self, more: int) -> None:
        self._recent.behind -= self._bytes > 0
        self._bytes += more
        self._recent.behind += self._bytes > 0
