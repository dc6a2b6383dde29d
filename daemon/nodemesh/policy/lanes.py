"""What waits for a consumer that asks for no order, when not every session handles every type?

Each kind of events waits in a lane of its own; mostly there is one.
"""

from collections.abc import Iterator, Mapping, Set
from itertools import groupby

from nodemesh.model.delivery import Batch, Offer, Session
from nodemesh.model.frame import Places
from nodemesh.policy.kinds import Kind, Kinds
from nodemesh.policy.waiting import Waiting, joined, order


class Lanes:
    def __init__(self, kinds: Kinds, offers: Mapping[int, Offer], sessions: list[Session]) -> None:
        """`offers` and `sessions` are looked at, not changed."""
        self._kinds, self._offers, self._sessions = kinds, offers, sessions
        self._lanes: dict[Kind, Waiting] = {}

    def add(self, offer: Offer, places: Places, later: frozenset[int] = frozenset()) -> None:
        """`later` are those that wait for their next try, and come by `give_back`."""
        for kind, its in self._sorted(offer.position, places):
            self._lane(kind).add(offer, its, later)

    def give_back(self, batch: Batch) -> None:
        for kind, its in self._sorted(batch.position, batch.places):
            self._lane(kind).give_back(Batch(batch.position, its, batch.past))

    def take(self, session: Session, only_again: bool = False) -> Batch | None:
        """`only_again`: nothing that is new."""
        lanes = [self._lane(kind) for kind in self._kinds.of(session)]
        if len(lanes) > 1:
            if alone := next((lane for lane in lanes if lane.wants_alone(session)), None):
                return alone.take(session, only_again)
            lanes.sort(key=lambda lane: lane.first)
        return next((batch for lane in lanes if (batch := lane.take(session, only_again))), None)

    def wants_alone(self, session: Session) -> bool:
        """Whether an event waits until this session has nothing in hand."""
        return any(self._lane(kind).wants_alone(session) for kind in self._kinds.of(session))

    def settled(self, position: int, places: Places, over: bool) -> None:
        """Nothing waits for them."""

    def leave(self, session: Session) -> None:
        """Nothing was kept for it."""

    def hold_up(self, position: int, place: int) -> None:
        """It failed; nothing waits behind it."""

    def take_out(self, types: Set[str]) -> list[Batch]:
        """Everything of these types that waits here."""
        out: list[Batch] = []
        for lane in self._lanes.values():
            new, back = lane.pour_out()
            for batch, is_new in (*((b, True) for b in new), *((b, False) for b in back)):
                offer = self._offers[batch.position]
                gone = tuple(place for place in batch.places if offer.type_of(place) in types)
                left = tuple(place for place in batch.places if offer.type_of(place) not in types)
                out += [Batch(batch.position, gone, batch.past)] if gone else []
                if left and is_new:
                    lane.lay(Batch(batch.position, left))
                elif left:
                    lane.give_back(Batch(batch.position, left, batch.past))
        return out

    def gather(self, kind: Kind) -> None:
        """Its shares are about to change."""
        self._lane(kind).gather()

    def spread(self, kind: Kind) -> None:
        """Its shares have changed."""
        self._lane(kind).spread()

    def sort(self) -> None:
        """Types are of other kinds now."""
        poured = [lane.pour_out() for lane in self._lanes.values()]
        self._lanes = {kind: lane for kind, lane in self._lanes.items() if kind in self._kinds.all}
        news = sorted((batch for new, _ in poured for batch in new), key=order)
        for position, same in groupby(news, key=lambda batch: batch.position):
            for kind, its in self._sorted(position, joined(list(same)).places):
                self._lane(kind).lay(Batch(position, its))
        for _, back in poured:
            for batch in back:
                self.give_back(batch)

    def _lane(self, kind: Kind) -> Waiting:
        lane = self._lanes.get(kind)
        if lane is None:

            def free_of(version: str) -> int:
                mine = (s for s in self._sessions if s.version == version and kind in self._kinds.of(s))
                return sum(session.room for session in mine)

            lane = self._lanes[kind] = Waiting(kind.shares, free_of)
        return lane

    def _sorted(self, position: int, places: Places) -> Iterator[tuple[Kind, Places]]:
        """By kind; runs stay runs where all is of one."""
        kinds, offer = self._kinds, self._offers[position]
        if (only := kinds.only) is not None:
            yield only, places
            return
        if not offer.column:
            yield kinds.kind_of(offer.types[0]), places
            return
        of = [kinds.kind_of(type) for type in offer.types]
        for kind in dict.fromkeys(of[offer.column[place]] for place in places):
            its = tuple(place for place in places if of[offer.column[place]] is kind)
            yield kind, places if len(its) == len(places) else its
