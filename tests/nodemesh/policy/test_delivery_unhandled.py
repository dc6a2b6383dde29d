"""What becomes of events that a release gets and does not handle? And of those in hand while the mesh stands?

A canary may consume a type that stable knows nothing of, and an author may forget a handler.
"""

from collections.abc import Sequence

import pytest

from nodemesh.model.cursor import Cursor
from nodemesh.model.delivery import How, Offer, Session, Wish
from nodemesh.model.table import Consumer
from nodemesh.policy.bounds import MOST_TRIALS
from nodemesh.policy.delivery import Delivery
from nodemesh.policy.shares import Shares
from tests.nodemesh.policy.delivering import (
    LATER,
    PLAIN,
    events,
    frame,
    keep,
    machine,
    session,
    taken,
    with_shares,
)

BY_KEY = Consumer("payment", {"placed": True, "paid": True}, "1")


def knows(delivery: Delivery, *types: str, version: str = "1") -> Session:
    made = Session("a", version, {type: Wish() for type in types}, 1000)
    delivery.join(made)
    return made


def of_paid(position: int, keys: Sequence[int] = ()) -> Offer:
    return Offer(position, range(1), ("paid",), (), tuple(keys))


@pytest.mark.parametrize("consumer", [PLAIN, BY_KEY])
def test_what_nobody_handles_waits_and_holds_up_nothing_else(consumer: Consumer) -> None:
    delivery = machine(consumer)
    who = knows(delivery, "placed")
    delivery.offer(of_paid(1, (7,)))
    delivery.offer(frame(2, keys=(8,)))
    assert events(taken(delivery, who)) == [(2, 0)]
    delivery.settle(who, through=1)
    assert delivery.floor == 1 and not delivery.cursor.trials, "it waits, and nobody is blamed"


@pytest.mark.parametrize("consumer", [PLAIN, BY_KEY])
def test_what_only_the_canary_handles_is_the_canarys(consumer: Consumer) -> None:
    delivery = machine(with_shares(consumer, v2=0.1))
    stable = knows(delivery, "placed")
    canary = knows(delivery, "placed", "paid", version="2")
    for position in range(1, 41):
        delivery.offer(of_paid(position, (position,)) if position % 2 else frame(position, keys=(position,)))
    given = {position for position, _ in events(taken(delivery, canary))}
    assert given >= set(range(1, 41, 2)), "all of what only it knows, not a tenth of that"
    rest = {position for position, _ in events(taken(delivery, stable))}
    assert rest == set(range(1, 41)) - given and len(rest) > 10
    failed = [(1, 0, How.RETRY, 0.0, "no")]
    delivery.settle(canary, failed=failed)
    delivery.tick(10.0, LATER / 2)
    assert not taken(delivery, stable, 10.0), "stable could not handle it"
    assert len(taken(delivery, canary, 10.0)) == 1


def test_what_only_stable_handles_is_stables() -> None:
    delivery = machine(with_shares(PLAIN, v2=1.0))
    stable = knows(delivery, "placed", "paid")
    canary = knows(delivery, "placed", version="2")
    delivery.offer(of_paid(1))
    delivery.offer(frame(2))
    assert events(taken(delivery, canary)) == [(2, 0)]
    assert events(taken(delivery, stable)) == [(1, 0)]


def test_of_a_frame_each_gets_what_it_handles() -> None:
    delivery = machine(with_shares(PLAIN, v2=0.5))
    stable, canary = knows(delivery, "placed"), knows(delivery, "paid", version="2")
    delivery.offer(Offer(1, range(4), ("placed", "paid"), (0, 1, 0, 1)))
    assert events(taken(delivery, canary)) == [(1, 1), (1, 3)]
    assert events(taken(delivery, stable)) == [(1, 0), (1, 2)]


def test_of_a_key_what_one_release_does_not_handle_waits_in_its_place() -> None:
    delivery = machine(with_shares(BY_KEY, v2=0.1))
    stable = Session("a", "1", {"placed": Wish()}, 1000, keeps_order=True)
    delivery.join(stable)
    canary = knows(delivery, "placed", "paid", version="2")
    version_of = Shares(delivery.consumer).version_of
    key = next(key for key in range(1, 99) if not version_of(key))
    delivery.offer(Offer(1, range(3), ("placed", "paid"), (0, 1, 0), (key, key, key)))
    assert events(taken(delivery, stable)) == [(1, 0)]
    assert not taken(delivery, canary), "the key is in other hands"
    delivery.settle(stable, through=1)
    assert events(taken(delivery, canary)) == [(1, 1)] and not taken(delivery, stable)
    delivery.settle(canary, through=1)
    assert events(taken(delivery, stable)) == [(1, 2)]


def test_a_type_that_is_not_consumed_any_more_holds_up_nothing() -> None:
    for consumer in (PLAIN, BY_KEY):
        delivery = machine(consumer)
        who = knows(delivery, "placed", "paid")
        delivery.offer(of_paid(1, (7,)))
        delivery.offer(of_paid(2, (8,)))
        delivery.offer(frame(3, keys=(7,)))
        sending = delivery.next(who, 0.0, 0.0)
        assert sending is not None and sending.position == 1
        only = Consumer("payment", {"placed": consumer.ordered}, "1")
        delivery.route(only)
        delivery.settle(who, failed=[(1, 0, How.RETRY, 0.0, "no")], now=0.0)
        delivery.tick(10.0, LATER / 2)
        assert events(taken(delivery, who, 10.0)) == [(3, 0)]
        delivery.settle(who, through=2)
        assert delivery.cursor == Cursor(4)


def test_what_one_that_knows_it_gives_back_goes_on_at_once() -> None:
    delivery = machine()
    who = session(delivery)
    delivery.offer(frame(1))
    taken(delivery, who)
    delivery.settle(who, failed=[(1, 0, How.RELEASE, 0.0, "")])
    assert events(taken(delivery, who)) == [(1, 0)]


def test_what_the_mesh_slept_through_is_nobodys_fault() -> None:
    delivery = machine()
    who = session(delivery, wish=Wish(attempts=1, timeout=30.0))
    delivery.offer(frame(1))
    taken(delivery, who, 100.0)
    delivery.tick(101.0, LATER)
    # Stopped, or the host slept: what was said meanwhile is still to be heard.
    delivery.slept(3600.0)
    delivery.tick(3701.0, LATER)
    delivery.settle(who, through=1, now=3701.0)
    assert delivery.floor == 2
    assert not keep(delivery)


@pytest.mark.parametrize("consumer", [PLAIN, BY_KEY])
def test_one_that_fails_all_it_gets_gets_no_more_until_they_are_tried_again(consumer: Consumer) -> None:
    delivery = machine(consumer)
    who = knows(delivery, "placed")
    position = 0
    for _ in range(60):
        position += 1
        delivery.offer(frame(position, 512, range(position * 512, (position + 1) * 512)))
    while sending := delivery.next(who, 0.0, 0.0):
        places = range(len(sending.places))
        delivery.settle(who, failed=[(sending.number, place, How.RETRY, 0.0, "no") for place in places])
        who.granted = who.sent + 1000
    assert MOST_TRIALS <= len(delivery.cursor.trials) < MOST_TRIALS + 1000
    handled = 0
    now = 0.0
    while delivery.floor <= position:
        now = max(now + 1.0, min(delivery.tick(now, LATER), 1e9))
        delivery.tick(now, LATER)
        while sending := delivery.next(who, now, LATER):
            handled += len(sending.places)
            delivery.settle(who, done=[sending.number], now=now)
            who.granted = who.sent + 1000
    assert handled == 60 * 512
    assert not delivery.cursor.trials


GONE = Consumer("payment", {"placed": True}, "1")


def test_a_type_that_is_not_consumed_any_more_does_not_hold_its_key_until_its_time_comes() -> None:
    delivery = machine(BY_KEY)
    who = knows(delivery, "placed", "paid")
    delivery.offer(of_paid(1, (7,)))
    delivery.offer(frame(2, keys=(7,)))
    assert events(taken(delivery, who)) == [(1, 0)]
    delivery.settle(who, failed=[(1, 0, How.RETRY, 3600.0, "not now")], now=0.0)
    assert not taken(delivery, who, 1.0), "it waits for its time, and its key with it"
    delivery.route(GONE)
    assert events(taken(delivery, who, 1.0)) == [(2, 0)]
    delivery.settle(who, through=2)
    assert delivery.cursor == Cursor(3)


@pytest.mark.parametrize("ends", ["fails", "dies", "is silent", "gives it back"])
def test_a_type_that_goes_while_it_is_in_hand_is_over_with_that(ends: str) -> None:
    delivery = machine(BY_KEY)
    who = knows(delivery, "placed", "paid")
    delivery.offer(of_paid(1, (7,)))
    delivery.offer(frame(2, keys=(7,)))
    taken(delivery, who)
    delivery.route(GONE)
    if ends == "dies":
        delivery.leave(who, 0.0)
        who = knows(delivery, "placed")
    elif ends == "is silent":
        delivery.tick(31.0, LATER)
    else:
        how = How.RETRY if ends == "fails" else How.RELEASE
        delivery.settle(who, failed=[(1, 0, how, 3600.0, "no")], now=0.0)
    assert events(taken(delivery, who, 31.0)) == [(2, 0)]
    delivery.settle(who, through=2, now=31.0)
    assert delivery.floor == 3 and not delivery.cursor.trials and not keep(delivery)


def test_what_is_declared_and_handled_by_nobody_yet_keeps_its_place_in_its_key() -> None:
    delivery = machine(BY_KEY)
    who = knows(delivery, "placed")
    delivery.offer(of_paid(1, (7,)))
    delivery.offer(frame(2, keys=(7,)))
    assert not taken(delivery, who), "a release that is to come may know it"
    delivery.leave(who, 0.0)
    both = knows(delivery, "placed", "paid")
    assert events(taken(delivery, both)) == [(1, 0)]


def test_a_type_that_was_left_behind_and_is_not_consumed_any_more_holds_no_log() -> None:
    delivery = machine(PLAIN)
    who = knows(delivery, "placed")
    delivery.offer(of_paid(1))
    delivery.passed(9)
    delivery.leave(who, 0.0)
    assert delivery.floor == 1
    delivery.route(Consumer("payment", {"placed": False}, "1"))
    assert delivery.floor == 10 and not delivery.cursor.behind


def test_what_was_handled_stays_so_whichever_types_are_consumed_after_each_restart() -> None:
    both = Offer(1, range(2), ("placed", "paid"), (0, 1))
    delivery = machine(PLAIN)
    who = knows(delivery, "placed", "paid")
    delivery.offer(both)
    taken(delivery, who)
    delivery.settle(who, through=1, failed=[(1, 0, How.RETRY, 3600.0, "not now")], now=0.0)
    only = Consumer("payment", {"placed": False}, "1")
    narrow = Delivery(only, delivery.cursor, 1)
    narrow.offer(Offer(1, (0,), ("placed", "paid"), (0, 1)))
    again = Delivery(PLAIN, narrow.cursor, 2)
    who = knows(again, "placed", "paid")
    again.offer(both)
    assert not taken(again, who, 1.0), "the second was handled, the first waits for its time"
    again.tick(3600.0, LATER)
    assert events(taken(again, who, 3600.0)) == [(1, 0)]
