"""A canary that leaks beside a fresh stable is found at one of three looks; warming up and noise are not."""

import json
from dataclasses import asdict
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noded.model.rollout import Growth
from noded.policy.growth import BLOCK, LOOKS, finding, lowest_slope, on_read
from noded.runtime import codec

MB = 1_000_000
PER_MINUTE = MB / 60.0


def began(at: float = 1000.0) -> Growth:
    return Growth("shop.2", "shop.3", at)


def of(*more: float, shares: tuple[float, ...] = ()) -> Growth:
    """Blocks as they are, three minutes apart."""
    marks = tuple(1000.0 + BLOCK * (number + 0.5) for number in range(len(more)))
    return Growth("shop.2", "shop.3", 1000.0, more, marks, shares or (0.1,) * len(more))


class Process:
    """Memory of one process: a warm-up, noise that follows from the noise before, and perhaps a leak."""

    def __init__(self, dice: Random, leak: float = 0.0, warm: float = 80 * MB) -> None:
        self.dice, self.leak, self.warm, self.noise = dice, leak, warm, 0.0

    def used(self, seconds: float) -> int:
        """Asked every ten seconds: standard deviation 2 MB, 0.9 of it from the time before."""
        self.noise = 0.9 * self.noise + self.dice.gauss(0.0, 2 * MB * (1.0 - 0.81) ** 0.5)
        return int(50 * MB + self.warm * (1.0 - 0.5 ** (seconds / 300.0)) + self.leak * seconds + self.noise)


def found_after(dice: Random, leak: float, minutes: int = 70) -> float | None:
    """Minutes until it is found that the canary leaks so many bytes a second."""
    growth, canary, stable = began(), Process(dice, leak), Process(dice)
    for second in range(0, minutes * 60, 10):
        growth = on_read(growth, canary.used(second), stable.used(second), 1000.0 + second, 0.1)
        if finding(growth, 0):
            return second / 60.0
    return None


# What is found, and what is not


def test_without_a_leak_nothing_is_found() -> None:
    dice = Random(1)
    assert [found_after(dice, 0.0) for _ in range(60)] == [None] * 60


@pytest.mark.parametrize(("leak", "by"), [(0.5, 60.0), (1.0, 30.0), (3.0, 18.0)])
def test_a_leak_is_found_by_its_look(leak: float, by: float) -> None:
    dice = Random(f"leak {leak}")
    times = [found_after(dice, leak * PER_MINUTE) for _ in range(12)]
    assert sum(time is not None and time <= by + 0.5 for time in times) >= 11


def test_the_reason_has_the_figures() -> None:
    growth = began()
    for second in range(0, 1081, 5):
        growth = on_read(growth, 100 * MB + second * MB // 60, 90 * MB, 1000.0 + second, 0.1)
    assert finding(growth, 0) == (
        "memory of shop.2 grows by at least 1 MB/min more than that of shop.3 of the stable version, started"
        " with it: 26.5 MB more after 18 min"
    )
    assert finding(growth, 238 * MB).endswith(", its limit is 2.0 h away")


@pytest.mark.parametrize(("limit", "found"), [(0, False), (1000 * MB, False), (110 * MB, True)])
def test_a_slow_leak_matters_only_where_the_limit_is_near(limit: int, found: bool) -> None:
    growth = began()
    for second in range(0, 1081, 5):
        growth = on_read(growth, 100 * MB + second * MB // 1200, 90 * MB, 1000.0 + second, 0.1)
    assert bool(finding(growth, limit)) is found


def test_a_canary_that_only_catches_up_does_not_leak() -> None:
    """With a tenth of the traffic its caches fill later; at the end it has no more than the baseline."""
    assert finding(of(-60 * MB, -50 * MB, -40 * MB, -30 * MB, -20 * MB, -10 * MB), 0) == ""
    assert finding(of(-30 * MB, -20 * MB, -10 * MB, 0, 10 * MB, 20 * MB), 0) != ""


def test_more_traffic_is_no_leak() -> None:
    """Every larger share needs more memory; so little within each share tells nothing."""
    more = (0.0, MB, 20 * MB, 21 * MB, 50 * MB, 51 * MB)
    shares = (0.1, 0.1, 0.25, 0.25, 0.5, 0.5)
    assert finding(of(*more), 0) != ""
    assert finding(of(*more, shares=shares), 0) == ""


def test_a_leak_is_seen_through_a_change_of_share() -> None:
    leaks = [10.0 * MB + number * MB for number in range(5)] + [5.0 * MB + number * MB for number in range(5)]
    assert finding(of(*leaks), 0) == ""
    assert "at least 0.33 MB/min" in finding(of(*leaks, shares=(0.1,) * 5 + (0.5,) * 5), 0)


def test_a_look_stands_until_the_next() -> None:
    leaks = [10.0 * MB * number for number in range(6)]
    assert finding(of(*leaks[:5]), 0) == ""
    first = finding(of(*leaks), 0)
    assert first and finding(of(*leaks, -90 * MB, -90 * MB, -90 * MB), 0) == first
    assert finding(of(*leaks, -90 * MB, -90 * MB, -90 * MB, -90 * MB), 0) == ""


# Blocks


def test_a_block_is_a_mean_over_three_minutes() -> None:
    growth = began()
    for second in range(0, 181, 60):
        growth = on_read(growth, (10 + second) * MB, 5 * MB, 1000.0 + second, 0.1)
    assert (growth.blocks, growth.marks, growth.count) == ((95.0 * MB,), (1090.0,), 0)


def test_a_new_share_begins_a_block_anew() -> None:
    growth = began()
    for second in range(0, 170, 10):
        growth = on_read(growth, 900 * MB, 5 * MB, 1000.0 + second, 0.1)
    for second in range(170, 361, 10):
        growth = on_read(growth, 15 * MB, 5 * MB, 1000.0 + second, 0.25)
    assert (growth.blocks, growth.marks, growth.shares) == ((10.0 * MB,), (1260.0,), (0.25,))


def test_what_was_not_read_or_came_too_early_says_nothing() -> None:
    growth = began()
    assert (
        on_read(growth, 0, 5, 1001.0)
        == on_read(growth, 5, 0, 1001.0)
        == on_read(growth, 5, 5, 999.0)
        == growth
    )


def test_after_a_gap_the_block_ends_with_the_next_reading() -> None:
    growth = on_read(on_read(began(), 7, 5, 1000.0), 9, 5, 5000.0)
    assert (growth.blocks, growth.marks) == ((3.0,), (3000.0,))


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12), st.floats(0, 10**6)), max_size=200))
def test_the_state_stays_small_and_is_kept(readings: list[tuple[int, int, float]]) -> None:
    growth, at = began(), 1000.0
    for canary, baseline, passed in readings:
        at += passed
        growth = on_read(growth, canary, baseline, at, 0.1)
        assert isinstance(finding(growth, 10**9), str)
    assert len(growth.blocks) == len(growth.marks) == len(growth.shares) <= LOOKS[-1][0]
    assert codec.load(Growth, codec.dump(growth)) == growth
    json.dumps(asdict(growth), allow_nan=False)


# The bound


@pytest.mark.parametrize(
    ("blocks", "doubt", "below"),
    [(6, 0.0014, 0), (6, 0.0084, 1), (10, 0.0012, 6), (10, 0.0024, 7), (20, 0.0015, 50), (20, 0.0030, 53)],
)
def test_the_bound_is_the_slope_that_kendalls_chances_name(blocks: int, doubt: float, below: int) -> None:
    """Chances of so few inversions by scipy's kendalltau(method="exact")."""
    dice = Random(blocks)
    growth = of(*(dice.gauss(0.0, MB) for _ in range(blocks)))
    points = list(zip(growth.marks, growth.blocks, strict=True))
    slopes = sorted((b - a) / (y - x) for x, a in points for y, b in points if x < y)
    assert lowest_slope(growth, blocks, doubt) == slopes[below]


def test_it_is_near_that_of_scipys_theilslopes() -> None:
    """By the normal approximation: -6.94 at the same doubt."""
    told = """-14539 -21987 2533 18909 36221 18694 8447 6804 40475 61196 36955 9833 18335 72500 47558 11857
    47826 29235 42914 48740"""
    low = lowest_slope(of(*(float(word) for word in told.split())), 20, 0.0002)
    assert low is not None and -12.0 < low < -4.0


def test_too_few_blocks_cannot_tell() -> None:
    assert lowest_slope(of(*range(6)), 6, 0.001) is None
    assert lowest_slope(of(*range(6), shares=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)), 6, 0.0015) is None


def test_the_doubt_is_exact() -> None:
    """In all orders of seven different blocks the slope 0 lies below the bound as often as allowed."""
    doubt = 0.01
    orders = [of(*order) for order in permutations((0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0))]
    above = sum((lowest_slope(growth, 7, doubt) or 0.0) > 0.0 for growth in orders)
    assert 0.001 < above / len(orders) <= doubt


def test_all_looks_together_stay_within_their_part() -> None:
    assert sum(doubt for _, doubt in LOOKS) <= 0.002
