"""Which event goes to which instance of one consuming node, and what becomes of it?

Pure: what happens is told by calls, with the time; what follows is asked for. Frames are offered in the order of
the log. An event is settled when it was handled or set aside; until then it waits, is under way, or waits for its
next try. At least once: nothing is settled but by a consumer's word or after its last attempt.
"""

import heapq
import zlib
from collections.abc import Iterable, Mapping, Sequence

from nodemesh.model.cursor import Cursor, Trial
from nodemesh.model.delivery import (
    Batch,
    Count,
    Held,
    How,
    Offer,
    Past,
    Sending,
    Session,
    SetAside,
    Wish,
)
from nodemesh.model.frame import Address, Places
from nodemesh.model.table import Consumer
from nodemesh.policy.keyed import Keyed
from nodemesh.policy.shares import Shares
from nodemesh.policy.waiting import Waiting

AHEAD = 64
"""Frames beyond which no more are read for a consumer that does not settle them."""
AHEAD_KEYED = 512
"""More, because one key that waits for its next try must not hold up the others soon."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 60.0
"""Seconds to the next try, doubled each time."""
KILLS = 2
"""Times an event may end its consumer while it is the only one in hand."""
LONGEST_AFTER = 86_400.0


class Delivery:
    def __init__(self, consumer: Consumer, cursor: Cursor, generation: int = 0) -> None:
        """`generation` rises with every start of the mesh: epochs of a later one are higher."""
        self.consumer = consumer
        self.counts: dict[str, Count] = {}
        self.retried = 0
        self.sessions: list[Session] = []
        self.offered = cursor.floor - 1
        """The last position that was offered or passed over."""
        self._shares = Shares(consumer)
        self._queue: Waiting | Keyed = Keyed(self._version_of) if consumer.ordered else Waiting()
        self._wall = 0.0
        self._open: dict[int, int] = {}
        """By position, ascending, a bit for each place that is not settled; 0 until the floor has passed."""
        self._partial: set[int] = set()
        """Of these, the ones of which something is settled."""
        self._before: dict[int, int] = dict(cursor.open)
        """The same from before the last restart, until the frame is offered again."""
        self._offers: dict[int, Offer] = {}
        self._trials: dict[Address, Trial] = dict(cursor.trials)
        self._due: list[tuple[float, int, int]] = []
        self._aside: list[SetAside] = []
        self._epoch = generation << 32
        self._kills: dict[Address, int] = {}

    # What the world tells

    def route(self, consumer: Consumer) -> None:
        if consumer.ordered != self.consumer.ordered:
            raise ValueError("the order a consumer asks for changes only with a new machine")
        self.consumer = consumer
        self._shares.route(consumer)
        self._queue.reroute()

    def offer(self, offer: Offer) -> None:
        """A frame with events for this consumer. Positions rise from call to call."""
        position, places, mask = offer.position, offer.places, bits(offer.places)
        known = self._before.pop(position, mask)
        if known & mask != mask:
            mask &= known
            places = tuple(place for place in places if mask >> place & 1)
            self._partial.add(position)
        self.passed(position - 1)
        self.offered = position
        self._open[position] = mask
        if not mask:
            self._settle_floor()
            return
        self._offers[position] = offer
        tried = {p for p in places if Address(position, p) in self._trials} if self._trials else set()
        self._queue.add(offer, places, frozenset(tried))
        for place in sorted(tried):
            self._try_later(Address(position, place), self._trials[Address(position, place)])

    def passed(self, position: int) -> None:
        """Up to here there is nothing more for this consumer: what it left open there is lost."""
        self.offered = max(self.offered, position)
        if self._before or self._trials:
            for lost in [p for p in self._before if p <= position]:
                del self._before[lost]
            for address in [
                a for a in self._trials if a.position <= position and a.position not in self._offers
            ]:
                del self._trials[address]

    def join(self, session: Session) -> None:
        self.sessions.append(session)
        self._queue.reroute()

    def leave(self, session: Session, now: float) -> None:
        """What it had in hand goes to others. A suspect that was alone in its hand counts as tried."""
        if session not in self.sessions:
            return
        self.sessions.remove(session)
        for held in sorted(session.held.values(), key=lambda h: h.sending.number):
            left = held.left
            if len(session.held) == 1 and len(left) == 1 and held.past.suspect:
                self._killed(session, Address(held.sending.position, left[0]), held, now)
            elif left:
                past = Past(held.past.attempt, held.past.lost + 1, self._avoided(session))
                self._queue.give_back(Batch(held.sending.position, left, past))
        session.held.clear()
        self._queue.leave(session)
        self._queue.reroute()

    def settle(
        self,
        session: Session,
        through: int = 0,
        done: Iterable[int] = (),
        failed: Sequence[tuple[int, int, How, float, str]] = (),
        now: float = 0.0,
    ) -> None:
        """`failed`: number of the delivery, place within it, how, seconds to wait, reason.

        Numbers that are not in the session's hands are passed over: they were given to others.
        Raises ValueError for a place that the delivery does not have.
        """
        for number, place, how, after, reason in failed:
            held = session.held.get(number)
            if held is None:
                continue
            if not 0 <= place < len(held.sending.places):
                raise ValueError(
                    f"delivery {number} has {len(held.sending.places)} events, there is no event {place}"
                )
            self._failed(session, held, held.sending.places[place], how, (after, reason), now)
        for number in range(session.through + 1, min(through, session.number) + 1):
            self._done(session, number)
        session.through = max(session.through, min(through, session.number))
        for number in done:
            self._done(session, number)

    def working(self, session: Session, numbers: Iterable[int], now: float) -> None:
        for number in numbers:
            held = session.held.get(number)
            if held is not None:
                held.deadline = now + session.timeout

    def tick(self, now: float, wall: float) -> float:
        """Brings back what is due. Returns the time at which there is more to do; infinity for never."""
        self._wall = wall
        while self._due and self._due[0][0] <= now:
            _, position, place = heapq.heappop(self._due)
            address = Address(position, place)
            trial = self._trials.get(address)
            if trial is not None and position in self._offers and trial.due <= now:
                past = Past(trial.attempt + 1, 2 if trial.suspect else 0, trial.version)
                self._queue.give_back(Batch(position, (place,), past))
        soonest = self._due[0][0] if self._due else float("inf")
        for session in self.sessions:
            for held in [h for h in session.held.values() if h.deadline <= now]:
                self._late(session, held, now)
            soonest = min([soonest, *(h.deadline for h in session.held.values())])
        return soonest

    # What is asked

    @property
    def wants(self) -> bool:
        """Whether more frames should be offered."""
        return len(self._offers) < (AHEAD_KEYED if self.consumer.ordered else AHEAD)

    @property
    def floor(self) -> int:
        return next(iter(self._open), self.offered + 1)

    @property
    def waiting(self) -> int:
        """Events offered and not settled."""
        return sum(self._open[position].bit_count() for position in self._offers)

    @property
    def cursor(self) -> Cursor:
        known = {position: self._open[position] for position in self._partial} | self._before
        return Cursor(self.floor, known, dict(self._trials))

    def next(self, session: Session, now: float, wall: float) -> Sending | None:
        """What this session should get now."""
        self._wall = wall
        if session.free <= 0 or any(held.past.suspect for held in session.held.values()):
            return None
        if session.wanted_alone and session.held:
            return None
        # Another may have taken it meanwhile.
        session.wanted_alone = False
        others = any(s.version != session.version and s.free > 0 for s in self.sessions)
        room = self._shares.room(session.version, wall, others)
        batch = self._queue.take(session, room, lambda b: self._fits(b, session))
        if batch is None:
            return None
        if batch.past.suspect:
            session.wanted_alone = False
        return self._send(session, batch, now, wall)

    def take_aside(self) -> tuple[SetAside, ...]:
        """Dead letters since the last call. They are settled only once the caller has kept them: `kept`."""
        aside, self._aside = tuple(self._aside), []
        return aside

    def kept(self, aside: Iterable[SetAside]) -> None:
        for letter in aside:
            self._settled(letter.address.position, (letter.address.place,))

    def type_of(self, address: Address) -> str:
        offer = self._offers.get(address.position)
        return offer.type_of(address.place) if offer else ""

    # How it is done

    def _send(self, session: Session, batch: Batch, now: float, wall: float) -> Sending:
        session.number += 1
        session.sent += len(batch.places)
        self._epoch += 1
        past = batch.past
        sending = Sending(session.number, batch.position, batch.places, past.attempt, self._epoch)
        session.held[session.number] = Held(sending, deadline=now + session.timeout, past=past)
        count = self._count(session)
        count.delivered += len(batch.places)
        if past == Past():
            self._shares.took(session.version, len(batch.places), wall)
        return sending

    def _fits(self, batch: Batch, session: Session) -> bool:
        past = batch.past
        if (
            past.avoid
            and past.avoid == session.version
            and any(s.version != past.avoid for s in self.sessions)
        ):
            return False
        if past.suspect and session.held:
            session.wanted_alone = True
            return False
        return True

    def _done(self, session: Session, number: int) -> None:
        held = session.held.pop(number, None)
        if held is None:
            return
        left = held.left
        self._count(session).acked += len(left)
        if held.past != Past():
            for place in left:
                self._trials.pop(Address(held.sending.position, place), None)
                self._kills.pop(Address(held.sending.position, place), None)
        self._settled(held.sending.position, left)

    def _failed(
        self, session: Session, held: Held, place: int, how: How, word: tuple[float, str], now: float
    ) -> None:
        if place in held.failed:
            return
        held.failed.add(place)
        position = held.sending.position
        if how is How.RELEASE:
            self._queue.give_back(Batch(position, (place,), held.past))
        else:
            self._count(session).failed += 1
            self._again(session, Address(position, place), held.past, (how, *word), now)
        if len(held.failed) == len(held.sending.places):
            del session.held[held.sending.number]

    def _again(
        self, session: Session, address: Address, past: Past, word: tuple[How, float, str], now: float
    ) -> None:
        how, after, reason = word
        self._queue.hold_up(address.position, address.place)
        wish = session.wishes.get(self.type_of(address), Wish())
        if how is How.REJECT or past.attempt >= wish.attempts:
            self._set_aside(address, past.attempt, reason, session.version)
            return
        self.retried += 1
        pause = min(after, LONGEST_AFTER) if after > 0 else backoff(address, past.attempt)
        trial = Trial(past.attempt, now + pause, reason, self._avoided(session), past.suspect)
        self._try_later(address, trial)

    def _killed(self, session: Session, address: Address, held: Held, now: float) -> None:
        kills = self._kills[address] = self._kills.get(address, 0) + 1
        reason = f"its consumer ended {kills} times while it was the only event in hand"
        self._count(session).failed += 1
        how = How.REJECT if kills >= KILLS else How.RETRY
        self._again(session, address, held.past, (how, 0.0, reason), now)

    def _late(self, session: Session, held: Held, now: float) -> None:
        """Neither settled nor worked on: the session may be stuck."""
        del session.held[held.sending.number]
        reason = f"{session.instance} said nothing about it in {session.timeout:g} s"
        self._count(session).failed += len(held.left)
        for place in held.left:
            address = Address(held.sending.position, place)
            self._again(session, address, held.past, (How.RETRY, 0.0, reason), now)

    def _set_aside(self, address: Address, attempts: int, reason: str, version: str) -> None:
        self._trials.pop(address, None)
        self._kills.pop(address, None)
        self._aside.append(SetAside(address, attempts, reason, version))

    def _try_later(self, address: Address, trial: Trial) -> None:
        self._trials[address] = trial
        heapq.heappush(self._due, (trial.due, address.position, address.place))

    def _settled(self, position: int, places: Places) -> None:
        if position not in self._open:
            return
        self._open[position] &= ~bits(places)
        self._queue.settled(position, places)
        if not self._open[position]:
            self._offers.pop(position, None)
        self._partial.add(position)
        self._settle_floor()

    def _settle_floor(self) -> None:
        """Frames below the floor are over for good."""
        while self._open:
            position = next(iter(self._open))
            if self._open[position] or position > self.offered:
                return
            del self._open[position]
            self._partial.discard(position)

    def _avoided(self, session: Session) -> str:
        """What a canary could not handle, stable tries next."""
        canaries: Mapping[str, float] = {s.version: s.share for s in self.consumer.shares}
        return session.version if session.version in canaries else ""

    def _version_of(self, key: int) -> str:
        """The release a key goes to, as long as somebody of it is there."""
        there = {session.version for session in self.sessions}
        wanted = self._shares.version_of(key, self._wall)
        return next((version for version in (wanted, self.consumer.stable) if version in there), "")

    def _count(self, session: Session) -> Count:
        return self.counts.setdefault(session.version, Count())


def bits(places: Places) -> int:
    if isinstance(places, range) and places.step == 1:
        return ((1 << len(places)) - 1) << places.start if places else 0
    mask = 0
    for place in places:
        mask |= 1 << place
    return mask


def backoff(address: Address, attempt: int) -> float:
    """Seconds: doubled with each attempt, spread by up to a quarter so that many do not come back at once."""
    pause = min(FIRST_PAUSE * 2.0 ** (attempt - 1), LONGEST_PAUSE)
    spread = zlib.crc32(f"{address.position} {address.place} {attempt}".encode()) / 2.0**32
    return pause * (1.0 + spread / 4.0)
