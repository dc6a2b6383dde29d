"""How does one consuming node get its events? From memory while it keeps up, else from the log."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from nodeapi.v1 import mesh_pb2
from nodemesh.model.cursor import Cursor, Dead
from nodemesh.model.delivery import Offer, Sending, SetAside
from nodemesh.model.delivery import Session as Hands
from nodemesh.model.frame import Places, Stored
from nodemesh.model.table import Consumer
from nodemesh.policy.delivery import Delivery
from nodemesh.ports import Clock, Codec, Index, Log, NotFound, Unavailable
from nodemesh.runtime.recent import Ahead, Recent
from nodemesh.runtime.session import Session

READ = 1024 * 1024
"""Bytes read from the log at once for one consumer."""
WORTH = 128
"""Frames for which there is room: for fewer the log is read only if somebody waits for them."""
STOOD_STILL = 3.0
"""Seconds between two looks, of which one is due every second: the mesh was stopped, or the host slept."""
PATIENCE = 1.0
"""Seconds until a log that could not be read is tried again."""


@dataclass(frozen=True, slots=True)
class World:
    log: Log
    index: Index
    codec: Codec
    clock: Clock


class ConsumingNode:
    def __init__(
        self, consumer: Consumer, cursor: Cursor, generation: int, world: World, recent: Recent
    ) -> None:
        self.delivery = Delivery(consumer, cursor, generation)
        self.sessions: list[Session] = []
        self.changed = False
        """Whether the cursor on disk is behind."""
        self._generation = generation
        self._log, self._codec, self._clock, self._recent = world.log, world.codec, world.clock, recent
        self._ahead = Ahead(recent)
        self._size = READ
        """Bytes of a frame that was read, as a rule."""
        self._stir = asyncio.Event()
        self._newest = world.log.span.newest
        """Position of the last frame that may be for this node."""
        self._aside: tuple[SetAside, ...] = ()

    @property
    def name(self) -> str:
        return self.delivery.consumer.node

    def route(self, consumer: Consumer) -> None:
        if consumer.ordered != self.delivery.consumer.ordered:
            self._begin_anew(consumer)
        for session in self.sessions:
            if session.hands.is_peer:
                session.hands.version = consumer.stable
        self.catch_up()
        self.delivery.route(consumer)
        self._wake()

    def join(self, session: Session) -> None:
        self.sessions.append(session)
        self.delivery.join(session.hands)
        self.moved()

    def written_now(self, stored: Stored) -> bool:
        """A frame for it was committed: take it at once if this node has kept up, else it will be read.

        Whether it was taken: then `hand_out` is due.
        """
        has_kept_up, self._newest = self._has_kept_up, stored.position
        if has_kept_up and self.delivery.offered < stored.position and self._takes:
            self.delivery.passed(stored.position - 1)
            self._offer(stored)
            return True
        return False

    @property
    def _takes(self) -> bool:
        return self.delivery.room > 0 and not self._ahead.is_full

    @property
    def _reads(self) -> bool:
        least = 1 if self._ahead.is_asked_for else WORTH
        return self.delivery.room >= least and self._ahead.room > 0

    @property
    def _has_kept_up(self) -> bool:
        return self.delivery.offered >= self._newest

    def catch_up(self) -> None:
        """What was committed since the last frame for this node was not for it."""
        if self._has_kept_up:
            self.delivery.passed(self._recent.newest)

    @property
    def floor(self) -> int:
        self.catch_up()
        return self.delivery.floor

    def hand_out(self) -> None:
        """At once: somebody waits for what was committed."""
        for session in self._in_turn():
            session.wake.ring()

    def moved(self, *, later: bool = True) -> None:
        """Something was settled; `later`: or given back, or to be done at some time."""
        self.changed = True
        if later:
            self.sessions = [s for s in self.sessions if s.hands in self.delivery.sessions]
            if not self.sessions:
                self._ahead.is_asked_for = False
        if later or self.delivery.offered < self._newest:
            self._stir.set()
        if later or self.delivery.consumer.ordered:
            self._wake()

    async def run(self) -> None:
        """Offers what the node is behind with, and brings back what is due."""
        looked = self._clock.now()
        while True:
            now, before = self._clock.now(), looked
            looked = now
            if now - before > STOOD_STILL:
                self.delivery.slept(now - before)
            soonest = self.delivery.tick(now, self._clock.wall())
            self._wake()
            self._stir.clear()
            self.catch_up()
            try:
                if self._reads and self.delivery.offered < self._log.span.newest:
                    await self._read_on()
                    # Sessions take what they were offered, or ask for more.
                    await asyncio.sleep(0)
                    continue
                wait = min(soonest - self._clock.now(), 1.0)
            except Unavailable:
                wait = PATIENCE
            try:
                async with asyncio.timeout(max(wait, 0.001)):
                    await self._stir.wait()
            except TimeoutError:
                self._ahead.forget(self.delivery.has)

    def next(self, hands: Hands) -> Sending | None:
        sending = self.delivery.next(hands, self._clock.now(), self._clock.wall())
        if sending is not None:
            had_room = self._ahead.room
            self._ahead.sent(sending.position)
            if not had_room and self._ahead.room:
                self._stir.set()
        elif hands.room > 0 and not self._ahead.is_asked_for:
            self._ahead.is_asked_for = True
            if not self._has_kept_up:
                self._stir.set()
        return sending

    async def written(self, sending: Sending, alone: bool = False) -> bytes:
        return self._frame(await self._stored(sending.position), sending, alone)

    def ready(self, sending: Sending, alone: bool = False) -> bytes | None:
        stored = self._recent.get(sending.position)
        return None if stored is None else self._frame(stored, sending, alone)

    def _frame(self, stored: Stored, sending: Sending, alone: bool) -> bytes:
        delivery = mesh_pb2.Delivery(
            number=sending.number,
            position=sending.position,
            attempt=sending.attempt,
            epoch=sending.epoch,
            alone=alone,
        )
        whole = len(sending.places) == stored.head.count
        data = stored.data if whole else self._codec.part(stored.data, sending.places)
        return self._codec.delivered(data, delivery)

    async def _stored(self, position: int) -> Stored:
        """Raises NotFound and Unavailable."""
        stored = self._recent.get(position)
        if stored is None:
            found, _ = await self._log.read(position, frozenset(), 1)
            if not found or found[0].position != position:
                raise NotFound(f"the log has lost the frame at position {position}")
            stored = found[0]
        return stored

    async def letters(self) -> tuple[tuple[SetAside, ...], Sequence[tuple[Dead, bytes]]]:
        """Events that were set aside, each as a frame. Raises Unavailable; then they are told again."""
        aside = self._aside = (*self._aside, *self.delivery.take_aside())
        made: list[tuple[Dead, bytes]] = []
        for letter in aside:
            address = letter.address
            try:
                stored = await self._stored(address.position)
            except NotFound:
                continue
            at = self._clock.wall()
            dead = Dead(self.name, address, letter.attempts, letter.reason, at, letter.version)
            made.append((dead, self._codec.piece(stored.data, address.place, address.place + 1)))
        return aside, made

    def kept(self, aside: tuple[SetAside, ...]) -> None:
        """Their letters are on disk."""
        self._aside = self._aside[len(aside) :]
        self.delivery.kept(aside)
        self.moved()

    def end(self, why: str) -> None:
        self._ahead.clear()
        for session in self.sessions:
            session.end(why)

    async def _read_on(self) -> None:
        types, until = self.delivery.reads
        start = self.delivery.offered + 1
        found, following = await self._neighbours(start, types)
        if self.delivery.offered + 1 != start:
            return  # what was committed meanwhile came first
        if (types, until) != self.delivery.reads:
            return  # a type that is asked for since was passed over
        for stored in found:
            if until and stored.position >= until:
                break
            if self.delivery.room <= 0:
                self._wake()
                return
            self._recent.add(stored)
            self._offer(stored)
        self.delivery.passed((min(following, until) if until else following) - 1)
        self._wake()

    async def _neighbours(self, start: int, types: frozenset[str]) -> tuple[Sequence[Stored], int]:
        """As `Log.read`, no more than there is room for. Raises Unavailable."""
        most = min(READ, self._ahead.room, self.delivery.room * self._size)
        if found := self._recent.run(start, most):
            return found, start + len(found)
        found, following = await self._log.read(start, types, most)
        if found:
            self._size = sum(len(stored.data) for stored in found) // len(found) + 1
        return found, following

    def _offer(self, stored: Stored) -> None:
        offer = offer_of(stored, self.delivery.consumer)
        if offer is None:
            self.delivery.passed(stored.position)
        else:
            self.delivery.offer(offer)
            if self.delivery.has(stored.position):
                self._ahead.add(stored)

    def _begin_anew(self, consumer: Consumer) -> None:
        """In another order now: what was under way is given back and sent again."""
        self.end("the order in which this node consumes has changed: subscribe again")
        cursor, counts, epoch = self.delivery.cursor, self.delivery.counts, self.delivery.epoch
        self.delivery = Delivery(consumer, cursor, self._generation, epoch)
        self.delivery.counts.update(counts)

    def _wake(self) -> None:
        for session in self._in_turn():
            session.wake.set()

    def _in_turn(self) -> list[Session]:
        """Who can take something, canaries first."""
        able = [session for session in self.sessions if session.hands.free > 0]
        canaries = {share.version for share in self.delivery.consumer.shares}
        return sorted(able, key=lambda s: s.hands.version not in canaries) if canaries else able


def offer_of(stored: Stored, consumer: Consumer) -> Offer | None:
    """What of a frame is for this consumer."""
    head, columns, types = stored.head, stored.columns, consumer.types
    if stored.to and stored.to != consumer.node:
        return None
    wanted = [number for number, each in enumerate(head.types) if each in types]
    if not wanted:
        return None
    places: Places = range(head.count)
    if len(wanted) < len(head.types):
        places = tuple(place for place in places if columns.type[place] in wanted)
    keys = columns.key if consumer.ordered else ()
    if keys and len({types[head.types[number]] for number in wanted}) > 1:
        ordered = [types.get(each, False) for each in head.types]
        keys = tuple(key if ordered[columns.type[place]] else 0 for place, key in enumerate(keys))
    elif keys and not types[head.types[wanted[0]]]:
        keys = ()
    return Offer(stored.position, places, head.types, columns.type, keys)
