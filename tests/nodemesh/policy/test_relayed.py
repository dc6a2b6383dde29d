"""What of another mesh's events is told back, and is nothing of them left here?"""

import pytest

from nodemesh.model.delivery import How, Session, Wish
from nodemesh.model.table import Consumer
from nodemesh.policy.delivery import Delivery
from nodemesh.policy.pauses import UNHANDLED
from nodemesh.policy.relayed import Relayed
from tests.nodemesh.policy.delivering import ORDERED, PLAIN, frame, machine, session


def joined(relayed: Delivery, name: str = "a", granted: int = 1000) -> Session:
    return session(relayed, name=name, granted=granted, wish=Wish(attempts=5, timeout=30.0))


@pytest.mark.parametrize("consumer", [PLAIN, ORDERED])
def test_what_is_handled_is_over(consumer: Consumer) -> None:
    relayed = Relayed(consumer)
    who = joined(relayed)
    relayed.offer(frame(1, 3, keys=(1, 2, 3)))
    sent = relayed.next(who, 0.0, 0.0)
    assert sent is not None and sent.position == 1 and not relayed.has_to_tell
    relayed.settle(who, through=sent.number)
    assert relayed.told() == ([1], [])
    assert relayed.told() == ([], []) and relayed.floor == 2 and relayed.open == ()


@pytest.mark.parametrize("consumer", [PLAIN, ORDERED])
@pytest.mark.parametrize("how", [How.RETRY, How.REJECT])
def test_what_fails_is_told_and_not_tried_here(consumer: Consumer, how: How) -> None:
    relayed = Relayed(consumer)
    who = joined(relayed)
    relayed.offer(frame(1, 3, keys=(1, 2, 3)))
    sent = relayed.next(who, 0.0, 0.0)
    assert sent is not None
    relayed.settle(who, through=sent.number, failed=[(sent.number, 1, how, 2.0, "no")])
    assert relayed.told() == ([1], [(1, 1, how, 2.0, "no")])
    relayed.tick(1e6, 1e6)
    assert relayed.next(who, 1e6, 1e6) is None and relayed.waiting == 0


def test_what_is_given_back_untried_goes_to_another_here() -> None:
    relayed = Relayed(PLAIN)
    one, other = joined(relayed), joined(relayed, "b")
    relayed.offer(frame(1))
    sent = relayed.next(one, 0.0, 0.0)
    assert sent is not None
    relayed.settle(one, failed=[(sent.number, 0, How.RELEASE, 0.0, "")])
    assert not relayed.has_to_tell
    assert relayed.next(other, 0.0, 0.0) is not None


@pytest.mark.parametrize("ordered", [False, True])
def test_what_has_no_handler_here_goes_back(ordered: bool) -> None:
    relayed = Relayed(Consumer("payment", {"placed": ordered, "paid": ordered}, "1"))
    who = Session("a", "1", {"paid": Wish()}, 1000)
    relayed.join(who)
    relayed.offer(frame(1, 1, keys=(1,)))
    assert relayed.next(who, 0.0, 0.0) is None
    assert relayed.told() == ([1], [(1, 0, How.RELEASE, 0.0, "")])


@pytest.mark.parametrize("ordered", [False, True])
def test_what_its_only_handler_left_behind_goes_back(ordered: bool) -> None:
    relayed = Relayed(Consumer("payment", {"placed": ordered, "paid": ordered}, "1"))
    relayed.join(Session("a", "1", {"paid": Wish()}, 1000))
    other = Session("b", "1", {"placed": Wish()}, 0)
    relayed.join(other)
    relayed.offer(frame(1, 1, keys=(1,)))
    relayed.leave(other, 0.0)
    assert relayed.told() == ([1], [(1, 0, How.RELEASE, 0.0, "")]) and not relayed.waiting


def test_what_another_host_gives_back_waits_a_while() -> None:
    """At the mesh that keeps it: at once it would come back as fast as it is sent."""
    delivery = machine()
    peer = link(delivery)
    delivery.offer(frame(1))
    assert delivery.next(peer, 0.0, 0.0) is not None
    delivery.settle(peer, failed=[(1, 0, How.RELEASE, 0.0, "")], now=0.0)
    assert delivery.next(peer, 0.0, 0.0) is None
    assert delivery.tick(0.0, 0.0) == UNHANDLED
    delivery.tick(UNHANDLED, 0.0)
    again = delivery.next(peer, UNHANDLED, 0.0)
    assert again is not None and again.attempt == 1


@pytest.mark.parametrize("consumer", [PLAIN, ORDERED])
def test_what_a_session_had_when_it_ended_is_lost_and_nobodys_here(consumer: Consumer) -> None:
    relayed = Relayed(consumer)
    one, other = joined(relayed), joined(relayed, "b")
    relayed.offer(frame(1, 2, keys=(1, 2)))
    relayed.offer(frame(2, 1, keys=(1,)))
    sent = relayed.next(one, 0.0, 0.0)
    assert sent is not None
    relayed.leave(one, 0.0)
    over, failures = relayed.told()
    assert over == [1] and failures == [(1, place, How.LOST, 0.0, "") for place in (0, 1)]
    again = relayed.next(other, 0.0, 0.0)
    assert again is not None and again.position == 2


def test_a_session_that_says_nothing_has_failed() -> None:
    relayed = Relayed(PLAIN)
    who = joined(relayed)
    relayed.offer(frame(1))
    assert relayed.next(who, 0.0, 0.0) is not None
    relayed.tick(31.0, 31.0)
    over, [(position, place, how, _, reason)] = relayed.told()
    assert (over, position, place, how) == ([1], 1, 0, How.RETRY) and "30 s" in reason


@pytest.mark.parametrize("consumer", [PLAIN, ORDERED])
def test_what_may_end_its_consumer_is_given_to_empty_hands_only(consumer: Consumer) -> None:
    relayed = Relayed(consumer)
    who = joined(relayed)
    relayed.offer_alone(frame(1, 1, keys=(1,)))
    who.elsewhere = 1
    assert relayed.next(who, 0.0, 0.0) is None and relayed.wants_alone(who)
    who.elsewhere = 0
    assert relayed.next(who, 0.0, 0.0) is not None
    assert who.room == 0 and not relayed.wants_alone(who)
    relayed.leave(who, 0.0)
    assert relayed.told() == ([1], [(1, 0, How.LOST, 0.0, "")])


def link(delivery: Delivery) -> Session:
    made = Session("peer:b", "1", {}, 1000, is_peer=True)
    delivery.join(made)
    return made


def test_a_link_that_goes_blames_no_event() -> None:
    """At the mesh that keeps them."""
    delivery = machine()
    delivery.offer(frame(1, 2))
    for _ in range(10):
        peer = link(delivery)
        sent = delivery.next(peer, 0.0, 0.0)
        assert sent is not None and len(sent.places) == 2 and sent.attempt == 1
        delivery.leave(peer, 0.0)
    assert not delivery.take_aside()


def test_what_ends_consumers_of_another_host_is_set_aside() -> None:
    delivery, now = machine(), 0.0
    delivery.offer(frame(1, 2))
    peer, kills = link(delivery), 0
    while not (aside := delivery.take_aside()):
        delivery.tick(now, now)
        sent = delivery.next(peer, now, now)
        now += 1.0
        if sent is None:
            continue
        if 0 in sent.places:
            kills += 1
            failed = [(sent.number, n, How.LOST, 0.0, "") for n in range(len(sent.places))]
            delivery.settle(peer, failed=failed, now=now)
        else:
            delivery.settle(peer, done=[sent.number], now=now)
        assert kills < 10
    assert [letter.address.place for letter in aside] == [0] and kills == 4


def test_only_a_mesh_says_that_consumers_ended() -> None:
    """A node that says so has failed the event."""
    delivery = machine()
    who = session(delivery)
    delivery.offer(frame(1))
    sent = delivery.next(who, 0.0, 0.0)
    assert sent is not None
    delivery.settle(who, failed=[(sent.number, 0, How.LOST, 0.0, "")], now=0.0)
    assert delivery.retried == 1
