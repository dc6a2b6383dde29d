"""Which events failed before, and when is each tried again?"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush

from nodemesh.model.cursor import Trial
from nodemesh.model.frame import Address


class Trials:
    def __init__(self, known: Mapping[Address, Trial]) -> None:
        self.known = dict(known)
        self._former = deque(sorted(known, key=lambda a: (a.position, a.place)))
        """Events with a trial whose frames were not offered yet."""
        self._due: list[tuple[float, int, int]] = []

    def later(self, address: Address, trial: Trial) -> None:
        self.known[address] = trial
        heappush(self._due, (trial.due, address.position, address.place))

    def begin(self, position: int, left: int) -> frozenset[int]:
        """The frame is offered: which of its places `left` wait for their next try?"""
        tried = set()
        while self._former and self._former[0].position == position:
            address = self._former.popleft()
            if left >> address.place & 1:
                tried.add(address.place)
            else:
                del self.known[address]
        for place in sorted(tried):
            self.later(Address(position, place), self.known[Address(position, place)])
        return frozenset(tried)

    def passed(self, position: int) -> None:
        """Nothing up to there waits any more but what was offered."""
        while self._former and self._former[0].position <= position:
            del self.known[self._former.popleft()]

    def due(self, now: float) -> Iterator[tuple[Address, Trial]]:
        while self._due and self._due[0][0] <= now:
            _, position, place = heappop(self._due)
            address = Address(position, place)
            if (trial := self.known.get(address)) is not None:
                yield address, trial

    @property
    def waiting(self) -> Sequence[Address]:
        """Those whose time has not come."""
        each = (Address(position, place) for _, position, place in self._due)
        return [address for address in each if address in self.known]

    @property
    def soonest(self) -> float:
        return self._due[0][0] if self._due else float("inf")
