"""What becomes of events that a release gets and does not handle? And of those in hand while the mesh stands?

A canary may consume a type that stable knows nothing of, and an author may forget a handler.
"""

from collections.abc import Sequence

import pytest

from nodemesh.model.delivery import How, Offer, Session, Wish
from nodemesh.model.table import Consumer
from nodemesh.policy.delivery import MOST_TRIALS, UNHANDLED, Delivery
from tests.nodemesh.policy.delivering import LATER, PLAIN, events, frame, keep, machine, session, taken

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
    assert events(taken(delivery, who)) == [(1, 0)]
    delivery.settle(who, failed=[(1, 0, How.RELEASE, 0.0, "")], now=10.0)
    assert not taken(delivery, who, 10.0), "it would come back as fast as it is sent"
    delivery.offer(frame(2, keys=(8,)))
    assert events(taken(delivery, who, 10.0)) == [(2, 0)]
    (trial,) = delivery.cursor.trials.values()
    assert "handler" in trial.reason and "paid" in trial.reason
    assert delivery.tick(10.0, LATER) == 10.0 + UNHANDLED


def test_it_is_no_try() -> None:
    delivery = machine()
    who = knows(delivery, "placed")
    delivery.offer(of_paid(1))
    now = 0.0
    for number in range(1, 20):
        (sending,) = taken(delivery, who, now)
        assert sending.attempt == 1
        delivery.settle(who, failed=[(number, 0, How.RELEASE, 0.0, "")], now=now)
        now += UNHANDLED
        delivery.tick(now, LATER)
    assert not keep(delivery)
    delivery.leave(who, now)
    other = knows(delivery, "placed", "paid")
    assert events(taken(delivery, other, now)) == [(1, 0)]
    delivery.settle(other, through=1, now=now)
    assert delivery.floor == 2
    assert not delivery.cursor.trials


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
