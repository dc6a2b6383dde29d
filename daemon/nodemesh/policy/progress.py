"""Which frames has one consuming node settled, and how far is it?"""

from collections import deque

from nodemesh.model.cursor import Cursor
from nodemesh.model.frame import Places


class Progress:
    """Remembers what is open; everything else up to `offered` is over."""

    def __init__(self, cursor: Cursor) -> None:
        self.offered = cursor.floor - 1
        """The last position that was offered or passed over."""
        self.waiting = 0
        """Events offered and not settled."""
        self._open: dict[int, int] = {}
        """By position, ascending, a bit for each place that is not settled; never 0."""
        self._partial: set[int] = set()
        """Of these, the ones of which something is settled."""
        self._before = dict(sorted(cursor.open.items()))
        """From before the last restart, until the frame is offered again."""
        self._over = deque(sorted(cursor.settled))

    @property
    def floor(self) -> int:
        return next(iter(self._open), self.offered + 1)

    def __len__(self) -> int:
        """Frames that are open."""
        return len(self._open)

    def offer(self, position: int, mask: int) -> int:
        """What of it is still to be handled."""
        if position <= self.offered:
            raise ValueError(f"position {position} was offered or passed over: the last was {self.offered}")
        self.passed(position - 1)
        left = mask
        if self._before:
            left &= self._before.pop(position, mask)
        if self._over and self._over[0][0] <= position:
            left = 0
        self.passed(position)
        if left:
            self._open[position] = left
            self.waiting += left.bit_count()
            if left != mask:
                self._partial.add(position)
        return left

    def passed(self, position: int) -> None:
        """What was left open there is lost."""
        self.offered = max(self.offered, position)
        while self._before and (first := next(iter(self._before))) <= position:
            del self._before[first]
        while self._over and self._over[0][1] <= position:
            self._over.popleft()

    def settle(self, position: int, mask: int) -> bool:
        """Whether the frame is over now."""
        had = self._open.get(position, 0)
        left = had & ~mask
        self.waiting -= had.bit_count() - left.bit_count()
        if left:
            if left != had:
                self._open[position] = left
                self._partial.add(position)
            return False
        self._open.pop(position, None)
        self._partial.discard(position)
        return True

    def is_open(self, position: int, place: int) -> bool:
        return bool(self._open.get(position, 0) >> place & 1)

    @property
    def open(self) -> dict[int, int]:
        return {position: self._open[position] for position in sorted(self._partial)} | self._before

    @property
    def settled(self) -> tuple[tuple[int, int], ...]:
        runs: list[tuple[int, int]] = []
        expected = self.floor
        for position in self._open:
            if position > expected:
                runs.append((expected, position - 1))
            expected = position + 1
        if expected <= self.offered:
            runs.append((expected, self.offered))
        later = [(max(first, self.offered + 1), last) for first, last in self._over]
        return (*runs, *later)


def bits(places: Places) -> int:
    if isinstance(places, range) and places.step == 1:
        return ((1 << len(places)) - 1) << places.start if places else 0
    mask = 0
    for place in places:
        mask |= 1 << place
    return mask
