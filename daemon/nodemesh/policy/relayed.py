"""What becomes of events that another mesh keeps, and that came here for one consuming node?

They are given to its sessions as those of our own log. Tries, pauses and dead letters are for the other mesh
to decide: what was not handled is told, and gone from here. Positions are numbers of its deliveries.
"""

from collections.abc import Iterable, Sequence

from nodemesh.model.cursor import Cursor
from nodemesh.model.delivery import LOST_TWICE, Batch, Held, How, Offer, Past, Session
from nodemesh.model.frame import Address, Places
from nodemesh.model.table import Consumer
from nodemesh.policy.delivery import Delivery, Failure
from nodemesh.policy.progress import bits


class Relayed(Delivery):
    def __init__(self, consumer: Consumer) -> None:
        super().__init__(consumer, Cursor(1))
        self._over: list[int] = []
        self._failures: list[Failure] = []

    def offer(self, offer: Offer) -> None:
        super().offer(offer)
        self._send_back()

    def offer_alone(self, offer: Offer) -> None:
        """Its events may be what ends their consumers: each is sent when nothing else is in hand."""
        self._progress.offer(offer.position, bits(offer.places))
        self._offers[offer.position] = offer
        self._queue.add(offer, offer.places, frozenset(offer.places))
        self._queue.give_back(Batch(offer.position, offer.places, Past(1, LOST_TWICE)))
        self._send_back()

    def leave(self, session: Session, now: float) -> None:
        if session in self.sessions:
            for held in session.held.values():
                for place in held.left:
                    self._tell(Address(held.sending.position, place), (How.LOST, 0.0, ""))
            session.held.clear()
        super().leave(session, now)

    def told(self) -> tuple[Sequence[int], Sequence[Failure]]:
        """Since the last call: deliveries that are over, and events of them that were not handled."""
        over, self._over = self._over, []
        failures, self._failures = self._failures, []
        return over, failures

    @property
    def has_to_tell(self) -> bool:
        return bool(self._over or self._failures)

    @property
    def open(self) -> Sequence[int]:
        """Deliveries that are not over."""
        return tuple(self._offers)

    def _share_out(self, wall: float) -> None:
        super()._share_out(wall)
        self._send_back()

    def _park(self) -> None:
        """Nothing is left behind here: there is no log to read again."""

    def _send_back(self) -> None:
        """What nobody here handles: another host may have the release that does."""
        strange = self._kinds.types(kind for kind in self._kinds.all if not kind.is_wished)
        self._discard(self._queue.take_out(strange) if strange else ())

    def _discard(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            for place in batch.places:
                self._tell(Address(batch.position, place), (How.RELEASE, 0.0, ""))

    def _released(self, session: Session, address: Address, past: Past, now: float) -> None:
        if self.type_of(address) in session.wishes or not session.wishes:
            super()._released(session, address, past, now)
        else:
            # No handler here: another host may have the release that has one.
            self._tell(address, (How.RELEASE, 0.0, ""))

    def _again(
        self, session: Session, address: Address, past: Past, word: tuple[How, float, str], now: float
    ) -> None:
        self._tell(address, word)

    def _killed(self, session: Session, address: Address, held: Held, now: float) -> None:
        self._tell(address, (How.LOST, 0.0, ""))

    def _tell(self, address: Address, word: tuple[How, float, str]) -> None:
        how, after, reason = word
        self._failures.append((address.position, address.place, how, after, reason))
        self._queue.hold_up(address.position, address.place)
        self._settled(address.position, (address.place,))

    def _settled(self, position: int, places: Places) -> None:
        super()._settled(position, places)
        if position not in self._offers:
            self._over.append(position)
