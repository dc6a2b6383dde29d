"""Which event goes to which instance of one consuming node, and what becomes of it?

Pure: what happens is told by calls, with the time; what follows is asked for. Frames are offered in the order
of the log. An event is settled when it was handled or set aside; until then it waits, is under way, or waits
for its next try. At least once: nothing is settled but by a consumer's word or after its last attempt.
"""

import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

from nodemesh.model.cursor import Cursor, Trial
from nodemesh.model.delivery import (
    LOST_TWICE,
    NO_PAST,
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
from nodemesh.policy.progress import Progress, bits
from nodemesh.policy.shares import Shares
from nodemesh.policy.waiting import Waiting

AHEAD = 1024
"""Frames beyond which no more are read for a consumer that does not settle them."""
AHEAD_KEYED = 4096
"""More, because one key that waits for its next try must not hold up the others soon."""
AHEAD_EVENTS = 32_768
"""Events beyond which no more are read for one that asks for their order: each takes some 300 bytes."""
MOST_TRIALS = 8192
"""Failed events that wait for their next try, from which on no new ones are given: each has its reason, in
memory and in every cursor that is written. Those in hand by then may fail, too."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 60.0
"""Seconds to the next try, doubled each time."""
KILLS = 2
"""Times an event may end its consumer while it is the only one in hand, and suspected."""
LONGEST_AFTER = 86_400.0
UNHANDLED = 5.0
"""Seconds until an event is offered again that was given back by one that handles none of its type."""

Failure = tuple[int, int, How, float, str]


class Delivery:
    def __init__(self, consumer: Consumer, cursor: Cursor, generation: int = 0) -> None:
        """`generation` rises with every start of the mesh: epochs of a later one are higher."""
        self.consumer = consumer
        self.counts: dict[str, Count] = {}
        self.retried = 0
        self.sessions: list[Session] = []
        self._shares = Shares(consumer)
        self._queue: Waiting | Keyed = (
            Keyed(self._shares) if consumer.ordered else Waiting(self._shares, self._room_of)
        )
        self._there: set[str] = set()
        self._wall = 0.0
        self._progress = Progress(cursor)
        self._offers: dict[int, Offer] = {}
        self._trials: dict[Address, Trial] = dict(cursor.trials)
        self._former = deque(sorted(cursor.trials, key=lambda a: (a.position, a.place)))
        """Events with a trial whose frames were not offered yet."""
        self._due: list[tuple[float, int, int]] = []
        self._aside: list[SetAside] = []
        self._letters: set[Address] = set()
        """Events set aside that are not kept yet."""
        self._epoch = generation << 32
        self._kills: dict[Address, int] = {}

    # What the world tells

    def route(self, consumer: Consumer) -> None:
        if consumer.ordered != self.consumer.ordered:
            raise ValueError("the order a consumer asks for changes only with a new machine")
        self.consumer = self._shares.consumer = consumer
        self._there = {session.version for session in self.sessions}
        self._share_out(self._wall)

    def offer(self, offer: Offer) -> None:
        """A frame with events for this consumer. Positions rise from call to call."""
        position, places = offer.position, offer.places
        mask = bits(places)
        self._forget_former(position - 1)
        left = self._progress.offer(position, mask)
        tried = self._tried_before(position, left)
        if not left:
            return
        if left != mask:
            places = tuple(place for place in places if left >> place & 1)
        self._offers[position] = offer
        self._queue.add(offer, places, tried)
        for place in sorted(tried):
            self._try_later(Address(position, place), self._trials[Address(position, place)])

    def passed(self, position: int) -> None:
        """Up to here there is nothing more for this consumer: what it left open there is lost."""
        self._progress.passed(position)
        self._forget_former(position)

    def join(self, session: Session) -> None:
        if session not in self.sessions:
            self.sessions.append(session)
            self._come_and_go()

    def leave(self, session: Session, now: float) -> None:
        """What it had in hand goes to others. A suspect that was alone in its hand counts as tried."""
        if session not in self.sessions:
            return
        self.sessions.remove(session)
        session.over = True
        for held in sorted(session.held.values(), key=lambda h: h.sending.number):
            left = held.left
            if session.is_peer:
                self._queue.give_back(Batch(held.sending.position, left, held.past))
            elif held.past.suspect:
                self._killed(session, Address(held.sending.position, left[0]), held, now)
            else:
                past = Past(held.past.attempt, held.past.lost + 1)
                self._queue.give_back(Batch(held.sending.position, left, past))
        session.held.clear()
        self._queue.leave(session)
        self._come_and_go()

    def settle(
        self,
        session: Session,
        through: int = 0,
        done: Iterable[int] = (),
        failed: Sequence[Failure] = (),
        now: float = 0.0,
    ) -> None:
        """`failed`: number of the delivery, place within it, how, seconds to wait, reason.

        Numbers that are not in the session's hands are passed over: they were given to others.
        Raises ValueError for a place that the delivery does not have; then nothing was done.
        """
        for number, place, *_ in failed:
            held = session.held.get(number)
            if held is not None and not 0 <= place < len(held.sending.places):
                raise ValueError(
                    f"delivery {number} has {len(held.sending.places)} events, there is no event {place}"
                )
        for number, place, how, after, reason in failed:
            held = session.held.get(number)
            if held is not None:
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
        self._look_at(wall)
        while self._due and self._due[0][0] <= now:
            _, position, place = heappop(self._due)
            trial = self._trials.get(Address(position, place))
            if trial is not None:
                past = Past(trial.attempt + 1, LOST_TWICE if trial.suspect else 0)
                self._queue.give_back(Batch(position, (place,), past))
        for session in self.sessions:
            if session.soonest <= now:
                for held in [h for h in session.held.values() if h.deadline <= now]:
                    self._late(session, held, now)
                session.soonest = min((h.deadline for h in session.held.values()), default=float("inf"))
        soonest = min((session.soonest for session in self.sessions), default=float("inf"))
        return min(soonest, self._due[0][0]) if self._due else soonest

    def slept(self, seconds: float) -> None:
        """The mesh itself stood still for so long: what sessions said meanwhile is not heard yet."""
        for session in self.sessions:
            session.soonest += seconds
            for held in session.held.values():
                held.deadline += seconds

    # What is asked

    @property
    def offered(self) -> int:
        """The last position that was offered or passed over."""
        return self._progress.offered

    @property
    def wants(self) -> bool:
        """Whether more frames should be offered."""
        if self.consumer.ordered:
            return len(self._progress) < AHEAD_KEYED and self.waiting < AHEAD_EVENTS
        return len(self._progress) < AHEAD

    @property
    def floor(self) -> int:
        return self._progress.floor

    @property
    def waiting(self) -> int:
        """Events offered and not settled."""
        return self._progress.waiting

    @property
    def cursor(self) -> Cursor:
        progress = self._progress
        return Cursor(progress.floor, progress.open, dict(self._trials), progress.settled)

    def next(self, session: Session, now: float, wall: float) -> Sending | None:
        """What this session should get now. Several are asked in any order, each until it gets None.

        While a suspect waits, one with something in hand gets nothing: it is asked again when it settles.
        """
        if session.over or session.room <= 0:
            return None
        self._look_at(wall)
        batch = self._queue.take(session, len(self._trials) >= MOST_TRIALS)
        return None if batch is None else self._send(session, batch, now)

    def wants_alone(self, session: Session) -> bool:
        """Whether an event waits for this session to have nothing in hand, from any mesh."""
        return not session.over and self._queue.wants_alone(session)

    def take_aside(self) -> tuple[SetAside, ...]:
        """Dead letters since the last call. They are settled only once the caller has kept them: `kept`."""
        aside, self._aside = tuple(self._aside), []
        return aside

    def kept(self, aside: Iterable[SetAside]) -> None:
        """Letters of another machine are passed over: here their events may be in somebody's hands."""
        for letter in aside:
            if letter.address in self._letters:
                self._letters.discard(letter.address)
                self._trials.pop(letter.address, None)
                self._settled(letter.address.position, (letter.address.place,))

    def type_of(self, address: Address) -> str:
        offer = self._offers.get(address.position)
        return offer.type_of(address.place) if offer else ""

    # How it is done

    def _send(self, session: Session, batch: Batch, now: float) -> Sending:
        events, past = len(batch.places), batch.past
        session.number += 1
        session.sent += events
        self._epoch += 1
        sending = Sending(session.number, batch.position, batch.places, past.attempt, self._epoch)
        deadline = now + session.timeout
        session.held[session.number] = Held(sending, deadline=deadline, past=past)
        session.soonest = min(session.soonest, deadline)
        self._count(session).delivered += events
        return sending

    def _done(self, session: Session, number: int) -> None:
        held = session.held.pop(number, None)
        if held is None:
            return
        left = held.left
        self._count(session).acked += len(left)
        if held.past is not NO_PAST:
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
        if len(held.failed) == len(held.sending.places):
            del session.held[held.sending.number]
        if how is How.RELEASE:
            self._released(session, Address(position, place), held.past, now)
        elif how is How.LOST and session.is_peer and held.past.suspect:
            self._killed(session, Address(position, place), held, now)
        elif how is How.LOST and session.is_peer:
            self._queue.give_back(Batch(position, (place,), Past(held.past.attempt, held.past.lost + 1)))
        else:
            self._count(session).failed += 1
            self._again(session, Address(position, place), held.past, (how, *word), now)

    def _released(self, session: Session, address: Address, past: Past, now: float) -> None:
        type = self.type_of(address)
        if type in session.wishes or not session.wishes:
            self._queue.give_back(Batch(address.position, (address.place,), past))
            return
        # At once it would come back as fast as it is sent, and before all others.
        self._queue.hold_up(address.position, address.place)
        reason = f"{session.instance}, version {session.version}, has no handler for {type}"
        due = now + UNHANDLED
        self._try_later(address, Trial(past.attempt - 1, due, reason, session.version, past.suspect))

    def _again(
        self, session: Session, address: Address, past: Past, word: tuple[How, float, str], now: float
    ) -> None:
        how, after, reason = word
        self._queue.hold_up(address.position, address.place)
        wish = session.wishes.get(self.type_of(address), Wish())
        pause = min(after, LONGEST_AFTER) if after > 0 else backoff(address, past.attempt)
        trial = Trial(past.attempt, now + pause, reason, session.version, past.suspect)
        if how is How.REJECT or past.attempt >= wish.attempts:
            # Its trial stays until it is kept: should the mesh end before, its attempts are not forgotten.
            self._trials[address] = trial
            self._kills.pop(address, None)
            self._letters.add(address)
            self._aside.append(SetAside(address, past.attempt, reason, session.version))
        else:
            self.retried += 1
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

    def _try_later(self, address: Address, trial: Trial) -> None:
        self._trials[address] = trial
        heappush(self._due, (trial.due, address.position, address.place))

    def _settled(self, position: int, places: Places) -> None:
        over = self._progress.settle(position, bits(places))
        self._queue.settled(position, places, over)
        if over:
            del self._offers[position]

    def _tried_before(self, position: int, left: int) -> frozenset[int]:
        tried = set()
        while self._former and self._former[0].position == position:
            address = self._former.popleft()
            if left >> address.place & 1:
                tried.add(address.place)
            else:
                del self._trials[address]
        return frozenset(tried)

    def _forget_former(self, position: int) -> None:
        while self._former and self._former[0].position <= position:
            del self._trials[self._former.popleft()]

    def _come_and_go(self) -> None:
        there = {session.version for session in self.sessions}
        if there != self._there:
            self._there = there
            self._share_out(self._wall)

    def _look_at(self, wall: float) -> None:
        if not self._shares.holds(wall):
            self._share_out(wall)
        self._wall = wall

    def _share_out(self, wall: float) -> None:
        parts = self._shares.judge(self._there, wall)
        if parts != self._shares.parts:
            self._queue.gather()
            self._shares.adopt(parts)
            self._queue.spread()

    def _room_of(self, version: str) -> int:
        return sum(session.room for session in self.sessions if session.version == version)

    def _count(self, session: Session) -> Count:
        return self.counts.setdefault(session.version, Count())


def backoff(address: Address, attempt: int) -> float:
    """Seconds: doubled with each attempt, spread by up to a quarter so that many do not come back at once."""
    pause = min(FIRST_PAUSE * 2.0 ** (attempt - 1), LONGEST_PAUSE)
    spread = zlib.crc32(f"{address.position} {address.place} {attempt}".encode()) / 2.0**32
    return pause * (1.0 + spread / 4.0)
