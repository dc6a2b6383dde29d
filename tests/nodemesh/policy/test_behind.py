"""Types that nobody who is here handles: they wait in the log, hold up no other, and are found again."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from nodemesh.model.cursor import Cursor
from nodemesh.model.delivery import How, Offer, Session, Wish
from nodemesh.model.frame import Address
from nodemesh.policy.bounds import AHEAD
from nodemesh.policy.delivery import Delivery
from nodemesh.policy.whereabouts import State, Whereabouts
from tests.nodemesh.policy.books import TYPES, WISHES
from tests.nodemesh.policy.delivering import PLAIN, events, machine, taken
from tests.nodemesh.policy.test_delivery_rounds import Rounds


def knows(delivery: Delivery, *types: str, version: str = "1") -> Session:
    made = Session(f"a{version}", version, {type: Wish() for type in types}, 10**6)
    delivery.join(made)
    return made


def log(frames: int) -> list[Offer]:
    """One of `paid`, one of `placed`, one of both, and so on."""
    kinds = ((("paid",), ()), (("placed",), ()), (("placed", "paid"), (0, 1)))
    return [Offer(n, range(2), *kinds[n % 3]) for n in range(1, frames + 1)]


def read_on(delivery: Delivery, frames: list[Offer]) -> int:
    """As the mesh does it. How many were given."""
    given = 0
    while delivery.room > 0 and delivery.offered < frames[-1].position:
        types, until = delivery.reads
        for each in frames:
            if each.position > delivery.offered and types & set(each.types):
                if until and each.position >= until:
                    continue
                if not delivery.room > 0:
                    break
                delivery.offer(each)
                given += 1
        else:
            delivery.passed((until or frames[-1].position + 1) - 1)
    return given


def handle(delivery: Delivery, who: Session) -> list[tuple[int, int]]:
    got = events(taken(delivery, who))
    delivery.settle(who, through=who.number)
    return got


def of(type: str, frames: list[Offer]) -> set[tuple[int, int]]:
    return {(each.position, p) for each in frames for p in each.places if each.type_of(p) == type}


def test_they_hold_up_no_other_and_are_all_found_again() -> None:
    frames = log(6 * AHEAD)
    delivery = machine()
    who = knows(delivery, "placed")
    got: list[tuple[int, int]] = []
    while delivery.offered < frames[-1].position:
        read_on(delivery, frames)
        got += handle(delivery, who)
    assert set(got) == of("placed", frames) and len(got) == len(set(got))
    assert delivery.waiting == 0, "what waits takes no memory"
    assert delivery.floor == 2 and delivery.cursor.least == 2, "the log keeps it"
    where = Whereabouts(delivery.cursor, delivery.sessions)
    assert where.of(Address(3, 0), "paid").state is State.WAITING
    assert where.of(Address(4, 0), "placed").state is State.HANDLED
    both = knows(delivery, "placed", "paid")
    late: list[tuple[int, int]] = []
    while delivery.offered < frames[-1].position:
        read_on(delivery, frames)
        late += handle(delivery, both)
    assert set(late) == of("paid", frames) and len(late) == len(set(late))
    assert delivery.cursor == Cursor(frames[-1].position + 1)


def test_what_comes_before_all_is_read_goes_to_its_place() -> None:
    """It comes while the log is read again: what is new waits until that is over."""
    frames = log(30)
    delivery = machine()
    who = knows(delivery, "placed")
    read_on(delivery, frames)
    handle(delivery, who)
    both = knows(delivery, "paid", "placed")
    assert delivery.reads == (frozenset({"paid"}), 31)
    frames += [Offer(31, range(2), ("placed", "paid"), (0, 1))]
    read_on(delivery, frames)
    assert set(handle(delivery, both)) == of("paid", frames) | {(31, 0)}
    assert delivery.cursor == Cursor(32)


def test_a_restart_forgets_nothing_of_it() -> None:
    frames = log(90)
    delivery = machine()
    who = knows(delivery, "placed")
    delivery.offer(frames[0])
    read_on(delivery, frames)
    got = handle(delivery, who)
    delivery = Delivery(PLAIN, delivery.cursor, 1)
    read_on(delivery, frames)
    assert delivery.waiting == 0 and delivery.floor == 2
    both = knows(delivery, "placed", "paid")
    # Ended again, in the middle of reading it again.
    for each in frames[:40]:
        if each.position > delivery.offered and "paid" in each.types:
            delivery.offer(each)
    late = [(s.position, p) for s in taken(delivery, both)[:7] for p in s.places]
    delivery.settle(both, through=7)
    delivery = Delivery(PLAIN, delivery.cursor, 2)
    both = knows(delivery, "placed", "paid")
    read_on(delivery, frames)
    late += handle(delivery, both)
    assert sorted(got + late) == sorted(of("placed", frames) | of("paid", frames))
    assert delivery.cursor == Cursor(91)


def test_what_was_handled_before_a_restart_is_not_left_behind_after_it() -> None:
    delivery = machine()
    both = knows(delivery, "placed", "paid")
    for position in (1, 2, 3):
        delivery.offer(Offer(position, range(1), ("paid",)))
    taken(delivery, both)
    delivery.settle(both, done=[3])
    after = Delivery(PLAIN, delivery.cursor, 1)
    stable = knows(after, "placed")
    for position in (1, 2, 3, 4):
        after.offer(Offer(position, range(1), ("paid",)))
    assert not taken(after, stable) and after.floor == 1
    late = knows(after, "paid")
    if after.offered < 4:
        after.offer(Offer(4, range(1), ("paid",)))
    assert events(taken(after, late)) == [(1, 0), (2, 0), (4, 0)]


def test_with_nobody_there_nothing_is_left_behind() -> None:
    delivery = machine()
    read_on(delivery, log(9))
    assert delivery.waiting == 18 and not delivery.cursor.behind


def test_of_what_is_in_hand_nothing_is_given_twice_when_the_log_is_read_again() -> None:
    frames = log(30)
    delivery = machine()
    who = knows(delivery, "placed")
    read_on(delivery, frames)
    in_hand = taken(delivery, who)
    both = knows(delivery, "placed", "paid")
    read_on(delivery, frames)
    assert set(events(taken(delivery, both))) == of("paid", frames)
    delivery.settle(who, through=len(in_hand), failed=[(1, 0, How.RETRY, 0.0, "no")])
    delivery.settle(both, through=both.number)
    assert delivery.waiting == 1
    delivery.tick(10.0, 0.0)
    assert events(taken(delivery, both, 10.0)) == [(in_hand[0].position, in_hand[0].places[0])]


class SkewedRounds(Rounds):
    """Some sessions handle one of the types, some both."""

    @rule(
        version=st.sampled_from(("1", "1", "2")),
        granted=st.sampled_from((1, 7, 100)),
        keeps_order=st.booleans(),
        types=st.sampled_from((TYPES, TYPES[:1], TYPES[1:])),
    )
    def join_some(self, version: str, granted: int, keeps_order: bool, types: tuple[str, ...]) -> None:
        if len(self.hands) < 4:
            self.numbered += 1
            wishes = {type: WISHES[type] for type in types}
            made = Session(f"payment.{self.numbered}", version, wishes, granted, keeps_order)
            self.machine.join(made)
            self.hands[made] = {}

    def _given(self, who: Session, event: tuple[int, int], attempt: int, epoch: int) -> None:
        offer = next(each for each in self.log if each.position == event[0])
        assert offer.type_of(event[1]) in who.wishes
        super()._given(who, event, attempt, epoch)

    @rule(seldom=st.integers(0, 7))
    def restart(self, seldom: int) -> None:
        before, least = self.log, self.machine.cursor.least
        super().restart(seldom)
        self.log = [offer for offer in before if offer.position >= least]

    def _as_the_cursor_says(self, cursor: Cursor) -> None:
        """The machine that begins with it says it, in the end."""

    @invariant()
    def everything_is_somewhere(self) -> None:
        open_ones = [event[0] for event, known in self.events.items() if not known.settled]
        assert all(position >= self.machine.floor for position in open_ones)

    @precondition(lambda self: False)
    @rule()
    def nothing_waits_for_no_reason(self) -> None:
        """Who may have what is told by the machine without skew."""

    def teardown(self) -> None:
        last = Session("payment.00", "1", WISHES, 0)
        self.machine.join(last)
        while any(offer.position > self.machine.offered for offer in self.log):
            self.read_on_to_the_end()
        super().teardown()


class SkewedOrderedRounds(SkewedRounds):
    ordered = True


@pytest.mark.parametrize("rounds", [SkewedRounds, SkewedOrderedRounds])
def test_whatever_happens_with_releases_that_differ(rounds: type[Rounds]) -> None:
    case = rounds.TestCase
    case.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
    case().runTest()
