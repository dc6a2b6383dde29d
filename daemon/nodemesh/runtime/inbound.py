"""How do events of another mesh reach one consuming node here, and what is the other mesh told of them?"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from nodeapi.v1 import mesh_pb2
from nodemesh.model.delivery import How, Offer, Sending, Wish
from nodemesh.model.delivery import Session as Hands
from nodemesh.model.table import Consumer
from nodemesh.policy.delivery import Failure
from nodemesh.policy.relayed import Relayed
from nodemesh.ports import Carried, Clock, Codec, NotFound, Refused
from nodemesh.runtime.session import MOST_GRANTED, Session

_SAID = {
    How.RETRY: mesh_pb2.Failed.RETRY,
    How.REJECT: mesh_pb2.Failed.REJECT,
    How.RELEASE: mesh_pb2.Failed.RELEASE,
    How.LOST: mesh_pb2.Failed.LOST,
}


class Inbound:
    """One stream's. It forgets all when that ends: the other mesh sends again what was not settled."""

    def __init__(self, consumer: Consumer, origin: str, codec: Codec, clock: Clock) -> None:
        self.delivery = Relayed(consumer)
        self.origin = origin
        self.received = 0
        """Events."""
        self.stir = asyncio.Event()
        """There is something to tell."""
        self.draining = False
        """No more is asked for."""
        self.is_over = False
        """What still comes is left to whom the other mesh gives it next: nothing more can be told of it."""
        self._codec, self._clock = codec, clock
        self._frames: dict[int, Carried] = {}
        self._sessions: list[Session] = []
        self._granted = 0

    def join(self, session: Session) -> None:
        self._sessions.append(session)
        self.delivery.join(session.hands)
        self.moved()

    def route(self, consumer: Consumer) -> None:
        self.delivery.route(consumer)
        self._wake()

    def take_in(self, data: bytes) -> None:
        """Raises Refused for what no mesh says."""
        if self.is_over:
            return
        found = self._codec.carried(data)
        if found is None:
            return
        delivery, number, count = found.delivery, found.delivery.number, found.events
        if number != self.delivery.offered + 1:
            raise Refused(f"delivery.number: expected {self.delivery.offered + 1}, found {number}")
        self.received += count
        self._frames[number] = found
        keys = found.columns.key if self.delivery.consumer.ordered else ()
        offer = Offer(number, range(count), found.types, found.columns.type, keys)
        if delivery.alone:
            self.delivery.offer_alone(offer)
        else:
            self.delivery.offer(offer)
        self._wake()

    def next(self, hands: Hands) -> Sending | None:
        return self.delivery.next(hands, self._clock.now(), self._clock.wall())

    async def written(self, sending: Sending, alone: bool = False) -> bytes:
        """Raises NotFound for what is settled meanwhile."""
        data = self.ready(sending)
        if data is None:
            raise NotFound("it was settled")
        return data

    def ready(self, sending: Sending, alone: bool = False) -> bytes | None:
        carried = self._frames.get(sending.position)
        if carried is None:
            return None
        theirs = carried.delivery
        delivery = mesh_pb2.Delivery(
            number=sending.number,
            position=theirs.position,
            attempt=theirs.attempt,
            epoch=theirs.epoch,
            origin=self.origin,
        )
        whole = len(sending.places) == carried.events
        return self._codec.delivered(
            carried.data if whole else self._codec.part(carried.data, sending.places), delivery
        )

    def moved(self, *, later: bool = True) -> None:
        if later:
            self._sessions = [s for s in self._sessions if s.hands in self.delivery.sessions]
        self._wake()
        self.stir.set()

    def tick(self) -> float:
        """Looks for sessions that say nothing. When there is more to look for."""
        soonest = self.delivery.tick(self._clock.now(), self._clock.wall())
        if self.delivery.has_to_tell:
            self.stir.set()
        return soonest

    def word(self) -> mesh_pb2.Settle | None:
        """What the other mesh does not know yet."""
        over, failures = self.delivery.told()
        granted = self._grant()
        if not over and not failures and granted == self._granted:
            return None
        self._granted = granted
        for number in over:
            self._frames.pop(number, None)
        through = self.delivery.floor - 1
        done = [number for number in over if number > through]
        return mesh_pb2.Settle(through=through, done=done, failed=map(_failed, failures), granted=granted)

    def beat(self) -> mesh_pb2.Settle:
        """We are there, and work on what we have."""
        return mesh_pb2.Settle(granted=self._granted, working=self.delivery.open)

    @property
    def is_idle(self) -> bool:
        return not self.delivery.waiting

    def end(self) -> None:
        for session in list(self._sessions):
            session.end(f"the stream from {self.origin} ended")

    def _grant(self) -> int:
        """What the sessions have free, beyond what waits for them already."""
        if self.draining:
            return self._granted
        hands = [session.hands for session in self._sessions]
        in_hand = sum(len(held.left) for each in hands for held in each.held.values())
        free = sum(max(0, each.free) for each in hands) - (self.delivery.waiting - in_hand)
        return max(self._granted, self.received + min(max(0, free), MOST_GRANTED // 2))

    def _wake(self) -> None:
        for session in self._sessions:
            if session.hands.free > 0:
                session.wake.set()


def _failed(failure: Failure) -> mesh_pb2.Failed:
    number, place, how, after, reason = failure
    return mesh_pb2.Failed(delivery=number, event=place, how=_SAID[how], after=after, reason=reason)


def renumbered(sending: Sending, number: int) -> Sending:
    return replace(sending, number=number)


def wishes(sessions: Sequence[Session], consumer: Consumer) -> list[mesh_pb2.Wish]:
    """Of all sessions together."""
    made = []
    for type in consumer.types:
        # Who names none takes all.
        asked = [
            s.hands.wishes.get(type, Wish()) for s in sessions if type in s.hands.wishes or not s.hands.wishes
        ]
        if asked:
            made.append(mesh_pb2.Wish(type=type, attempts=max(wish.attempts for wish in asked)))
    return made
