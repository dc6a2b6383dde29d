"""What delivery promises when sessions and the mesh itself end, and what canaries leave behind."""

import pytest

from nodemesh.model.cursor import Cursor, Trial
from nodemesh.model.delivery import How, Offer, Wish
from nodemesh.model.frame import Address
from nodemesh.policy.bounds import AHEAD
from nodemesh.policy.delivery import Delivery
from tests.nodemesh.policy.delivering import (
    LATER,
    ORDERED,
    PLAIN,
    count,
    events,
    frame,
    keep,
    machine,
    session,
    taken,
    with_shares,
)

# ---- ends of sessions -----------------------------------------------------------------------------------


def test_what_was_in_the_hands_of_one_that_ended_goes_to_others() -> None:
    delivery = machine()
    one, two = session(delivery, name="a"), session(delivery, name="b")
    delivery.offer(frame(1, 3))
    delivery.offer(frame(2, 3))
    taken(delivery, one)
    delivery.settle(one, done=(2,), failed=[(1, 1, How.REJECT, 0.0, "no")])
    delivery.leave(one, 0.0)
    sent = taken(delivery, two)
    assert [(each.position, tuple(each.places), each.attempt) for each in sent] == [(1, (0, 2), 1)]


def poisoned(credit: int, innocents: int, keys: tuple[int, ...] = ()) -> tuple[int, int, int]:
    """Each session that gets event (1, 3) dies of it. How many died, dead letters, handled."""
    delivery = machine(ORDERED if keys else PLAIN)
    delivery.offer(frame(1, innocents + 1, keys))
    ends, now = 0, 0.0
    for _ in range(100 + innocents):
        who = session(delivery, granted=credit)
        while True:
            sent = taken(delivery, who, now)
            if not sent or (1, 3) in events(sent):
                break
            delivery.settle(who, who.number)
            who.granted = who.sent + credit
        ends += (1, 3) in events(sent)
        delivery.leave(who, now)
        now += 5.0
        delivery.tick(now, 0.0)
        if letters := keep(delivery):
            assert [letter.address for letter in letters] == [Address(1, 3)]
            assert "ended 2 times while it was the only event in hand" in letters[0].reason
            rest = session(delivery, granted=10_000)
            while sent := taken(delivery, rest, now):
                delivery.settle(rest, rest.number)
            return ends, 1, delivery.counts["1"].acked
    raise AssertionError("it never became a dead letter")


@pytest.mark.parametrize("credit", [1, 4, 100])
@pytest.mark.parametrize("keys", [(), (1,) * 20, tuple(range(1, 21))])
def test_an_event_that_ends_its_consumers_is_set_aside_and_takes_no_other_with_it(
    credit: int, keys: tuple[int, ...]
) -> None:
    assert poisoned(credit, 19, keys) == (4, 1, 19)


def test_a_suspect_waits_for_empty_hands_and_nothing_is_sent_beside_it() -> None:
    delivery = machine()
    delivery.offer(frame(1))
    for _ in range(2):
        lost = session(delivery)
        taken(delivery, lost)
        delivery.leave(lost, 0.0)
    delivery.offer(frame(2))
    who = session(delivery)
    assert events(taken(delivery, who)) == [(1, 0)], "alone, though there is more and credit for it"
    delivery.settle(who, through=1)
    assert events(taken(delivery, who)) == [(2, 0)]


def test_one_that_another_took_does_not_empty_hands() -> None:
    delivery = machine()
    delivery.offer(frame(1))
    for _ in range(2):
        lost = session(delivery)
        taken(delivery, lost)
        delivery.leave(lost, 0.0)
    slow = session(delivery, granted=2, name="slow")
    delivery.offer(frame(2, 2))
    idle = session(delivery, name="idle")
    assert events(taken(delivery, idle)) == [(1, 0)]
    assert events(taken(delivery, slow)) == [(2, 0), (2, 1)]
    delivery.offer(frame(3))
    slow.granted = 3
    assert events(taken(delivery, slow)) == [(3, 0)]


# ---- frames and restarts --------------------------------------------------------------------------------


def test_the_floor_passes_what_is_settled_and_what_holds_nothing() -> None:
    delivery = machine(floor=5)
    assert (delivery.floor, delivery.offered) == (5, 4)
    delivery.passed(7)
    assert delivery.floor == 8
    delivery.offer(frame(9))
    assert (delivery.floor, delivery.offered) == (9, 9)
    who = session(delivery)
    taken(delivery, who)
    delivery.passed(20)
    assert delivery.floor == 9
    delivery.settle(who, through=1)
    assert delivery.floor == 21


@pytest.mark.parametrize("position", [3, 4])
def test_positions_only_rise(position: int) -> None:
    delivery = machine()
    delivery.offer(frame(2))
    delivery.passed(4)
    with pytest.raises(ValueError, match=f"position {position} was offered or passed over: the last was 4"):
        delivery.offer(frame(position))


def test_after_a_restart_only_what_was_not_settled_comes_again() -> None:
    before = machine()
    who = session(before)
    for position in (1, 2, 3, 4, 6):
        before.offer(frame(position, 3))
    taken(before, who)
    before.settle(who, done=(1, 3, 5), failed=[(2, 1, How.RETRY, 50.0, "no")], now=100.0)
    before.settle(who, failed=[(4, 0, How.REJECT, 0.0, "no"), (4, 2, How.RETRY, 0.0, "no")], now=100.0)
    keep(before)
    cursor = before.cursor
    assert (cursor.floor, cursor.open, cursor.settled) == (2, {4: 0b110}, ((3, 3), (5, 6)))
    delivery = Delivery(PLAIN, cursor, 1)
    assert delivery.cursor == cursor, "also before anything was offered again"
    for position in (2, 3, 4, 6, 7):
        delivery.offer(frame(position, 3))
    other = session(delivery)
    delivery.tick(102.0, 0.0)
    sent = taken(delivery, other, 102.0)
    assert events(sent) == [(4, 2), (2, 0), (2, 2), (4, 1), (7, 0), (7, 1), (7, 2)]
    assert [each.attempt for each in sent] == [2, 1, 1, 1]
    delivery.settle(other, other.number)
    delivery.tick(150.0, 0.0)
    assert [each.attempt for each in taken(delivery, other, 150.0)] == [2]
    delivery.settle(other, other.number)
    assert delivery.cursor == Cursor(8)


def test_what_the_log_has_lost_is_forgotten() -> None:
    trials = {Address(3, 0): Trial(1, 5.0), Address(5, 1): Trial(2, 5.0)}
    delivery = Delivery(PLAIN, Cursor(3, {3: 0b1, 5: 0b10}, trials, ((4, 4), (6, 6))))
    delivery.passed(3)
    assert set(delivery.cursor.trials) == {Address(5, 1)}
    assert (delivery.cursor.open, delivery.cursor.settled) == ({5: 0b10}, ((4, 4), (6, 6)))
    delivery.passed(9)
    assert delivery.cursor == Cursor(10)


def test_a_run_that_was_read_again_to_its_end_is_no_longer_told() -> None:
    delivery = Delivery(PLAIN, Cursor(1, {1: 0b1}, {}, ((2, 3),)))
    for position in (1, 2, 3):
        delivery.offer(frame(position))
    who = session(delivery)
    assert events(taken(delivery, who)) == [(1, 0)]
    assert delivery.cursor == Cursor(1, {1: 0b1}, {}, ((2, 3),))
    delivery.settle(who, through=1)
    assert delivery.cursor == Cursor(4)


def test_one_that_waits_for_a_day_lets_nothing_grow() -> None:
    delivery = machine()
    who = session(delivery, granted=10**6)
    for position in range(1, 20_001):
        delivery.offer(frame(position, 2))
        taken(delivery, who)
        late = [(1, 0, How.RETRY, 86_400.0, "tomorrow")] if position == 1 else []
        delivery.settle(who, who.number, failed=late)
        assert delivery.room > 0
    cursor = delivery.cursor
    assert (cursor.floor, cursor.open, cursor.settled) == (1, {1: 0b1}, ((2, 20_000),))


def test_no_more_is_read_for_one_that_settles_nothing() -> None:
    delivery = machine()
    position = 0
    while delivery.room > 0:
        position += 1
        delivery.offer(frame(position))
    assert position == AHEAD
    who = session(delivery, granted=1)
    taken(delivery, who)
    delivery.settle(who, through=1)
    assert delivery.room > 0


# ---- counts and the rest --------------------------------------------------------------------------------


def test_counts_by_release() -> None:
    delivery = machine(with_shares(PLAIN, v2=0.5))
    stable, canary = session(delivery), session(delivery, "2")
    delivery.offer(frame(1, 10))
    taken(delivery, canary)
    taken(delivery, stable)
    delivery.settle(canary, through=1, failed=[(1, 0, How.RETRY, 0.0, "no")])
    delivery.settle(stable, through=1)
    counts = {version: (c.delivered, c.acked, c.failed) for version, c in delivery.counts.items()}
    assert counts == {"1": (5, 5, 0), "2": (5, 4, 1)}


@pytest.mark.parametrize("keys", [(), tuple(range(1, 9))])
def test_what_a_canary_could_not_handle_goes_to_stable(keys: tuple[int, ...]) -> None:
    delivery = machine(with_shares(ORDERED if keys else PLAIN, v2=1.0))
    stable, canary = session(delivery), session(delivery, "2")
    delivery.offer(frame(1, 8, keys))
    assert count(taken(delivery, canary)) == 8
    failed = [(1, place, How.RETRY, 0.0, "no") for place in range(8)]
    delivery.settle(canary, through=1, failed=failed)
    assert {trial.version for trial in delivery.cursor.trials.values()} == {"2"}
    delivery.tick(1.0, 0.0)
    assert taken(delivery, canary, 1.0) == []
    sent = taken(delivery, stable, 1.0)
    assert count(sent) == 8
    assert {each.attempt for each in sent} == {2}


@pytest.mark.parametrize("keys", [(), tuple(range(1, 9))])
def test_what_a_canary_died_of_goes_to_stable(keys: tuple[int, ...]) -> None:
    delivery = machine(with_shares(ORDERED if keys else PLAIN, v2=1.0))
    stable, canary, other = session(delivery), session(delivery, "2"), session(delivery, "2")
    delivery.offer(frame(1, 8, keys))
    taken(delivery, canary)
    delivery.leave(canary, 0.0)
    assert taken(delivery, other) == []
    assert count(taken(delivery, stable)) == 8


def test_the_order_asked_for_changes_only_with_a_new_machine() -> None:
    with pytest.raises(ValueError, match="new machine"):
        machine().route(ORDERED)


def test_the_type_of_an_event_that_waits() -> None:
    delivery = machine()
    delivery.offer(Offer(1, (0, 2), ("placed", "paid"), (0, 0, 1)))
    assert delivery.type_of(Address(1, 0)) == "placed"
    assert delivery.type_of(Address(1, 2)) == "paid"
    assert delivery.type_of(Address(9, 0)) == ""


def test_attempts_are_those_the_type_wishes() -> None:
    delivery = machine()
    who = session(delivery)
    who.wishes = {"placed": Wish(1), "paid": Wish(2)}
    delivery.offer(Offer(1, (0, 1), ("placed", "paid"), (0, 1)))
    taken(delivery, who)
    delivery.settle(who, 1, failed=[(1, 0, How.RETRY, 0.0, "no"), (1, 1, How.RETRY, 0.0, "no")])
    assert [letter.address.place for letter in keep(delivery)] == [0]


def test_share_outlives_the_clock_going_back() -> None:
    consumer = with_shares(PLAIN, v2=1.0)
    delivery = machine(consumer)
    session(delivery)
    canary = session(delivery, "2")
    delivery.offer(frame(1))
    assert taken(delivery, canary, 0.0, LATER + 1) == []
    assert count(taken(delivery, canary, 0.0, 5.0)) == 1
