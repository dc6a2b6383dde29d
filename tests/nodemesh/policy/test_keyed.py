"""Events of one key go to one session, one after the other."""

import pytest

from nodemesh.model.cursor import Cursor
from nodemesh.model.delivery import How, Sending, Session, Wish
from nodemesh.model.table import Consumer, Share
from nodemesh.policy.bounds import AHEAD_EVENTS, AHEAD_KEYED
from nodemesh.policy.delivery import Delivery
from tests.nodemesh.policy.delivering import (
    ORDERED,
    count,
    events,
    frame,
    keep,
    machine,
    session,
    taken,
    with_shares,
)


def fail(delivery: Delivery, who: Session, sending: Sending, how: How = How.RETRY, now: float = 0.0) -> None:
    failed = [(sending.number, place, how, 0.0, "no") for place in range(len(sending.places))]
    delivery.settle(who, failed=failed, now=now)


# ---- order ----------------------------------------------------------------------------------------------


def test_without_keeping_order_it_gets_one_event_of_a_key_at_a_time() -> None:
    delivery = machine(ORDERED)
    who = session(delivery)
    delivery.offer(frame(1, 4, (7, 7, 8, 7)))
    delivery.offer(frame(2, 1, (7,)))
    got = []
    while sent := taken(delivery, who):
        got.append(events(sent))
        delivery.settle(who, who.number)
    assert got == [[(1, 0), (1, 2)], [(1, 1)], [(1, 3)], [(2, 0)]]


def test_one_that_keeps_order_gets_many() -> None:
    delivery = machine(ORDERED)
    who = session(delivery, keeps_order=True)
    delivery.offer(frame(1, 4, (7, 7, 8, 7)))
    delivery.offer(frame(2, 2, (8, 7)))
    assert events(taken(delivery, who)) == [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1)]


@pytest.mark.parametrize("keeps_order", [True, False])
def test_a_key_is_never_in_two_hands(keeps_order: bool) -> None:
    delivery = machine(ORDERED)
    one = session(delivery, granted=1, keeps_order=keeps_order)
    two = session(delivery, keeps_order=keeps_order, name="b")
    delivery.offer(frame(1, 4, (7, 7, 8, 7)))
    assert events(taken(delivery, one)) == [(1, 0)]
    assert events(taken(delivery, two)) == [(1, 2)]
    delivery.settle(two, through=1)
    assert taken(delivery, two) == []
    delivery.settle(one, through=1)
    assert (1, 1) in events(taken(delivery, two)), "nothing of it is under way any more"


def test_credit_holds_within_a_key() -> None:
    delivery = machine(ORDERED)
    who = session(delivery, granted=3, keeps_order=True)
    delivery.offer(frame(1, 5, (7,) * 5))
    assert events(taken(delivery, who)) == [(1, 0), (1, 1), (1, 2)]
    who.granted = 4
    assert events(taken(delivery, who)) == [(1, 3)]


def test_a_failed_event_blocks_its_key_until_it_is_handled() -> None:
    delivery = machine(ORDERED)
    one, two = session(delivery), session(delivery, name="b")
    delivery.offer(frame(1, 3, (7, 7, 8)))
    (sending,) = taken(delivery, one)
    delivery.settle(one, 1, failed=[(1, 0, How.RETRY, 0.0, "no")])
    assert sending.places == (0, 2)
    assert taken(delivery, one) == taken(delivery, two) == []
    delivery.tick(1.0, 0.0)
    assert events(taken(delivery, two, 1.0)) == [(1, 0)]
    assert taken(delivery, one, 1.0) == []
    delivery.settle(two, through=1)
    assert events(taken(delivery, one, 1.0)) == [(1, 1)]


def test_a_failed_event_blocks_its_key_until_it_is_dead_and_kept() -> None:
    delivery = machine(ORDERED)
    who = session(delivery)
    delivery.offer(frame(1, 2, (7, 7)))
    (sending,) = taken(delivery, who)
    fail(delivery, who, sending, How.REJECT)
    assert taken(delivery, who) == []
    assert len(keep(delivery)) == 1
    assert events(taken(delivery, who)) == [(1, 1)]


def test_what_was_released_behind_a_failure_comes_after_it() -> None:
    delivery = machine(ORDERED)
    who = session(delivery, keeps_order=True)
    delivery.offer(frame(1, 2, (7, 7)))
    delivery.offer(frame(2, 2, (7, 7)))
    first, second = taken(delivery, who)
    delivery.settle(who, failed=[(1, 0, How.RETRY, 0.0, "no"), (1, 1, How.RELEASE, 0.0, "")])
    # The second is still in its hands: nothing earlier may be sent meanwhile.
    delivery.tick(1.0, 0.0)
    assert taken(delivery, who, 1.0) == []
    fail(delivery, who, second, How.RELEASE)
    got = []
    while sent := taken(delivery, who, 1.0):
        got += events(sent)
        delivery.settle(who, who.number)
    assert got == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert first.epoch < second.epoch


def test_one_key_that_waits_holds_up_no_other() -> None:
    delivery = machine(ORDERED)
    who = session(delivery, granted=10**6, keeps_order=True)
    delivery.offer(frame(1, 1, (7,)))
    (sending,) = taken(delivery, who)
    fail(delivery, who, sending)
    for position in range(2, 3000):
        delivery.offer(frame(position, 2, (7, 1000 + position)))
        assert events(taken(delivery, who)) == [(position, 1)]
        delivery.settle(who, who.number)
        assert delivery.room > 0
    assert delivery.waiting == 2999


def test_no_more_is_read_than_memory_should_hold() -> None:
    delivery = machine(ORDERED)
    position = 0
    while delivery.room > 0:
        position += 1
        delivery.offer(frame(position, 448, range(1, 449)))
    assert AHEAD_EVENTS <= delivery.waiting < AHEAD_EVENTS + 448
    delivery, position = machine(ORDERED), 0
    while delivery.room > 0:
        position += 1
        delivery.offer(frame(position, 1, (7,)))
    assert position == AHEAD_KEYED


def test_no_key_is_no_order() -> None:
    delivery = machine(ORDERED)
    one, two = session(delivery, granted=3), session(delivery, name="b")
    delivery.offer(frame(1, 4))
    delivery.offer(frame(2, 3, (0, 7, 0)))
    (sending,) = taken(delivery, one)
    fail(delivery, one, sending)
    assert events(taken(delivery, two)) == [(1, 3), (2, 0), (2, 1), (2, 2)]


def test_after_a_loss_the_order_stays() -> None:
    delivery = machine(ORDERED)
    lost = session(delivery, keeps_order=True)
    for position in (1, 2, 3):
        delivery.offer(frame(position, 3, (7, 8, 7)))
    taken(delivery, lost)
    delivery.settle(lost, failed=[(2, 1, How.RETRY, 0.0, "no")])
    delivery.leave(lost, 0.0)
    who, got = session(delivery, keeps_order=True), []
    for now in (0.0, 1.0):
        delivery.tick(now, 0.0)
        while sent := taken(delivery, who, now):
            got += events(sent)
            delivery.settle(who, who.number)
    assert [event for event in got if event[1] != 1] == [(p, place) for p in (1, 2, 3) for place in (0, 2)]
    assert [event for event in got if event[1] == 1] == [(1, 1), (2, 1), (3, 1)]
    assert delivery.cursor == Cursor(4)


def test_after_a_restart_a_failed_event_blocks_its_key_still() -> None:
    before = machine(ORDERED)
    who = session(before)
    before.offer(frame(1, 2, (7, 7)))
    (sending,) = taken(before, who)
    fail(before, who, sending, now=100.0)
    delivery = Delivery(ORDERED, before.cursor, 1)
    delivery.offer(frame(1, 2, (7, 7)))
    other = session(delivery)
    assert taken(delivery, other, 100.0) == []
    delivery.tick(101.0, 0.0)
    (again,) = taken(delivery, other, 101.0)
    assert (again.places, again.attempt) == ((0,), 2)


# ---- releases -------------------------------------------------------------------------------------------


def of_release(delivery: Delivery, keys: tuple[int, ...], position: int = 1) -> dict[int, str]:
    """Which release gets which key, of keys that are offered now."""
    delivery.offer(frame(position, len(keys), keys))
    found = {}
    for who in delivery.sessions:
        for _, place in events(taken(delivery, who)):
            found[keys[place]] = who.version
        delivery.settle(who, who.number)
    return found


def test_shares_are_of_keys_and_a_key_stays() -> None:
    delivery = machine(with_shares(ORDERED, v2=0.1))
    session(delivery, granted=10**6)
    session(delivery, "2", granted=10**6)
    keys = tuple(range(1, 20_001))
    first, again = of_release(delivery, keys, 1), of_release(delivery, keys, 2)
    assert first == again
    assert 1900 < sum(version == "2" for version in first.values()) < 2100
    delivery.route(with_shares(ORDERED, v2=0.2))
    more = of_release(delivery, keys, 3)
    assert 3800 < sum(version == "2" for version in more.values()) < 4200
    assert all(more[key] == "2" for key, version in first.items() if version == "2")


def test_without_its_canary_a_key_is_stables() -> None:
    delivery = machine(with_shares(ORDERED, v2=1.0))
    delivery.offer(frame(1, 3, (1, 2, 3)))
    stable = session(delivery)
    assert count(taken(delivery, stable)) == 3
    canary = session(delivery, "2")
    delivery.offer(frame(2, 3, (4, 5, 6)))
    assert taken(delivery, stable) == []
    delivery.leave(canary, 0.0)
    assert count(taken(delivery, stable)) == 3


def test_without_stable_whoever_has_a_share_takes_all() -> None:
    delivery = machine(with_shares(ORDERED, v2=0.1))
    canary = session(delivery, "2")
    delivery.offer(frame(1, 50, range(1, 51)))
    assert count(taken(delivery, canary)) == 50


def test_an_expired_share_gets_nothing_more_of_the_keys_it_holds() -> None:
    consumer = Consumer("payment", {"placed": True}, "1", (Share("2", 1.0, 100.0),))
    delivery = Delivery(consumer, Cursor(1))
    stable = session(delivery, keeps_order=True)
    canary = session(delivery, "2", granted=1, keeps_order=True)
    delivery.offer(frame(1, 3, (7, 7, 8)))
    assert count(taken(delivery, canary, 0.0, 99.0)) == 1
    canary.granted = 100
    assert taken(delivery, canary, 0.0, 100.0) == []
    assert events(taken(delivery, stable, 0.0, 100.0)) == [(1, 2)], "the other key moves at once"
    delivery.settle(canary, through=1)
    assert events(taken(delivery, stable, 0.0, 100.0)) == [(1, 1)]


def test_a_busy_key_moves_when_it_is_no_longer_the_canarys() -> None:
    delivery = machine(with_shares(ORDERED, v2=1.0))
    stable = session(delivery, keeps_order=True)
    canary = session(delivery, "2", granted=2, keeps_order=True)
    delivery.offer(frame(1, 2, (7, 7)))
    delivery.offer(frame(2, 2, (7, 7)))
    assert events(taken(delivery, canary)) == [(1, 0), (1, 1)]
    delivery.route(ORDERED)
    canary.granted = 100
    assert taken(delivery, canary) == taken(delivery, stable) == []
    delivery.settle(canary, through=1)
    assert taken(delivery, canary) == []
    assert events(taken(delivery, stable)) == [(2, 0), (2, 1)]


def test_a_promoted_canary_takes_over() -> None:
    delivery = machine(with_shares(ORDERED, v2=0.1))
    old, new = session(delivery, keeps_order=True), session(delivery, "2", keeps_order=True)
    delivery.offer(frame(1, 100, range(1, 101)))
    delivery.route(Consumer("payment", {"placed": True}, "2"))
    assert taken(delivery, old) == []
    assert count(taken(delivery, new)) == 100


def test_a_release_that_is_neither_stable_nor_canary_gets_nothing() -> None:
    delivery = machine(ORDERED)
    other = session(delivery, "0")
    delivery.offer(frame(1, 2, (1, 2)))
    assert taken(delivery, other) == []
    assert count(taken(delivery, session(delivery, wish=Wish()))) == 2
