"""How do rounds of deliveries keep their own books, to hold delivery against them?"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from nodemesh.model.cursor import Cursor
from nodemesh.model.delivery import How, Offer, Session, SetAside, Wish
from nodemesh.model.frame import Address
from nodemesh.model.table import Consumer
from nodemesh.policy.delivery import Delivery

TYPES = ("placed", "paid")
WISHES = {"placed": Wish(3, 30.0), "paid": Wish(2, 5.0)}
Event = tuple[int, int]


@dataclass
class Known:
    """What is known of one event from outside."""

    key: int
    attempts: int
    """That its type wishes."""
    lost: int = 0
    """Sessions that ended with it in hand."""
    epoch: int = 0
    hand: Session | None = None
    settled: bool = False
    aside: bool = False


@dataclass
class Delivered:
    """What a consumer would remember of a delivery."""

    events: tuple[Event, ...]
    answered: set[int] = field(default_factory=set)


class Books(RuleBasedStateMachine):
    ordered = False

    def __init__(self) -> None:
        super().__init__()
        self.now, self.wall = 100.0, 1000.0
        self.consumer = Consumer("payment", dict.fromkeys(TYPES, self.ordered), "1")
        self.machine = Delivery(self.consumer, Cursor(1), 1)
        self.generation = 1
        self.log: list[Offer] = []
        self.events: dict[Event, Known] = {}
        self.hands: dict[Session, dict[int, Delivered]] = {}
        self.letters: list[SetAside] = []
        self.numbered = 0

    def _has_a_reason(self, event: Event, busy: bool) -> bool:
        known, cursor = self.events[event], self.machine.cursor
        if known.settled or known.aside or known.hand is not None or event[0] > self.machine.offered:
            return True
        trial = cursor.trials.get(Address(*event))
        if trial is not None and trial.due > self.now:
            return True
        if busy and any(other.lost >= 2 and other.hand is None for other in self.events.values()):
            return True
        if not self.ordered or not known.key:
            return False
        # A failed event blocks its key, whoever is first.
        late = {(a.position, a.place) for a, its in cursor.trials.items() if its.due > self.now}
        return any(
            other < event or its.hand is not None or its.aside or other in late
            for other, its in self.events.items()
            if its.key == known.key and not its.settled and other != event
        )

    def _rest(self) -> set[str]:
        """Releases that take what is nobody's share."""
        there = {who.version for who in self.hands}
        canaries = {s.version for s in self.consumer.shares}
        stable = {self.consumer.stable} if self.consumer.stable else {"1", "2"} - canaries
        return stable & there or self._live().keys() & there

    def _live(self) -> dict[str, float]:
        return {
            s.version: s.share
            for s in self.consumer.shares
            if s.valid_until > self.wall and s.share > 0.0 and s.version != self.consumer.stable
        }

    def _take(self, who: Session, most: int) -> None:
        for _ in range(most):
            free, busy = who.free, bool(who.held)
            sending = self.machine.next(who, self.now, self.wall)
            if sending is None:
                return
            places = tuple(sending.places)
            assert 0 < len(places) <= free
            assert list(places) == sorted(set(places))
            assert who.sent <= who.granted
            assert who.version in self._allowed(), "an expired share gets nothing"
            assert not (who.held[sending.number].past.suspect and (busy or len(places) > 1))
            for place in places:
                self._given(who, (sending.position, place), sending.attempt, sending.epoch)
            events = tuple((sending.position, place) for place in places)
            self.hands[who][sending.number] = Delivered(events)

    def _given(self, who: Session, event: Event, attempt: int, epoch: int) -> None:
        known = self.events[event]
        assert not known.settled and not known.aside and known.hand is None, event
        assert epoch > known.epoch
        assert attempt <= known.attempts
        if self.ordered and known.key:
            for other, its in self.events.items():
                if its.key == known.key and not its.settled and other < event:
                    assert who.keeps_order and its.hand is who, f"{event} before {other}"
                if its.key == known.key and other > event:
                    assert its.hand is None, f"{event} behind {other}, which is under way"
        known.hand, known.epoch = who, epoch

    def _allowed(self) -> set[str]:
        live = {s.version for s in self.consumer.shares if s.valid_until > self.wall and s.share > 0.0}
        canaries = {s.version for s in self.consumer.shares}
        stable = {self.consumer.stable} if self.consumer.stable else {"1", "2"} - canaries
        return live | stable

    def _fail(self, data: st.DataObject, who: Session, numbers: Sequence[int]) -> None:
        failed = self._failures(data, who, numbers)
        self.machine.settle(who, failed=failed, now=self.now)
        self._answered(who, failed)
        self._hear_of_letters()

    def _failures(
        self, data: st.DataObject, who: Session, numbers: Sequence[int]
    ) -> list[tuple[int, int, How, float, str]]:
        failed: list[tuple[int, int, How, float, str]] = []
        keys: set[int] = set()
        # As a consumer that keeps order does it: what is behind a failed event of its key is given back.
        everything = sorted(
            (event, number, place)
            for number, delivered in self.hands[who].items()
            for place, event in enumerate(delivered.events)
            if place not in delivered.answered
        )
        for event, number, place in everything:
            key = self.events[event].key if self.ordered else 0
            if key in keys:
                failed.append((number, place, How.RELEASE, 0.0, ""))
            elif number in numbers and data.draw(st.booleans()):
                how = data.draw(st.sampled_from([How.RETRY, How.REJECT, How.RELEASE]))
                failed.append((number, place, how, data.draw(st.sampled_from((0.0, 5.0))), "no"))
                if key:
                    keys.add(key)
        return failed

    def _answered(self, who: Session, failed: Sequence[tuple[int, int, How, float, str]]) -> None:
        for number, place, *_ in failed:
            delivered = self.hands[who][number]
            delivered.answered.add(place)
            known = self.events[delivered.events[place]]
            known.hand = None
        self._forget_answered(who)

    def _handled(self, who: Session, number: int) -> None:
        delivered = self.hands[who].pop(number, None)
        for place, event in enumerate(delivered.events if delivered else ()):
            if delivered and place not in delivered.answered:
                self.events[event].settled, self.events[event].hand = True, None

    def _failed_whole(self, who: Session, number: int) -> None:
        delivered = self.hands[who].pop(number)
        for place, event in enumerate(delivered.events):
            if place not in delivered.answered:
                self.events[event].hand = None

    def _forget_answered(self, who: Session) -> None:
        for number, delivered in list(self.hands[who].items()):
            if len(delivered.answered) == len(delivered.events):
                del self.hands[who][number]

    def _hear_of_letters(self) -> None:
        for letter in self.machine.take_aside():
            known = self.events[(letter.address.position, letter.address.place)]
            assert not known.settled and not known.aside and known.hand is None
            known.aside = True
            self.letters.append(letter)

    def _as_the_cursor_says(self, cursor: Cursor) -> None:
        for (position, place), known in self.events.items():
            over = position < cursor.floor or any(a <= position <= b for a, b in cursor.settled)
            over = over or not cursor.open.get(position, ~0) >> place & 1
            assert known.settled == over, (position, place)
        assert all(not self.events[(a.position, a.place)].settled for a in cursor.trials)

    def _who(self, data: st.DataObject) -> Session:
        return data.draw(st.sampled_from(list(self.hands)), label="who")

    def _busy(self, data: st.DataObject) -> Session:
        return data.draw(st.sampled_from([who for who, held in self.hands.items() if held]), label="who")
