"""Is a release charged only with what a share dealt to it, each event or key once?"""

from collections.abc import Sequence

from nodemesh.model.delivery import How, Offer, Sending, Session, Wish
from nodemesh.model.table import Consumer, Share
from nodemesh.policy import ledger
from nodemesh.policy.delivery import Delivery
from tests.nodemesh.policy.delivering import ORDERED, PLAIN, frame, keep, machine, session, taken, with_shares

HALF = with_shares(PLAIN, v2=0.5)
KEYED = with_shares(ORDERED, v2=0.5)
KEYS = range(1, 41)


def first(delivery: Delivery) -> dict[str, tuple[int, int]]:
    return {version: (c.first, c.first_failed) for version, c in delivery.counts.items() if c.first}


def both(delivery: Delivery) -> tuple[Session, Session]:
    return session(delivery, "1", name="a"), session(delivery, "2", name="b")


def done(delivery: Delivery, who: Session, sendings: Sequence[Sending]) -> None:
    delivery.settle(who, done=[each.number for each in sendings])


def failed(
    delivery: Delivery, who: Session, sendings: Sequence[Sending], how: How = How.RETRY, now: float = 0.0
) -> None:
    all_of = [(s.number, place, how, 0.0, "no") for s in sendings for place in range(len(s.places))]
    delivery.settle(who, failed=all_of, now=now)


def test_events_that_a_share_dealt_count_once_they_have_an_outcome() -> None:
    delivery = machine(HALF)
    stable, canary = both(delivery)
    delivery.offer(frame(1, 10))
    mine, its = taken(delivery, stable), taken(delivery, canary)
    assert first(delivery) == {}
    done(delivery, stable, mine)
    failed(delivery, canary, its)
    assert first(delivery) == {"1": (5, 0), "2": (5, 5)}


def test_a_later_try_counts_for_nobody() -> None:
    delivery = machine(HALF)
    stable, canary = both(delivery)
    delivery.offer(frame(1, 10))
    done(delivery, stable, taken(delivery, stable))
    failed(delivery, canary, taken(delivery, canary))
    delivery.tick(1000.0, 0.0)
    again = taken(delivery, stable, 1000.0)
    assert sum(len(each.places) for each in again) == 5
    failed(delivery, stable, again[:1], now=1000.0)
    done(delivery, stable, again[1:])
    assert first(delivery) == {"1": (5, 0), "2": (5, 5)}
    assert delivery.counts["1"].failed == 5


def test_what_is_set_aside_at_once_or_not_answered_for_failed() -> None:
    delivery = machine(HALF)
    stable = session(delivery, "1", name="a")
    canary = session(delivery, "2", name="b", wish=Wish(5, 10.0))
    delivery.offer(frame(1, 4))
    failed(delivery, stable, taken(delivery, stable), How.REJECT)
    assert len(keep(delivery)) == 2
    taken(delivery, canary)
    delivery.tick(11.0, 0.0)
    assert first(delivery) == {"1": (2, 2), "2": (2, 2)}


def test_what_was_not_tried_or_was_lost_with_its_session_does_not_count() -> None:
    delivery = machine(HALF)
    stable, canary = both(delivery)
    delivery.offer(frame(1, 10))
    failed(delivery, stable, taken(delivery, stable), How.RELEASE)
    taken(delivery, canary)
    delivery.leave(canary, 0.0)
    assert first(delivery) == {}
    done(delivery, stable, taken(delivery, stable))
    assert first(delivery) == {}


def test_without_a_share_nothing_is_compared() -> None:
    expired = Consumer(PLAIN.node, PLAIN.types, "1", (Share("2", 0.5, 100.0),))
    for consumer, wall in ((PLAIN, 0.0), (expired, 200.0)):
        delivery = machine(consumer)
        stable, _ = both(delivery)
        delivery.offer(frame(1, 10))
        done(delivery, stable, taken(delivery, stable, 0.0, wall))
        assert (first(delivery), delivery.counts["1"].acked) == ({}, 10)


def test_while_one_of_them_is_not_there_nothing_is_compared() -> None:
    for version in ("1", "2"):
        delivery = machine(HALF)
        only = session(delivery, version)
        delivery.offer(frame(1, 10))
        done(delivery, only, taken(delivery, only))
        assert (first(delivery), delivery.counts[version].acked) == ({}, 10)


def test_what_another_share_dealt_does_not_count() -> None:
    delivery = machine(HALF)
    stable, canary = both(delivery)
    delivery.offer(frame(1, 10))
    old = taken(delivery, canary)
    delivery.route(with_shares(PLAIN, v2=0.25))
    failed(delivery, canary, old)
    assert (first(delivery), delivery.counts["2"].failed) == ({}, 5)
    delivery.offer(frame(2, 40))
    new = taken(delivery, canary)
    failed(delivery, canary, new)
    done(delivery, stable, taken(delivery, stable))
    dealt = sum(len(each.places) for each in new)
    assert dealt > 5
    assert first(delivery)["2"] == (dealt, dealt)


def test_a_share_that_is_only_renewed_is_the_same() -> None:
    delivery = machine(HALF)
    _, canary = both(delivery)
    delivery.offer(frame(1, 10))
    held = taken(delivery, canary)
    delivery.route(Consumer(PLAIN.node, PLAIN.types, "1", (Share("2", 0.5, 2e12),)))
    done(delivery, canary, held)
    assert first(delivery) == {"2": (5, 0)}


def test_a_type_that_only_one_of_them_handles_is_not_compared() -> None:
    delivery = machine(HALF)
    stable = Session("a", "1", {"placed": Wish()}, 1000)
    canary = Session("b", "2", {"placed": Wish(), "paid": Wish()}, 1000)
    delivery.join(stable)
    delivery.join(canary)
    delivery.offer(Offer(1, range(20), ("placed", "paid"), (0, 1) * 10))
    failed(delivery, canary, taken(delivery, canary))
    done(delivery, stable, taken(delivery, stable))
    assert first(delivery) == {"1": (5, 0), "2": (5, 5)}
    assert delivery.counts["2"].failed == 15


def keyed(delivery: Delivery, position: int, keys: Sequence[int] = KEYS) -> None:
    delivery.offer(frame(position, len(keys), keys))


def test_where_order_is_asked_the_key_counts() -> None:
    delivery = machine(KEYED)
    stable, canary = both(delivery)
    for position in (1, 2, 3):
        keyed(delivery, position)
        done(delivery, stable, taken(delivery, stable))
        done(delivery, canary, taken(delivery, canary))
    counted = first(delivery)
    assert sum(count for count, _ in counted.values()) == len(KEYS)
    assert min(count for count, _ in counted.values()) > 10
    assert {bad for _, bad in counted.values()} == {0}


def test_a_key_that_always_fails_is_one_fault() -> None:
    delivery = machine(KEYED)
    stable, canary = both(delivery)
    keyed(delivery, 1)
    done(delivery, canary, taken(delivery, canary))
    (sending,) = taken(delivery, stable)
    bad = KEYS[sending.places[0]]
    delivery.settle(stable, failed=[(sending.number, 0, How.REJECT, 0.0, "no")])
    done(delivery, stable, [sending])
    keep(delivery)
    for position in range(2, 12):
        keyed(delivery, position, [bad])
        failed(delivery, stable, taken(delivery, stable), How.REJECT)
        keep(delivery)
    assert delivery.counts["1"].failed == 11
    assert first(delivery)["1"][1] == 1
    assert sum(count for count, _ in first(delivery).values()) == len(KEYS)


def test_keys_are_counted_anew_with_another_share() -> None:
    delivery = machine(KEYED)
    stable, canary = both(delivery)
    for position, consumer in ((1, KEYED), (2, with_shares(ORDERED, v2=0.4))):
        delivery.route(consumer)
        keyed(delivery, position)
        failed(delivery, canary, taken(delivery, canary), How.REJECT)
        keep(delivery)
        done(delivery, stable, taken(delivery, stable))
    counted = first(delivery)
    assert sum(count for count, _ in counted.values()) == 2 * len(KEYS)
    assert counted["2"][0] == counted["2"][1]


def test_events_without_a_key_count_by_themselves() -> None:
    delivery = machine(KEYED)
    stable, canary = both(delivery)
    keyed(delivery, 1, [0] * 40)
    failed(delivery, canary, taken(delivery, canary), How.REJECT)
    done(delivery, stable, taken(delivery, stable))
    counted = first(delivery)
    assert sum(count for count, _ in counted.values()) == 40
    assert counted["2"] == (counted["2"][0],) * 2


def test_memory_is_bounded_for_both_alike() -> None:
    delivery = machine(KEYED)
    stable, canary = both(delivery)
    stable.granted = canary.granted = 10**9
    most, step = ledger.MOST_KEYS, 1000
    for position in range(1, most // step + 10):
        keyed(delivery, position, range(position * step, (position + 1) * step))
        done(delivery, stable, taken(delivery, stable))
        done(delivery, canary, taken(delivery, canary))
    full = first(delivery)
    assert sum(count for count, _ in full.values()) == most
    keyed(delivery, most, range(10**8, 10**8 + step))
    failed(delivery, stable, taken(delivery, stable), How.REJECT)
    failed(delivery, canary, taken(delivery, canary), How.REJECT)
    assert first(delivery) == full
