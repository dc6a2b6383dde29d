"""What did each release do with what it was given, and how did it do at what shares dealt to it?

In a rollout both releases are compared by what was dealt to them by share: events at their first try, of
types that both handle. Where order is asked a key stays with one release, so the key counts, once for as long
as the shares stay the same: one that always fails is one fault, not thousands.
"""

from collections.abc import Mapping

from nodemesh.model.delivery import NO_PAST, Count, Held, Offer, Session
from nodemesh.model.frame import Places
from nodemesh.model.table import Consumer
from nodemesh.policy.kinds import Kinds

MOST_KEYS = 65_536
"""Of all releases together, some 8 MB: from then on no new ones are counted, of neither."""


class Ledger:
    def __init__(self, kinds: Kinds, offers: Mapping[int, Offer]) -> None:
        """Both are looked at, not changed."""
        self.counts: dict[str, Count] = {}
        self._kinds, self._offers = kinds, offers
        self._shares = _shares(kinds.consumer)
        self._since = 0
        """What was given out up to this epoch was dealt by other shares."""
        self._seen: dict[int, str] = {}
        """Keys and whose they are."""
        self._failed: set[int] = set()

    def route(self, consumer: Consumer, epoch: int) -> None:
        """The newest epoch given out."""
        if _shares(consumer) != self._shares:
            self._shares, self._since = _shares(consumer), epoch
            self._seen, self._failed = {}, set()

    def given(self, session: Session, events: int) -> None:
        self._count(session).delivered += events

    def told(self, session: Session, held: Held, places: Places, failed: bool = False) -> None:
        """The outcome of events that are not settled yet."""
        count = self._count(session)
        if failed:
            count.failed += len(places)
        else:
            count.acked += len(places)
        if self._shares and held.past is NO_PAST and held.sending.epoch > self._since:
            tried = self._units(session.version, held.sending.position, places, failed)
            count.first += tried[0]
            count.first_failed += tried[1]

    def _units(self, version: str, position: int, places: Places, failed: bool) -> tuple[int, int]:
        """How many there are more, and how many more that failed."""
        offer = self._offers[position]
        dealt = self._dealt(offer, places)
        if not offer.keys:
            return len(dealt), len(dealt) if failed else 0
        tried = bad = 0
        for key in map(offer.keys.__getitem__, dealt):
            # Without a key there is no order: such an event is for itself.
            tried += not key or self._is_new(key, version)
            if failed:
                bad += not key or self._is_new_fault(key, version)
        return tried, bad

    def _is_new(self, key: int, version: str) -> bool:
        if key in self._seen or len(self._seen) >= MOST_KEYS:
            return False
        self._seen[key] = version
        return True

    def _is_new_fault(self, key: int, version: str) -> bool:
        if key in self._failed or self._seen.get(key) != version:
            return False
        self._failed.add(key)
        return True

    def _dealt(self, offer: Offer, places: Places) -> Places:
        """Those that either release might have got: while one of them is not there, no share is live."""
        only = self._kinds.only
        if only is not None:
            return places if only.parts.live else ()
        shared = {type for type in offer.types if self._kinds.kind_of(type).parts.live}
        return tuple(place for place in places if offer.type_of(place) in shared)

    def _count(self, session: Session) -> Count:
        return self.counts.setdefault(session.version, Count())


def _shares(consumer: Consumer) -> tuple[tuple[str, float], ...]:
    return tuple((share.version, share.share) for share in consumer.shares)
