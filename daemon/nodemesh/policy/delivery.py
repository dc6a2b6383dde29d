"""Which event goes to which instance of one consuming node, and what becomes of it?

Pure: what happens is told by calls, with the time; what follows is asked for. Frames are offered in the order
of the log. An event is settled when it was handled or set aside; until then it waits, is under way, or waits
for its next try. At least once: nothing is settled but by a consumer's word or after its last attempt.
"""

from collections.abc import Iterable, Sequence

from nodemesh.model.cursor import Cursor, Trial
from nodemesh.model.delivery import (
    LOST_TWICE,
    NO_PAST,
    Batch,
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
from nodemesh.policy.aside import Aside
from nodemesh.policy.behind import Behind
from nodemesh.policy.bounds import AHEAD, AHEAD_EVENTS, AHEAD_KEYED, KILLS, MOST_TRIALS
from nodemesh.policy.keyed import Keyed
from nodemesh.policy.kinds import Kinds
from nodemesh.policy.lanes import Lanes
from nodemesh.policy.ledger import Ledger
from nodemesh.policy.pauses import LONGEST_AFTER, UNHANDLED, backoff
from nodemesh.policy.progress import Progress, bits
from nodemesh.policy.trials import Trials

Failure = tuple[int, int, How, float, str]


class Delivery:
    def __init__(self, consumer: Consumer, cursor: Cursor, generation: int = 0, epoch: int = 0) -> None:
        """Epochs given out are above `generation`, which rises with every start of the mesh, and `epoch`."""
        self.consumer = consumer
        self.retried = 0
        self.sessions: list[Session] = []
        self._wall, self._begun = 0.0, cursor.begun
        self._progress = Progress(cursor)
        self._behind = Behind(cursor.behind)
        self._stuck = 0
        """Open frames that nobody who is here may have."""
        self._gone: frozenset[str] = frozenset()  # not consumed any more, and perhaps in hand
        self._offers: dict[int, Offer] = {}
        self._kinds = Kinds(consumer)
        self._ledger = Ledger(self._kinds, self._offers)
        self.counts = self._ledger.counts
        self._queue: Lanes | Keyed = (
            Keyed(self._kinds, self._offers)
            if consumer.ordered
            else Lanes(self._kinds, self._offers, self.sessions)
        )
        self._trials = Trials(cursor.trials)
        self._aside = Aside()
        self.epoch = max(generation << 32, epoch)
        self._kills: dict[Address, int] = {}
        if consumer.ordered and cursor.behind:
            self._progress.set_back(self._behind.set(frozenset(), consumer.types.keys(), self.offered))

    # What the world tells

    def route(self, consumer: Consumer) -> None:
        if consumer.ordered != self.consumer.ordered:
            raise ValueError("the order a consumer asks for changes only with a new machine")
        self._gone = (self._gone | self.consumer.types.keys()) - consumer.types.keys()
        self.consumer = consumer
        self._behind.forget(self._gone)
        self._ledger.route(consumer, self.epoch)
        self._come_and_go()
        self._take_out_gone()

    def offer(self, offer: Offer) -> None:
        """A frame with events for it. Positions rise from call to call, but when it `reads` again."""
        position, progress = offer.position, self._progress
        places, late = self._behind.pick(offer, progress.is_behind)
        mask = bits(places)
        self._trials.passed(position - 1)
        left = progress.offer(position, mask, late)
        self._behind.reached(position, self._progress.is_behind)
        tried = self._trials.begin(position, left)
        if not left:
            return
        if left != mask:
            places = tuple(place for place in places if left >> place & 1)
        self._offers[position] = offer
        self._queue.add(offer, places, tried)

    def passed(self, position: int) -> None:
        """Up to here there is nothing more for this consumer: what it left open there is lost."""
        self._progress.passed(position)
        self._behind.reached(position, self._progress.is_behind)
        self._trials.passed(position)

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
                self._give_back(Batch(held.sending.position, left, held.past))
            elif held.past.suspect:
                self._killed(session, Address(held.sending.position, left[0]), held, now)
            else:
                past = Past(held.past.attempt, held.past.lost + 1)
                self._give_back(Batch(held.sending.position, left, past))
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
            session.check(number, place)
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
        self._count_stuck()
        for address, trial in self._trials.due(now):
            past = Past(trial.attempt + 1, LOST_TWICE if trial.suspect else 0)
            self._give_back(Batch(address.position, (address.place,), past))
        for session in self.sessions:
            for held in session.late(now):
                self._late(session, held, now)
        soonest = min((session.soonest for session in self.sessions), default=float("inf"))
        return min(soonest, self._trials.soonest)

    def slept(self, seconds: float) -> None:
        """The mesh itself stood still for so long: what sessions said meanwhile is not heard yet."""
        for session in self.sessions:
            session.wait_longer(seconds)

    # What is asked

    @property
    def offered(self) -> int:
        """The last position that was offered or passed over."""
        return self._progress.offered

    @property
    def room(self) -> int:
        """How many more frames should be offered."""
        if self.consumer.ordered:
            return min(AHEAD_KEYED - len(self._progress), AHEAD_EVENTS - self.waiting)
        return AHEAD + self._stuck - len(self._progress)

    @property
    def reads(self) -> tuple[frozenset[str], int]:
        """Types to look for from behind `offered` on, and the position before which that ends; 0: never."""
        if not self._behind.since:
            return frozenset(self.consumer.types), 0
        return self._behind.reads(self.consumer.types.keys(), self.offered + 1, self._progress.resumes)

    def offered_of(self, type: str) -> int:
        """As `offered`, for one type: it may be left behind."""
        return min(self.offered, self._behind.since.get(type, self.offered + 1) - 1)

    @property
    def floor(self) -> int:
        return int(min(self._progress.floor, self._behind.floor))

    @property
    def waiting(self) -> int:
        """Events offered and not settled."""
        return self._progress.waiting

    @property
    def cursor(self) -> Cursor:
        progress = self._progress
        late = dict(self._behind.since), progress.top, self._begun
        return Cursor(progress.floor, progress.open, dict(self._trials.known), progress.settled, *late)

    def next(self, session: Session, now: float, wall: float) -> Sending | None:
        """What this session should get now. Several are asked in any order, each until it gets None.

        While a suspect waits, one with something in hand gets nothing: it is asked again when it settles.
        """
        if session.over or session.room <= 0:
            return None
        self._look_at(wall)
        batch = self._queue.take(session, len(self._trials.known) >= MOST_TRIALS)
        return None if batch is None else self._send(session, batch, now)

    def wants_alone(self, session: Session) -> bool:
        """Whether an event waits for this session to have nothing in hand, from any mesh."""
        return not session.over and self._queue.wants_alone(session)

    def take_aside(self) -> tuple[SetAside, ...]:
        """Dead letters since the last call. They are settled only once the caller has kept them: `kept`."""
        return self._aside.take()

    def kept(self, aside: Iterable[SetAside]) -> None:
        """Letters of another machine are passed over: here their events may be in somebody's hands."""
        self._discard(Batch(a.position, (a.place,)) for a in self._aside.kept(aside))

    def has(self, position: int) -> bool:
        """Whether anything of that frame was offered and is not settled."""
        return position in self._offers

    def type_of(self, address: Address) -> str:
        offer = self._offers.get(address.position)
        return offer.type_of(address.place) if offer else ""

    # How it is done

    def _send(self, session: Session, batch: Batch, now: float) -> Sending:
        events, past = len(batch.places), batch.past
        session.number += 1
        session.sent += events
        self.epoch += 1
        sending = Sending(session.number, batch.position, batch.places, past.attempt, self.epoch)
        deadline = now + session.timeout
        session.held[session.number] = Held(sending, deadline=deadline, past=past)
        session.soonest = min(session.soonest, deadline)
        self._ledger.given(session, events)
        return sending

    def _done(self, session: Session, number: int) -> None:
        held = session.held.pop(number, None)
        if held is None:
            return
        left = held.left
        self._ledger.told(session, held, left)
        if held.past is not NO_PAST:
            for place in left:
                self._trials.known.pop(Address(held.sending.position, place), None)
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
            self._give_back(Batch(position, (place,), Past(held.past.attempt, held.past.lost + 1)))
        else:
            self._ledger.told(session, held, (place,), failed=True)
            self._again(session, Address(position, place), held.past, (how, *word), now)

    def _released(self, session: Session, address: Address, past: Past, now: float) -> None:
        type = self.type_of(address)
        if not session.is_peer and (type in session.wishes or not session.wishes):
            self._give_back(Batch(address.position, (address.place,), past))
            return
        # At once it would come back as fast as it is sent, and before all others.
        reason = f"{session.instance}, version {session.version}, has no handler for {type}"
        due = now + UNHANDLED
        self._wait(address, Trial(past.attempt - 1, due, reason, session.version, past.suspect))

    def _again(
        self, session: Session, address: Address, past: Past, word: tuple[How, float, str], now: float
    ) -> None:
        how, after, reason = word
        wish = session.wishes.get(self.type_of(address), Wish())
        pause = min(after, LONGEST_AFTER) if after > 0 else backoff(address, past.attempt)
        trial = Trial(past.attempt, now + pause, reason, session.version, past.suspect)
        if how is How.REJECT or past.attempt >= wish.attempts:
            self._queue.hold_up(address.position, address.place)
            # Its trial stays until it is kept: should the mesh end before, its attempts are not forgotten.
            self._trials.known[address] = trial
            self._kills.pop(address, None)
            self._aside.add(SetAside(address, past.attempt, reason, session.version))
        else:
            self.retried += 1
            self._wait(address, trial)

    def _killed(self, session: Session, address: Address, held: Held, now: float) -> None:
        kills = self._kills[address] = self._kills.get(address, 0) + 1
        reason = f"its consumer ended {kills} times while it was the only event in hand"
        self._ledger.told(session, held, (address.place,), failed=True)
        how = How.REJECT if kills >= KILLS else How.RETRY
        self._again(session, address, held.past, (how, 0.0, reason), now)

    def _late(self, session: Session, held: Held, now: float) -> None:
        """Neither settled nor worked on: the session may be stuck."""
        position = held.sending.position
        reason = f"{session.instance} said nothing about it in {session.timeout:g} s"
        self._ledger.told(session, held, held.left, failed=True)
        for place in held.left:
            self._again(session, Address(position, place), held.past, (How.RETRY, 0.0, reason), now)

    def _settled(self, position: int, places: Places) -> None:
        over = self._progress.settle(position, bits(places))
        self._queue.settled(position, places, over)
        if over:
            del self._offers[position]

    def _come_and_go(self) -> None:
        if self._kinds.sort(self.consumer, self.sessions):
            self._queue.sort()
        self._share_out(self._wall)

    def _look_at(self, wall: float) -> None:
        if not self._kinds.holds(wall):
            self._share_out(wall)
        self._wall = wall

    def _share_out(self, wall: float) -> None:
        for kind, parts in self._kinds.judge(self.sessions, wall):
            self._queue.gather(kind)
            kind.shares.adopt(parts)
            self._queue.spread(kind)
        self._park()

    def _park(self) -> None:
        """What nobody may have who is here, while others are here, must not fill what is read ahead."""
        taken = [kind for kind in self._kinds.all if kind.is_taken]
        if not taken or self.consumer.ordered:
            return
        parked = frozenset(self.consumer.types) - self._kinds.types(taken)
        back = self._behind.set(parked, self.consumer.types.keys(), self.offered)
        if back <= self.offered:
            self._progress.set_back(back)
        self._count_stuck()

    def _count_stuck(self) -> None:
        enough = len(self._progress) >= AHEAD
        self._stuck = self._behind.stuck(self._offers.values(), self._progress.left) if enough else 0

    def _take_out_gone(self) -> None:
        """What waits of types that are not consumed any more is nobody's, and holds up nothing."""
        if self._gone:
            self._discard(self._queue.take_out(self._gone))
            late = (each for each in self._trials.waiting if self.type_of(each) in self._gone)
            self._discard(Batch(each.position, (each.place,)) for each in late)
            self._gone &= {type for offer in self._offers.values() for type in offer.types}

    def _wait(self, address: Address, trial: Trial) -> None:
        if self.type_of(address) in self._gone:
            self._discard([Batch(address.position, (address.place,))])
        else:
            self._queue.hold_up(address.position, address.place)
            self._trials.later(address, trial)

    def _give_back(self, batch: Batch) -> None:
        position, places = batch.position, batch.places
        if self._gone:
            gone = tuple(p for p in places if self.type_of(Address(position, p)) in self._gone)
            places = tuple(place for place in places if place not in gone)
            self._discard([Batch(position, gone)] if gone else ())
        if places:
            self._queue.give_back(Batch(position, places, batch.past))

    def _discard(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            for place in batch.places:
                self._trials.known.pop(Address(batch.position, place), None)
            self._settled(batch.position, batch.places)
