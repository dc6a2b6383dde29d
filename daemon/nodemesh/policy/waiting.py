"""Which events of one kind wait for a consumer that does not ask for an order?"""

from bisect import insort
from collections import deque
from collections.abc import Callable
from itertools import groupby

from nodemesh.model.delivery import Batch, Offer, Session
from nodemesh.model.frame import Places
from nodemesh.policy.shares import FOREVER, Shares

FreeOf = Callable[[str], int]
"""Events that the sessions of a release could take now."""
REST = ""


class Waiting:
    """First what was given back, then what is new, each in the order of the log."""

    def __init__(self, shares: Shares, free_of: FreeOf) -> None:
        self._shares = shares
        self._free_of = free_of
        self._back: list[Batch] = []
        self._new: dict[str, deque[Batch]] = {REST: deque()}
        """By the release whose share they are."""
        self._events: dict[str, int] = {}
        """How many these are, of canaries."""

    def add(self, offer: Offer, places: Places, later: frozenset[int] = frozenset()) -> None:
        """`later` are those that wait for their next try, and come by `give_back`."""
        now = tuple(place for place in places if place not in later) if later else places
        if now:
            self.lay(Batch(offer.position, now))

    def give_back(self, batch: Batch) -> None:
        insort(self._back, batch, key=order)

    def take(self, session: Session, only_again: bool = False) -> Batch | None:
        """`only_again`: nothing that is new."""
        if only_again and not self._back:
            return None
        version, parts = session.version, self._shares.parts
        if version not in parts.rest:
            mine = self._events.get(version) and not only_again
            return self._from(version, session.free) if mine else None
        if self._back:
            return self._given_back(session)
        return self._from(REST, session.free) or self._spare(session.free)

    @property
    def first(self) -> float:
        """Position of the first that waits, whoever may have it."""
        waiting = [batches[0].position for batches in (self._back, *self._new.values()) if batches]
        return min(waiting, default=FOREVER)

    def wants_alone(self, session: Session) -> bool:
        """Whether it waits until this session has nothing in hand."""
        return session.version in self._shares.parts.rest and bool(self._back) and self._back[0].past.suspect

    def pour_out(self) -> tuple[list[Batch], list[Batch]]:
        """All that waits: what is new, what was given back. Nothing is left."""
        self.gather()
        new, back = list(self._new[REST]), self._back
        self._new, self._back = {REST: deque()}, []
        return new, back

    def gather(self) -> None:
        """The shares are about to change: what is new is nobody's again."""
        total = sum(len(batch.places) for batches in self._new.values() for batch in batches)
        for version, _ in self._shares.parts.live:
            self._shares.unsplit(version, self._events.get(version, 0), total)
        batches = sorted((batch for each in self._new.values() for batch in each), key=order)
        whole = (joined(list(same)) for _, same in groupby(batches, key=lambda batch: batch.position))
        self._new = {REST: deque(whole)}
        self._events.clear()

    def spread(self) -> None:
        """The shares have changed."""
        if self._shares.parts.live:
            batches = self._new.pop(REST)
            self._new[REST] = deque()
            for batch in batches:
                self.lay(batch)

    def lay(self, batch: Batch) -> None:
        """It is new."""
        rest: Batch | None = batch
        if self._shares.parts.live:
            for version, events in self._shares.split(len(batch.places)):
                assert rest
                mine, rest = _split(rest, events)
                self._new.setdefault(version, deque()).append(mine)
                self._events[version] = self._events.get(version, 0) + events
        if rest:
            self._new[REST].append(rest)

    def _from(self, version: str, most: int) -> Batch | None:
        batches = self._new[version]
        if not batches:
            return None
        taken, rest = _split(batches.popleft(), most)
        if rest:
            batches.appendleft(rest)
        if version:
            self._events[version] -= len(taken.places)
        return taken

    def _spare(self, most: int) -> Batch | None:
        """What canaries have no hands for."""
        if self._shares.left_over:
            for version, _ in self._shares.parts.live:
                spare = self._events.get(version, 0) - self._free_of(version)
                if spare > 0:
                    batch = self._from(version, min(spare, most))
                    self._shares.missed(version, len(batch.places) if batch else 0)
                    return batch
        return None

    def _given_back(self, session: Session) -> Batch | None:
        """As many as belong together: they often came back one by one."""
        first = self._back[0]
        if first.past.suspect:
            if session.held or session.elsewhere:
                # Its hands must be empty first.
                return None
            taken, rest = _split(first, 1)
            self._back[:1] = [rest] if rest else []
            return taken
        end, events = 1, len(first.places)
        while end < len(self._back) and events < session.free:
            batch = self._back[end]
            if batch.position != first.position or batch.past != first.past:
                break
            end, events = end + 1, events + len(batch.places)
        taken, rest = _split(joined(self._back[:end]), session.free)
        self._back[:end] = [rest] if rest else []
        return taken


def _split(batch: Batch, most: int) -> tuple[Batch, Batch | None]:
    places = batch.places
    if len(places) <= most:
        return batch, None
    first, rest = places[:most], places[most:]
    return Batch(batch.position, first, batch.past), Batch(batch.position, rest, batch.past)


def joined(batches: list[Batch]) -> Batch:
    """Batches of one frame with one past, as one."""
    if len(batches) == 1:
        return batches[0]
    places: Places = sorted(place for batch in batches for place in batch.places)
    run = range(places[0], places[-1] + 1)
    places = run if len(run) == len(places) else tuple(places)
    return Batch(batches[0].position, places, batches[0].past)


def order(batch: Batch) -> tuple[int, int]:
    """That of the log."""
    return batch.position, batch.places[0]
