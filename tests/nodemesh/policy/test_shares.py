"""Shares are reached by counting, whoever asks first."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodemesh.model.cursor import Cursor
from nodemesh.model.delivery import How, Session
from nodemesh.model.table import Consumer, Share
from nodemesh.policy.delivery import Delivery
from nodemesh.policy.shares import FOREVER, MOST_OWED, Parts, Shares
from tests.nodemesh.policy.delivering import (
    PLAIN,
    count,
    events,
    frame,
    machine,
    session,
    taken,
    with_shares,
)


def carried(
    delivery: Delivery, order: list[Session], sizes: list[int], start: int = 1, backlog: int = 1
) -> Counter[str]:
    """Events by release when each session is asked in this order after every `backlog` frames."""
    found: Counter[str] = Counter()
    for number, size in enumerate(sizes, start=start):
        delivery.offer(frame(number, size))
        if number % backlog == 0:
            for who in order:
                found[who.version] += count(taken(delivery, who))
                delivery.settle(who, who.number)
    return found


# ---- parts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stable", "shares", "there", "live", "rest"),
    [
        ("1", (), "1", {}, "1"),
        ("1", (("2", 0.1, 50.0),), "12", {"2": 0.1}, "1"),
        ("1", (("2", 0.1, 50.0),), "1", {}, "1"),
        ("1", (("2", 0.1, 50.0),), "2", {}, "2"),
        ("1", (("2", 0.1, 10.0),), "12", {}, "1"),
        ("1", (("2", 0.1, 10.0),), "2", {}, ""),
        ("1", (("2", 0.0, 50.0),), "12", {}, "1"),
        ("1", (("2", 0.0, 50.0),), "2", {}, ""),
        ("1", (("2", 0.1, 50.0), ("3", 0.2, 50.0)), "123", {"2": 0.1, "3": 0.2}, "1"),
        ("1", (("2", 0.1, 50.0), ("3", 0.2, 50.0)), "23", {}, "23"),
        ("1", (), "03", {}, ""),
        ("2", (("2", 0.5, 50.0),), "12", {}, "2"),
        ("", (("2", 0.1, 50.0),), "123", {"2": 0.1}, "13"),
        ("", (("2", 0.1, 10.0),), "2", {}, ""),
        ("", (), "", {}, ""),
    ],
)
def test_who_has_a_share_and_who_the_rest(
    stable: str, shares: tuple[tuple[str, float, float], ...], there: str, live: dict[str, float], rest: str
) -> None:
    consumer = Consumer("payment", {"placed": False}, stable, tuple(Share(*share) for share in shares))
    assert Shares(consumer).judge(set(there), 10.0) == Parts(tuple(live.items()), frozenset(rest))


def test_a_judgement_holds_until_the_next_share_ends_or_the_clock_goes_back_over_one() -> None:
    shares = Shares(Consumer("payment", {}, "1", (Share("2", 0.1, 50.0), Share("3", 0.1, 70.0))))
    shares.judge({"1", "2", "3"}, 60.0)
    assert [shares.holds(wall) for wall in (49.0, 50.0, 69.9, 70.0, FOREVER)] == [
        False,
        True,
        True,
        False,
        False,
    ]


# ---- counting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 1 / 3, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("size", [1, 7, 448])
@pytest.mark.parametrize("first", ["1", "2"])
def test_a_share_is_met_within_one_in_a_thousand(share: float, size: int, first: str) -> None:
    delivery = machine(with_shares(PLAIN, v2=share))
    order = [session(delivery, granted=10**9), session(delivery, "2", granted=10**9)]
    order.sort(key=lambda who: who.version != first)
    found = carried(delivery, order, [size] * (9000 // size))
    total = sum(found.values())
    assert total == 9000 // size * size
    assert abs(found["2"] - share * total) <= max(1.0, total / 1000.0)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    parts=st.tuples(st.floats(0.0, 0.5), st.floats(0.0, 0.5)),
    backlog=st.integers(1, 5),
    order=st.permutations([0, 1, 2]),
)
def test_two_canaries_and_stable_get_theirs_within_an_event_each(
    sizes: list[int], parts: tuple[float, float], backlog: int, order: list[int]
) -> None:
    delivery = machine(with_shares(PLAIN, v2=parts[0], v3=parts[1]))
    asked = [session(delivery, version, 10**9) for version in ("1", "2", "3")]
    sizes += [1] * (-len(sizes) % backlog)
    found = carried(delivery, [asked[number] for number in order], sizes, backlog=backlog)
    assert sum(found.values()) == sum(sizes)
    for version, share in zip("23", parts, strict=True):
        assert abs(found[version] - share * sum(sizes)) <= 2.001


def test_a_tenth_of_single_events_is_every_tenth() -> None:
    delivery = machine(with_shares(PLAIN, v2=0.1))
    stable, canary = session(delivery, granted=10**6), session(delivery, "2", 10**6)
    for position in range(1, 51):
        delivery.offer(frame(position))
    assert [position for position, _ in events(taken(delivery, canary))] == [10, 20, 30, 40, 50]
    assert count(taken(delivery, stable)) == 45


def test_frames_are_cut_in_runs() -> None:
    delivery = machine(with_shares(PLAIN, v2=0.25))
    stable, canary = session(delivery), session(delivery, "2")
    delivery.offer(frame(1, 100))
    assert [each.places for each in taken(delivery, canary)] == [range(25)]
    assert [each.places for each in taken(delivery, stable)] == [range(25, 100)]


def test_comings_and_goings_do_not_move_the_share() -> None:
    """The canary works off its part at once, stable later: what is dealt anew is not dealt twice."""
    delivery = machine(with_shares(PLAIN, v2=0.1))
    stable, canary = session(delivery), session(delivery, "2", 10**6)
    got = Counter[str]()
    for position in range(1, 101):
        delivery.offer(frame(position, 10))
        got["2"] += count(taken(delivery, canary))
        delivery.settle(canary, canary.number)
        if position % 10 == 0:
            delivery.leave(canary, 0.0)
            canary = session(delivery, "2", 10**6)
    got["2"] += count(taken(delivery, canary))
    stable.granted = 10**6
    got["1"] = count(taken(delivery, stable))
    assert sum(got.values()) == 1000
    assert abs(got["2"] - 100) <= 1


def test_a_new_table_with_the_same_shares_changes_nothing() -> None:
    delivery = machine(with_shares(PLAIN, v2=0.1))
    stable, canary = session(delivery, granted=10**6), session(delivery, "2", 10**6)
    found = Counter[str]()
    for position in range(1, 1001):
        delivery.offer(frame(position))
        delivery.route(with_shares(PLAIN, v2=0.1))
        for who in (stable, canary):
            found[who.version] += count(taken(delivery, who))
    assert (found["1"], found["2"]) == (900, 100)


# ---- ends of shares -------------------------------------------------------------------------------------


def leased() -> tuple[Delivery, Session, Session]:
    """A tenth, until 100.0 on the wall."""
    delivery = Delivery(Consumer("payment", {"placed": False}, "1", (Share("2", 0.1, 100.0),)), Cursor(1))
    return delivery, session(delivery), session(delivery, "2")


@pytest.mark.parametrize("ticked", [True, False])
def test_an_expired_share_gets_nothing(ticked: bool) -> None:
    delivery, stable, canary = leased()
    delivery.tick(0.0, 99.0)
    delivery.offer(frame(1, 100))
    if ticked:
        delivery.tick(0.0, 100.0)
    assert taken(delivery, canary, 0.0, 100.0) == []
    assert count(taken(delivery, stable, 0.0, 100.0)) == 100


def test_an_expired_share_gets_nothing_that_came_back_either() -> None:
    delivery, stable, canary = leased()
    delivery.offer(frame(1, 100))
    taken(delivery, stable, 0.0, 50.0)
    delivery.leave(stable, 0.0)
    assert taken(delivery, canary, 0.0, 100.0) == []
    assert count(taken(delivery, session(delivery), 0.0, 100.0)) == 90 + 10


def test_a_renewed_share_goes_on() -> None:
    delivery, stable, canary = leased()
    delivery.tick(0.0, 100.0)
    delivery.route(with_shares(PLAIN, v2=0.1))
    delivery.offer(frame(1, 100))
    assert count(taken(delivery, canary, 0.0, 101.0)) == 10
    assert count(taken(delivery, stable, 0.0, 101.0)) == 90


# ---- busy canaries --------------------------------------------------------------------------------------


def test_a_busy_canary_holds_up_nothing() -> None:
    delivery = machine(with_shares(PLAIN, v2=0.5))
    stable, canary = session(delivery, granted=10**6), session(delivery, "2", granted=3)
    delivery.offer(frame(1, 100))
    assert count(taken(delivery, stable)) == 97, "all but what the canary has hands for"
    assert count(taken(delivery, canary)) == 3


def test_a_busy_canary_catches_up_a_little() -> None:
    delivery = machine(with_shares(PLAIN, v2=0.1))
    stable, canary = session(delivery, granted=10**6), session(delivery, "2", granted=0)
    carried(delivery, [stable, canary], [448] * 20)
    canary.granted = 10**6
    found = carried(delivery, [stable, canary], [448] * 20, start=21)
    assert found["2"] == pytest.approx(0.1 * 448 * 20 + MOST_OWED, abs=1)


def test_with_a_share_of_all_everything_waits_for_the_canary() -> None:
    delivery = machine(with_shares(PLAIN, v2=1.0))
    stable, canary = session(delivery), session(delivery, "2", granted=3)
    delivery.offer(frame(1, 10))
    assert taken(delivery, stable) == []
    assert count(taken(delivery, canary)) == 3


def test_what_was_given_back_counts_for_no_share() -> None:
    delivery = machine(with_shares(PLAIN, v2=0.1))
    stable, canary = session(delivery, granted=10**6), session(delivery, "2", 10**6)
    found = Counter[str]()
    for position in range(1, 1001):
        delivery.offer(frame(position))
        delivery.tick(float(position), 0.0)
        for who in (stable, canary):
            for sending in taken(delivery, who, float(position)):
                found[who.version] += sending.attempt == 1
                how = How.RETRY if position % 3 == 0 and sending.attempt == 1 else None
                failed = [(sending.number, 0, how, 0.0, "no")] if how else []
                assert sending.attempt == 1 or who is stable
                delivery.settle(who, sending.number, failed=failed, now=float(position))
    assert (found["1"], found["2"]) == (900, 100)


def test_no_share_is_as_before() -> None:
    delivery = machine(Consumer("payment", {"placed": False}))
    one, two = session(delivery, "1", granted=5), session(delivery, "2")
    delivery.offer(frame(1, 10))
    assert count(taken(delivery, one)) == 5
    assert count(taken(delivery, two)) == 5
