"""What delivery promises, sentence by sentence, for a consumer that asks for no order."""

from itertools import pairwise

import pytest

from nodemesh.model.cursor import Cursor
from nodemesh.model.delivery import How, Offer, Wish
from nodemesh.model.frame import Address
from nodemesh.policy.delivery import Delivery
from nodemesh.policy.pauses import FIRST_PAUSE, LONGEST_AFTER, LONGEST_PAUSE, backoff
from tests.nodemesh.policy.delivering import (
    PLAIN,
    count,
    events,
    frame,
    keep,
    machine,
    session,
    taken,
)

# ---- sending --------------------------------------------------------------------------------------------


def test_a_whole_frame_goes_to_one_session_as_it_is() -> None:
    delivery = machine()
    who = session(delivery)
    delivery.offer(frame(1, 448))
    sending = delivery.next(who, 0.0, 0.0)
    assert sending is not None
    assert (sending.number, sending.position, sending.places, sending.attempt) == (1, 1, range(448), 1)
    assert delivery.next(who, 0.0, 0.0) is None


def test_numbers_rise_by_one_in_each_session_and_epochs_over_all() -> None:
    delivery = machine()
    one, two = session(delivery, name="a", granted=1), session(delivery, name="b")
    for position in (1, 2, 3):
        delivery.offer(frame(position))
    mine, others = taken(delivery, one), taken(delivery, two)
    assert [each.number for each in mine] == [1]
    assert [each.number for each in others] == [1, 2]
    epochs = [each.epoch for each in (*mine, *others)]
    assert epochs == sorted(set(epochs))


def test_epochs_of_a_later_start_are_higher() -> None:
    first, second = Delivery(PLAIN, Cursor(1), 1), Delivery(PLAIN, Cursor(1), 2)
    sent = []
    for delivery in (first, second):
        who = session(delivery)
        for position in range(1, 50):
            delivery.offer(frame(position))
        sent.append(taken(delivery, who))
    assert max(each.epoch for each in sent[0]) < min(each.epoch for each in sent[1])


def test_credit_is_counted_in_events_since_the_session_began() -> None:
    delivery = machine()
    who = session(delivery, granted=10)
    delivery.offer(frame(1, 8))
    delivery.offer(frame(2, 8))
    assert events(taken(delivery, who)) == [(1, p) for p in range(8)] + [(2, 0), (2, 1)]
    delivery.settle(who, 2)
    assert taken(delivery, who) == []
    who.granted = 13
    assert events(taken(delivery, who)) == [(2, 2), (2, 3), (2, 4)]


def test_a_slow_session_holds_up_no_other() -> None:
    delivery = machine()
    slow, fast = session(delivery, granted=5, name="slow"), session(delivery, name="fast")
    for position in range(1, 500):
        delivery.offer(frame(position))
    assert count(taken(delivery, slow)) == 5
    assert count(taken(delivery, fast)) == 494


def test_who_has_left_gets_nothing() -> None:
    delivery = machine()
    who = session(delivery)
    delivery.offer(frame(1))
    delivery.leave(who, 0.0)
    assert delivery.next(who, 0.0, 0.0) is None
    delivery.leave(who, 0.0)
    assert events(taken(delivery, session(delivery))) == [(1, 0)]


# ---- settling -------------------------------------------------------------------------------------------


def test_settling_is_cumulative_and_its_exceptions_are_kept() -> None:
    delivery = machine()
    who = session(delivery)
    for position in (1, 2, 3):
        delivery.offer(frame(position, 2))
    taken(delivery, who)
    delivery.settle(who, through=2, failed=[(2, 1, How.RETRY, 0.0, "no")])
    assert delivery.floor == 2
    assert delivery.waiting == 3
    assert delivery.cursor.open == {2: 0b10}


def test_settled_above_the_rest() -> None:
    delivery = machine()
    who = session(delivery)
    for position in (1, 2, 3, 4):
        delivery.offer(frame(position))
    taken(delivery, who)
    delivery.settle(who, done=(2, 4))
    assert (delivery.floor, delivery.waiting) == (1, 2)
    assert delivery.cursor.settled == ((2, 2), (4, 4))
    delivery.settle(who, through=4)
    assert (delivery.floor, delivery.waiting) == (5, 0)


def test_what_others_have_now_is_passed_over() -> None:
    delivery = machine()
    stuck = session(delivery, wish=Wish(5, 10.0), name="stuck")
    delivery.offer(frame(1))
    taken(delivery, stuck)
    delivery.tick(10.0, 0.0)
    other = session(delivery, name="other")
    delivery.tick(11.0, 0.0)
    assert events(taken(delivery, other, 11.0)) == [(1, 0)]
    delivery.settle(stuck, through=1, done=(1,), failed=[(1, 99, How.REJECT, 0.0, "late")])
    assert delivery.waiting == 1
    delivery.settle(other, through=1)
    assert delivery.waiting == 0


@pytest.mark.parametrize("place", [-1, 2])
def test_a_place_that_is_not_there_is_refused_whole(place: int) -> None:
    delivery = machine()
    who = session(delivery)
    delivery.offer(frame(1, 2))
    taken(delivery, who)
    bad = [(1, 0, How.REJECT, 0.0, "no"), (1, place, How.RETRY, 0.0, "no")]
    with pytest.raises(ValueError, match=f"delivery 1 has 2 events, there is no event {place}"):
        delivery.settle(who, through=1, failed=bad)
    assert delivery.take_aside() == ()
    delivery.settle(who, through=1)
    assert delivery.waiting == 0


def test_a_place_counts_within_the_delivery_not_the_frame() -> None:
    delivery = machine()
    who = session(delivery)
    delivery.offer(Offer(1, (3, 7, 9), ("placed",)))
    taken(delivery, who)
    delivery.settle(who, failed=[(1, 1, How.REJECT, 0.0, "no")])
    assert [letter.address for letter in keep(delivery)] == [Address(1, 7)]


# ---- failing --------------------------------------------------------------------------------------------


def failing(attempts: int, after: float = 0.0) -> tuple[Delivery, list[float]]:
    """One event that always fails, and when it was sent."""
    delivery, sent, now = machine(), [], 0.0
    who = session(delivery, wish=Wish(attempts, 30.0))
    delivery.offer(frame(1))
    while delivery.waiting and not delivery.take_aside():
        for sending in taken(delivery, who, now):
            sent.append(now)
            assert sending.attempt == len(sent)
            delivery.settle(
                who, sending.number, failed=[(sending.number, 0, How.RETRY, after, "no")], now=now
            )
        now = min(delivery.tick(now, 0.0), now + 100_000.0)
        delivery.tick(now, 0.0)
    return delivery, sent


@pytest.mark.parametrize("attempts", [1, 2, 5, 12])
def test_it_is_tried_as_often_as_wished(attempts: int) -> None:
    delivery, sent = failing(attempts)
    assert len(sent) == attempts
    assert delivery.retried == attempts - 1
    assert delivery.counts["1"].failed == attempts


def test_pauses_double_to_a_minute_with_jitter() -> None:
    _, sent = failing(12)
    for attempt, (before, after) in enumerate(pairwise(sent), start=1):
        pause = min(FIRST_PAUSE * 2.0 ** (attempt - 1), LONGEST_PAUSE)
        assert pause <= after - before <= pause * 1.25 + 1e-9
    assert len({backoff(Address(position, 0), 1) for position in range(50)}) > 40


@pytest.mark.parametrize(
    ("after", "pause"), [(7.0, 7.0), (1e9, LONGEST_AFTER), (float("inf"), LONGEST_AFTER)]
)
def test_a_consumer_says_when_to_try_again(after: float, pause: float) -> None:
    _, sent = failing(2, after)
    assert sent == [0.0, pytest.approx(pause)]


@pytest.mark.parametrize("after", [0.0, -5.0, float("nan"), float("-inf")])
def test_no_time_is_the_own_backoff(after: float) -> None:
    _, sent = failing(2, after)
    assert FIRST_PAUSE <= sent[1] <= FIRST_PAUSE * 1.25


def test_what_is_rejected_is_dead_at_once() -> None:
    delivery = machine()
    who = session(delivery)
    delivery.offer(frame(1, 2))
    taken(delivery, who)
    delivery.settle(who, through=1, failed=[(1, 1, How.REJECT, 0.0, "bad total")])
    (letter,) = delivery.take_aside()
    assert (letter.address, letter.attempts, letter.reason, letter.version) == (
        Address(1, 1),
        1,
        "bad total",
        "1",
    )
    assert delivery.take_aside() == ()


def test_a_dead_letter_is_settled_only_once_it_is_kept() -> None:
    delivery = machine()
    who = session(delivery)
    delivery.offer(frame(1))
    taken(delivery, who)
    delivery.settle(who, through=1, failed=[(1, 0, How.REJECT, 0.0, "no")])
    letters = delivery.take_aside()
    assert (delivery.waiting, delivery.floor) == (1, 1)
    assert delivery.cursor.trials[Address(1, 0)].attempt == 1
    for _ in range(2):
        delivery.kept(letters)
        assert (delivery.waiting, delivery.floor, delivery.cursor) == (0, 2, Cursor(2))


def test_letters_of_a_machine_before_settle_nothing() -> None:
    before = machine()
    who = session(before)
    before.offer(frame(1))
    taken(before, who)
    before.settle(who, through=1, failed=[(1, 0, How.REJECT, 0.0, "no")])
    letters = before.take_aside()
    delivery = Delivery(PLAIN, before.cursor, 1)
    delivery.offer(frame(1))
    delivery.kept(letters)
    assert delivery.waiting == 1
    other = session(delivery)
    delivery.tick(1e6, 0.0)
    (sending,) = taken(delivery, other, 1e6)
    assert sending.attempt == 2


def test_what_is_released_is_untried() -> None:
    delivery = machine()
    one, two = session(delivery, name="a"), session(delivery, name="b")
    delivery.offer(frame(1, 3))
    taken(delivery, one)
    delivery.settle(one, through=1, failed=[(1, place, How.RELEASE, 0.0, "") for place in (2, 0, 1)])
    (sending,) = taken(delivery, two)
    assert (sending.attempt, sending.places) == (1, range(3)), "together again"
    assert delivery.counts["1"].failed == 0


def test_no_word_in_time_is_a_failed_try() -> None:
    delivery = machine()
    stuck = session(delivery, wish=Wish(2, 10.0))
    delivery.offer(frame(1, 2))
    taken(delivery, stuck)
    assert delivery.tick(9.9, 0.0) == 10.0
    soonest = delivery.tick(10.0, 0.0)
    assert 10.2 <= soonest <= 10.25
    other = session(delivery, wish=Wish(2, 10.0), name="b")
    delivery.tick(11.0, 0.0)
    assert [each.attempt for each in taken(delivery, other, 11.0)] == [2]
    delivery.tick(21.0, 0.0)
    letters = keep(delivery)
    assert {letter.reason for letter in letters} == {"b said nothing about it in 10 s"}
    assert len(letters) == 2


def test_who_works_on_it_keeps_it() -> None:
    delivery = machine()
    who = session(delivery, wish=Wish(5, 10.0))
    delivery.offer(frame(1))
    taken(delivery, who)
    for now in (9.0, 18.0, 27.0):
        delivery.working(who, (1, 77), now)
        assert delivery.tick(now + 9.0, 0.0) == pytest.approx(now + 10.0)
    delivery.settle(who, through=1)
    assert delivery.waiting == 0
    assert delivery.tick(1e9, 0.0) == float("inf")
