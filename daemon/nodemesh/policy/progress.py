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
        self._above: dict[int, int] = {}
        """Open, but above what was offered: it was set back since."""
        self._top = cursor.top
        """Below, nothing more is open than is said here, or is `late` when it is offered."""

    @property
    def floor(self) -> int:
        return next(iter(self._open), self.offered + 1)

    def __len__(self) -> int:
        """Frames that are open."""
        return len(self._open) + len(self._above)

    def offer(self, position: int, mask: int, late: int = 0) -> int:
        """What of it is still to be handled, beyond what was known to be.

        `late`: what of it nobody was to handle when its position was passed.
        """
        if position <= self.offered:
            raise ValueError(f"position {position} was offered or passed over: the last was {self.offered}")
        self.passed(position - 1)
        known, left = self._above.pop(position, 0), mask
        # What is settled of it stays so, whichever types are consumed when it is offered again.
        was_partial = position in self._before
        if self._before:
            left &= self._before.pop(position, mask if position >= self._top else 0)
        elif position < self._top:
            left = 0
        if self._over and self._over[0][0] <= position:
            left = 0
        left = (left | late) & ~known
        self.passed(position)
        if left or known:
            self._open[position] = left | known
            self.waiting += left.bit_count()
            if was_partial or left | known != mask:
                self._partial.add(position)
        return left

    def set_back(self, position: int) -> None:
        """What is above is to be offered again, for what is late there."""
        self._top = max(self._top, self.offered + 1)
        self.offered = position - 1
        self._above = {p: mask for p, mask in self._open.items() if p >= position} | self._above
        self._open = {p: mask for p, mask in self._open.items() if p < position}

    @property
    def is_behind(self) -> bool:
        """Whether more is known of what comes than that it is new."""
        return self.offered + 1 < self._top or bool(self._before or self._over)

    @property
    def resumes(self) -> int:
        """Below, what is to be offered is late, and nothing else; 0: that cannot be said."""
        return 0 if self._before and next(iter(self._before)) < self._top else self._top

    def passed(self, position: int) -> None:
        """What was left open there is lost."""
        self.offered = max(self.offered, position)
        while self._above and (first := next(iter(self._above))) <= position:
            self._open[first] = self._above.pop(first)
        while self._before and (first := next(iter(self._before))) <= position:
            del self._before[first]
        while self._over and self._over[0][1] <= position:
            self._over.popleft()

    def settle(self, position: int, mask: int) -> bool:
        """Whether the frame is over now."""
        place = self._above if position in self._above else self._open
        had = place.get(position, 0)
        left = had & ~mask
        self.waiting -= had.bit_count() - left.bit_count()
        if left:
            if left != had:
                place[position] = left
                self._partial.add(position)
            return False
        place.pop(position, None)
        self._partial.discard(position)
        return True

    def left(self, position: int) -> int:
        """What of it is open, a bit for each place."""
        return self._open.get(position, 0) or self._above.get(position, 0)

    @property
    def open(self) -> dict[int, int]:
        if self._top <= self.floor:
            return {position: self._open[position] for position in sorted(self._partial)} | self._before
        mine = {p: mask for p, mask in self._open.items() if p in self._partial or p < self._top}
        return mine | self._above | self._before

    @property
    def top(self) -> int:
        return self._top if self._top > self.floor else 0

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


def places_of(mask: int) -> Places:
    return tuple(place for place in range(mask.bit_length()) if mask >> place & 1)
