"""Which events wait for a consumer that does not ask for an order?"""

from collections import deque
from collections.abc import Callable

from nodemesh.model.delivery import Batch, Offer, Session
from nodemesh.model.frame import Places

Fits = Callable[[Batch], bool]


class Waiting:
    """First what was given back, then what is new, each in the order of the log."""

    def __init__(self) -> None:
        self._back: list[Batch] = []
        self._new: deque[Batch] = deque()

    def add(self, offer: Offer, places: Places, later: frozenset[int] = frozenset()) -> None:
        """`later` are those that wait for their next try, and come by `give_back`."""
        now = tuple(place for place in places if place not in later) if later else places
        if now:
            self._new.append(Batch(offer.position, now))

    def give_back(self, batch: Batch) -> None:
        self._back.append(batch)
        self._back.sort(key=_order)

    def take(self, session: Session, most: int, fits: Fits) -> Batch | None:
        """`most`: of those that were not sent before; what was given back goes up to the session's credit."""
        for number, batch in enumerate(self._back):
            if fits(batch):
                taken, rest = _split(batch, 1 if batch.past.suspect else session.free)
                self._back[number : number + 1] = [rest] if rest else []
                return taken
        if not self._new or most <= 0:
            return None
        taken, rest = _split(self._new.popleft(), min(most, session.free))
        if rest:
            self._new.appendleft(rest)
        return taken

    def settled(self, position: int, places: Places) -> None:
        """Nothing waits for them."""

    def leave(self, session: Session) -> None:
        """Nothing was kept for it."""

    def hold_up(self, position: int, place: int) -> None:
        """It failed; nothing waits behind it."""

    def reroute(self) -> None:
        """Nothing was sorted by release."""


def _split(batch: Batch, most: int) -> tuple[Batch, Batch | None]:
    places = batch.places
    if len(places) <= most:
        return batch, None
    first, rest = places[:most], places[most:]
    return Batch(batch.position, first, batch.past), Batch(batch.position, rest, batch.past)


def _order(batch: Batch) -> tuple[int, int]:
    return batch.position, batch.places[0]
