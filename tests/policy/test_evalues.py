"""Are the e-values exact? Means and chances are summed over all outcomes, not drawn; values are by scipy."""

import math
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noded.policy.evalues import (
    BREAKS,
    SHADES,
    Bad,
    Bets,
    Prior,
    comparison,
    excess,
    requests_until,
    upper_bound,
    wealth,
)

shares = st.sampled_from((0.01, 0.05, 0.1, 0.25, 0.5, 0.9))
few = st.integers(0, 300)
bad = st.builds(Bad, shares, few, few)


def theta(share: float, ratio: float) -> float:
    """How likely a bad event hits the canary when its bad rate is `ratio` times stable's."""
    return share * ratio / (share * ratio + 1.0 - share)


def binomial(number: int, total: int, chance: float) -> float:
    return math.comb(total, number) * chance**number * (1.0 - chance) ** (total - number)


# Values by scipy


@pytest.mark.parametrize(
    ("stages", "tolerance", "prior", "expected"),
    [
        ((Bad(0.1, 3, 0),), 1.2, BREAKS, 215.53841212706644),
        ((Bad(0.1, 6, 12), Bad(0.25, 2, 3)), 1.2, BREAKS, 1.7910678927125607),
        ((Bad(0.5, 40, 20),), 1.0, SHADES, 4.7686076628551515),
    ],
)
def test_a_comparison_is_a_mean_of_ratios_of_binomial_chances(
    stages: tuple[Bad, ...], tolerance: float, prior: Prior, expected: float
) -> None:
    assert comparison(stages, tolerance, prior) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("good", "bad", "expected"), [(50, 4, 3.3904438802669548), (10, 0, 0.3672721531568438)]
)
def test_an_excess_is_one_too(good: int, bad: int, expected: float) -> None:
    assert excess(0.02, good, bad) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("bad", "total", "doubt", "expected", "for_one_look"),
    [
        (0, 100, 0.05, 0.07328437340, 0.02951304961),
        (28, 5600, 0.0001, 0.01212958317, 0.00951595649),
        (3, 50, 0.01, 0.26434616263, 0.18720925617),
    ],
)
def test_an_upper_bound_solves_the_beta_integral(
    bad: int, total: int, doubt: float, expected: float, for_one_look: float
) -> None:
    """Wider than Clopper and Pearson's, which holds for one look at a fixed number only."""
    assert upper_bound(bad, total, doubt) == pytest.approx(expected, rel=1e-8)
    assert upper_bound(bad, total, doubt) > for_one_look


def test_without_requests_or_without_good_ones_there_is_no_bound() -> None:
    assert upper_bound(0, 0, 0.01) == upper_bound(7, 7, 0.01) == upper_bound(9, 7, 0.01) == 1.0


# Exact, over all outcomes


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("prior", [BREAKS, SHADES], ids=["breaks", "shades"])
def test_the_mean_is_one_at_the_tolerance_and_less_below(share: float, prior: Prior) -> None:
    def mean(ratio: float, total: int) -> float:
        chance = theta(share, ratio)
        return math.fsum(
            binomial(k, total, chance) * comparison((Bad(share, k, total - k),), 1.2, prior)
            for k in range(total + 1)
        )

    for total in (1, 2, 7, 20):
        assert mean(1.2, total) == pytest.approx(1.0, rel=1e-9)
        assert mean(1.0, total) < 1.0 < mean(1.5, total)


def test_the_mean_stays_one_over_stages() -> None:
    first, second = theta(0.1, 1.2), theta(0.5, 1.2)
    mean = math.fsum(
        binomial(a, 4, first)
        * binomial(b, 5, second)
        * comparison((Bad(0.1, a, 4 - a), Bad(0.5, b, 5 - b)), 1.2)
        for a, b in product(range(5), range(6))
    )
    assert mean == pytest.approx(1.0, rel=1e-9)


def ever(share: float, ratio: float, needed: float, events: int) -> float:
    """Chance that the evidence reaches `needed` at one of the looks after each bad event, exactly."""
    chance, reached = theta(share, ratio), 0.0
    living = {0: 1.0}
    for total in range(1, events + 1):
        after: dict[int, float] = {}
        for canary, likely in living.items():
            after[canary] = after.get(canary, 0.0) + likely * (1.0 - chance)
            after[canary + 1] = after.get(canary + 1, 0.0) + likely * chance
        reached += sum(p for k, p in after.items() if comparison((Bad(share, k, total - k),), 1.2) >= needed)
        living = {
            k: p
            for k, p in after.items()
            if comparison((Bad(share, k, total - k),), 1.2) < needed and p > 1e-15
        }
    return reached


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_a_look_after_every_bad_event_costs_nothing(share: float) -> None:
    """With the whole weight on it, and from the very first events on."""
    assert 0.0005 < ever(share, 1.2, 100.0, 150) <= 0.01
    assert ever(share, 1.0, 100.0, 150) <= 0.007
    assert ever(share, 12.0, 100.0, 150) > 0.99


def bets_of(share: float, margin: float, outcomes: tuple[int, ...]) -> Bets:
    return Bets(share, margin, outcomes.count(0), outcomes.count(1), outcomes.count(2))


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("stable", [0.0, 0.05])
def test_the_mean_wealth_is_one_when_worse_by_the_margin(share: float, stable: float) -> None:
    def mean(canary: float) -> float:
        chances = (1.0 - share * canary - (1.0 - share) * stable, share * canary, (1.0 - share) * stable)
        return math.fsum(
            math.prod(chances[o] for o in outcomes) * wealth(bets_of(share, 0.01, outcomes))
            for outcomes in product(range(3), repeat=5)
        )

    assert mean(stable + 0.01) == pytest.approx(1.0, rel=1e-9)
    assert mean(stable + 0.02) < 1.0 < mean(stable)


def test_the_mean_excess_is_at_most_one_within_the_limit() -> None:
    for total in (1, 5, 12):
        for ratio in (0.0, 0.02, 0.05):
            mean = math.fsum(binomial(k, total, ratio) * excess(0.05, total - k, k) for k in range(total + 1))
            assert mean == pytest.approx(1.0) if ratio == 0.05 else mean < 1.0


def test_no_limit_is_never_exceeded() -> None:
    assert excess(0.0, 10, 10) == excess(1.0, 0, 900) == 1.0


def test_the_bound_covers_at_every_look() -> None:
    """The true ratio lies above it at any of 300 looks with the allowed chance at most, exactly."""
    ratio, doubt, missed = 0.05, 0.05, 0.0
    living = {0: 1.0}
    for total in range(1, 301):
        after: dict[int, float] = {}
        for number, likely in living.items():
            after[number] = after.get(number, 0.0) + likely * (1.0 - ratio)
            after[number + 1] = after.get(number + 1, 0.0) + likely * ratio
        living = {}
        for number, likely in after.items():
            if number <= ratio * total and upper_bound(number, total, doubt) < ratio:
                missed += likely
            elif likely > 1e-15:
                living[number] = likely
    assert missed <= doubt


# Properties


@given(st.lists(bad, min_size=1, max_size=3), st.sampled_from((BREAKS, SHADES)))
def test_a_bad_event_moves_the_evidence_to_its_side(stages: list[Bad], prior: Prior) -> None:
    last = stages[-1]
    before = comparison(tuple(stages), 1.2, prior)
    on_canary = comparison((*stages[:-1], last._replace(canary=last.canary + 1)), 1.2, prior)
    on_stable = comparison((*stages[:-1], last._replace(stable=last.stable + 1)), 1.2, prior)
    assert on_stable <= before * (1.0 + 1e-12)
    assert before <= on_canary * (1.0 + 1e-12)


@given(st.lists(bad, max_size=2), st.lists(st.tuples(few, few), min_size=2, max_size=2))
def test_splitting_a_stage_changes_nothing(others: list[Bad], parts: list[tuple[int, int]]) -> None:
    one, two = (Bad(0.25, *part) for part in parts)
    whole = Bad(0.25, one.canary + two.canary, one.stable + two.stable)
    merged, split = comparison((*others, whole), 1.2), comparison((one, *others, two), 1.2)
    assert split == pytest.approx(merged, rel=1e-9)


@given(
    shares, st.integers(0, 4000), st.integers(0, 20), st.integers(0, 60), st.sampled_from((0.005, 0.01, 0.03))
)
def test_the_estimate_is_the_first_number_that_suffices(
    share: float, good: int, canary: int, stable: int, margin: float
) -> None:
    now = Bets(share, margin, good, canary, stable)
    needed = requests_until(now, 20.0)
    total = good + canary + stable
    ratio = (canary + stable) / total if total else 0.0
    others = (1.0 - share) / share

    def later(more: int) -> float:
        return wealth(
            Bets(
                share,
                margin,
                good + more * (1.0 - ratio) * (1.0 + others),
                canary + more * ratio,
                stable + more * ratio * others,
            )
        )

    if wealth(now) >= 20.0:
        return
    if needed is None:
        assert later(1_000_000) < 20.0
        return
    assert later(needed + 1) >= 20.0
    assert needed <= 3 or later(needed - 2) < 20.0


@pytest.mark.parametrize("number", [0, 1, 1000, 10_000_000])
def test_large_counts_stay_numbers(number: int) -> None:
    dice = Random(number)
    for share in (0.0001, 0.5, 0.9999):
        counts = [dice.randint(0, number) for _ in range(3)]
        for value in (
            comparison((Bad(share, *counts[:2]),), 1.2),
            wealth(Bets(share, 0.01, *counts)),
            excess(share, *counts[:2]),
            upper_bound(min(counts), max(counts), 1e-4),
        ):
            assert math.isfinite(value) and value >= 0.0
