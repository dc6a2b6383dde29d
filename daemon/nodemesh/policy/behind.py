"""Which types are left behind, because nobody who is here handles them?

Their events wait in the log and take no memory: of each type it is known from which position on nothing was
given out. When somebody comes who handles it, the log is read again from there.
"""

from collections.abc import Callable, Iterable, Mapping, Set

from nodemesh.model.delivery import Offer
from nodemesh.model.frame import Places
from nodemesh.policy.progress import places_of


class Behind:
    def __init__(self, since: Mapping[str, int]) -> None:
        self.since = dict(since)
        """By type, the position from which on it is still to be given out."""
        self.parked: frozenset[str] = frozenset(since)
        """What nobody handles at present."""

    @property
    def floor(self) -> float:
        return min(self.since.values(), default=float("inf"))

    def set(self, parked: frozenset[str], consumed: Set[str], offered: int) -> int:
        """Who is here has changed. The position to go back to; above `offered`: to none."""
        self.parked = parked
        self.since = {type: since for type, since in self.since.items() if type in consumed}
        again = [since for type, since in self.since.items() if type not in parked]
        return min(again, default=offered + 1)

    def forget(self, types: Set[str]) -> None:
        """Nobody consumes them any more."""
        self.since = {type: since for type, since in self.since.items() if type not in types}

    def pick(self, offer: Offer, is_behind: bool) -> tuple[Places, int]:
        """Places to give out, and a mask of those whose position was passed before.

        While the log is read for what is known already (`is_behind`), nothing more is left behind.
        """
        since, parked, position = self.since, self.parked, offer.position
        if not since and (is_behind or parked.isdisjoint(offer.types)):
            return offer.places, 0
        places, late = [], 0
        for place in offer.places:
            type = offer.type_of(place)
            if type in parked and not is_behind:
                since.setdefault(type, position)
            begun = since.get(type)
            if begun is None or position < begun:
                places.append(place)
            elif type not in parked:
                places.append(place)
                late |= 1 << place
        return tuple(places), late

    def reached(self, offered: int, is_behind: bool) -> None:
        """All up to there was given out, but what is parked."""
        if not self.since:
            return
        for type in [type for type in self.since if type not in self.parked]:
            if is_behind:
                self.since[type] = max(self.since[type], offered + 1)
            else:
                del self.since[type]

    def stuck(self, offers: Iterable[Offer], left: Callable[[int], int]) -> int:
        """Frames of which nobody may have what is `left`."""
        if not self.parked:
            return 0
        return sum(
            all(offer.type_of(place) in self.parked for place in places_of(left(offer.position)))
            for offer in offers
        )

    def reads(self, consumed: Set[str], start: int, resumes: int) -> tuple[frozenset[str], int]:
        """Types to look for from `start` on, and the position before which that ends (0: none).

        Below `resumes` there is nothing to look for but what is late.
        """
        late = frozenset(type for type in self.since if type not in self.parked)
        if start < resumes and late:
            return late, resumes
        skipped = {type for type in self.parked if self.since.get(type, start + 1) <= start}
        return frozenset(consumed) - skipped, 0
