"""A worse canary is rolled back, an equal one hardly ever, a good one promoted, a bad one hardly ever."""

import json
import math
from dataclasses import asdict, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noded.policy.verdict import (
    DEFAULT,
    PROMOTE,
    ROLL_BACK,
    WAIT,
    Counts,
    Standard,
    Verdict,
    excess_evidence,
    judge,
    promotion_evidence,
    rollback_evidence,
)

shares = st.sampled_from((0.01, 0.05, 0.1, 0.25, 0.5, 0.9))
few = st.integers(0, 300)


@st.composite
def stages(draw: st.DrawFn, share: st.SearchStrategy[float] = shares) -> Counts:
    canary, stable = draw(few), draw(few)
    bad = (draw(st.integers(0, canary)), draw(st.integers(0, stable)))
    return Counts(draw(share), canary, bad[0], stable, bad[1])


def errors_to_roll_back(share: float, stable_bad: int) -> int:
    return next(k for k in range(1, 200) if rollback_evidence((Counts(share, k, k, 900, stable_bad),)) >= 100)


# ---- reference values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "errors"),
    [(0.01, [2, 2, 3, 4]), (0.1, [3, 4, 7, 12]), (0.25, [5, 7, 12, 25]), (0.5, [9, 14, 27, 60])],
)
def test_canary_errors_to_roll_back_for_0_1_5_and_20_of_stable(share: float, errors: list[int]) -> None:
    assert [errors_to_roll_back(share, bad) for bad in (0, 1, 5, 20)] == errors


def test_three_errors_at_a_tenth_roll_back() -> None:
    two, three = Counts(0.1, 40, 2, 380, 0), Counts(0.1, 40, 3, 380, 0)
    assert judge((two,)).kind == WAIT
    verdict = judge((three,))
    assert verdict.kind == ROLL_BACK
    assert verdict.e_rollback >= verdict.rollback_at == 100.0
    for said in ("worse", "306 of 100", "10 %", "3 bad of 40", "0 bad of 380"):
        assert said in verdict.reason


def test_rollback_evidence_by_hand() -> None:
    """One canary error at one half, tolerance 1: the mean of 2 r / (r + 1) over the grid."""
    grid = [1.05 * (1000.0 / 1.05) ** (i / 39) for i in range(40)]
    expected = sum(2.0 * r / (r + 1.0) for r in grid) / 40
    got = rollback_evidence((Counts(0.5, 1, 1, 1, 0),), Standard(tolerance=1.0))
    assert got == pytest.approx(expected, rel=1e-12)


def test_promotion_evidence_by_hand() -> None:
    """One good request at one half, margin 0.01: the mean of 1 + stake * 0.01."""
    parts = [(i + 0.5) / 20 for i in range(20)] + [0.95 * 100 ** (-i / 19) for i in range(20)]
    expected = 1.0 + 0.01 * sum(parts) / 40 / (2.0 - 0.01)
    assert promotion_evidence(Counts(0.5, 1, 0, 0, 0)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize(("margin", "requests"), [(0.01, 499), (0.005, 998), (0.02, 250)])
def test_requests_without_an_error_until_promotion(share: float, margin: float, requests: int) -> None:
    standard = Standard(margin=margin)
    needed = judge((Counts(share, 0, 0, 0, 0),), standard).requests_needed
    assert needed is not None
    assert needed == pytest.approx(requests, abs=1)
    done = Counts(share, needed, 0, math.ceil(needed * (1 - share) / share), 0)
    short = replace(
        done, canary_requests=needed - 10, stable_requests=done.stable_requests - round(10 / share)
    )
    assert judge((done,), standard).kind == PROMOTE
    assert judge((done,), standard).requests_needed == 0
    assert judge((short,), standard).kind == WAIT


def test_the_estimate_holds_when_quality_stays_as_it_is() -> None:
    so_far = Counts(0.1, 200, 1, 1800, 9)
    needed = judge((so_far,)).requests_needed
    assert needed is not None
    factor = (200 + needed * 1.05) / 200
    later = Counts(0.1, int(200 * factor), round(factor), int(1800 * factor), round(9 * factor))
    assert judge((later,)).kind == PROMOTE


# ---- full share: nothing to compare with ----------------------------------------------------------------


def test_errors_at_full_share_carry_no_comparison() -> None:
    before = (Counts(0.1, 500, 1, 4500, 5), Counts(0.5, 500, 2, 500, 1))
    for bad in (0, 5, 500):
        assert rollback_evidence((*before, Counts(1.0, 500, bad, 0, 0))) == rollback_evidence(before)


def test_at_full_share_the_absolute_limit_guards() -> None:
    healthy, broken = Counts(1.0, 100, 1, 0, 0), Counts(1.0, 20, 12, 0, 0)
    assert judge((healthy,)).kind == PROMOTE
    assert judge((broken,)).kind == ROLL_BACK
    assert judge((Counts(1.0, 8, 0, 0, 0),)).kind == WAIT
    hopeless = judge((Counts(1.0, 20, 3, 0, 0),))
    assert (hopeless.kind, hopeless.requests_needed) == (WAIT, None)
    assert "no number of requests" in hopeless.reason


def test_guard_by_hand() -> None:
    """One bad request at a limit of one half: the mean of p / 0.5 over the middle of 40 bins of [0.5, 1]."""
    got = excess_evidence(Counts(1.0, 1, 1, 0, 0), Standard(bad_limit=0.5))
    assert got == pytest.approx(1.5, rel=1e-12)


def test_a_share_of_nothing_waits() -> None:
    verdict = judge((Counts(0.0, 0, 0, 1000, 3),))
    assert (verdict.kind, verdict.e_rollback, verdict.e_promote) == (WAIT, 1.0, 1.0)
    assert verdict.requests_needed is None


# ---- stages ---------------------------------------------------------------------------------------------


def test_each_step_earns_its_own_promotion() -> None:
    earned = Counts(0.1, 700, 0, 6300, 0)
    assert judge((earned,)).kind == PROMOTE
    assert judge((earned, Counts(0.5, 20, 0, 20, 0))).kind == WAIT


def test_rollback_remembers_earlier_stages() -> None:
    shaky = Counts(0.1, 100, 2, 900, 0)
    more = Counts(0.25, 50, 1, 150, 0)
    assert judge((shaky,)).kind == judge((more,)).kind == WAIT
    assert judge((shaky, more)).kind == ROLL_BACK


def test_rollback_comes_before_promotion() -> None:
    both = (Counts(0.1, 50, 5, 450, 0), Counts(0.5, 9000, 0, 9000, 0))
    assert judge(both).e_promote >= judge(both).promote_at
    assert judge(both).kind == ROLL_BACK


def test_a_shared_outage_says_nothing() -> None:
    verdict = judge((Counts(0.1, 1000, 1000, 9000, 9000),))
    assert verdict.kind == WAIT
    assert verdict.e_rollback < 1.0


# ---- properties -----------------------------------------------------------------------------------------


@given(stages(), st.lists(stages(), max_size=2))
def test_one_more_canary_error_never_speaks_for_it(stage: Counts, others: list[Counts]) -> None:
    worse = replace(stage, canary_requests=stage.canary_requests + 1, canary_bad=stage.canary_bad + 1)
    assert rollback_evidence((*others, worse)) >= rollback_evidence((*others, stage))
    assert promotion_evidence(worse) <= promotion_evidence(stage)


@given(stages())
def test_one_more_stable_error_never_speaks_against_the_canary(stage: Counts) -> None:
    other = replace(stage, stable_requests=stage.stable_requests + 1, stable_bad=stage.stable_bad + 1)
    assert rollback_evidence((other,)) <= rollback_evidence((stage,))
    assert promotion_evidence(other) >= promotion_evidence(stage)


@given(stages(share=st.just(0.25)), stages(share=st.just(0.25)), st.lists(stages(), max_size=2))
def test_splitting_a_stage_changes_nothing(a: Counts, b: Counts, others: list[Counts]) -> None:
    whole = Counts(
        0.25,
        a.canary_requests + b.canary_requests,
        a.canary_bad + b.canary_bad,
        a.stable_requests + b.stable_requests,
        a.stable_bad + b.stable_bad,
    )
    one, two = rollback_evidence((*others, whole)), rollback_evidence((a, *others, b))
    assert two == pytest.approx(one, rel=1e-9)


@given(
    st.tuples(shares, *(st.integers(0, 10_000_000) for _ in range(4))),
    st.floats(1.0, 10.0),
    st.floats(0.001, 0.5),
)
def test_large_counts_stay_numbers(
    counts: tuple[float, int, int, int, int], tolerance: float, margin: float
) -> None:
    verdict = judge((Counts(*counts),), Standard(tolerance=tolerance, margin=margin))
    text = json.dumps(asdict(verdict), allow_nan=False)
    assert Verdict(**json.loads(text)) == verdict
    assert verdict.e_rollback >= 0.0
    assert verdict.e_promote >= 0.0


# ---- guarantees, by simulation --------------------------------------------------------------------------


GRID = [1.2 * 1.05 * (1000.0 / 1.05) ** (i / 39) for i in range(40)]
STEPS = (0.01, 0.1, 0.25, 0.5)


def theta(share: float, ratio: float) -> float:
    """How likely a bad event hits the canary when its bad rate is `ratio` times stable's."""
    return share * ratio / (share * ratio + 1.0 - share)


def rollback_ever(dice: Random, ratio: float) -> bool:
    """One rollout of four steps, judged after every bad event, the evidence kept as defined, step by step.

    Good requests do not move it, so only bad events are drawn: geometrically many of stable's before each
    of the canary's. That covers every error rate: the rate only says how fast bad events come.
    """
    wealth, counts = [1.0] * len(GRID), [[0, 0] for _ in STEPS]
    for share, count in zip(STEPS, counts, strict=True):
        gain = [theta(share, r) / theta(share, 1.2) for r in GRID]
        loss = [(1.0 - theta(share, r)) / (1.0 - theta(share, 1.2)) for r in GRID]
        left = dice.choice((10, 50, 200))
        while True:
            quiet = int(math.log(1.0 - dice.random()) / math.log(1.0 - theta(share, ratio)))
            count[1] += min(quiet, left)
            wealth = [w * fall ** min(quiet, left) for w, fall in zip(wealth, loss, strict=True)]
            left -= quiet + 1
            if left < 0:
                break
            count[0] += 1
            wealth = [w * rise for w, rise in zip(wealth, gain, strict=True)]
            if sum(wealth) / len(wealth) >= 100.0:
                break
        if left >= 0:
            break
    stages = tuple(Counts(s, k, k, b, b) for s, (k, b) in zip(STEPS, counts, strict=True))
    assert rollback_evidence(stages) == pytest.approx(sum(wealth) / len(wealth), rel=1e-6)
    return rollback_evidence(stages) >= 100.0 * (1.0 - 1e-9)


def test_equal_versions_are_hardly_ever_rolled_back() -> None:
    dice = Random(20)
    assert sum(rollback_ever(dice, 1.0) for _ in range(2000)) <= 20
    assert sum(rollback_ever(dice, 10.0) for _ in range(50)) == 50


@pytest.mark.parametrize("rate", [0.0, 0.005, 0.05])
def test_equal_versions_request_by_request(rate: float) -> None:
    """Whole requests instead of bad events only, judged after each batch of fifty."""
    dice, rolled_back = Random(f"equal {rate}"), 0
    for _ in range(100):
        canary = stable = 0
        for seen in range(50, 2001, 50):
            canary, stable = canary + _bad(dice, 5, rate), stable + _bad(dice, 45, rate)
            counts = Counts(0.1, seen // 10, canary, seen - seen // 10, stable)
            if rollback_evidence((counts,)) >= 100:
                rolled_back += 1
                break
    assert rolled_back <= 3


def _bad(dice: Random, requests: int, rate: float) -> int:
    return sum(dice.random() < rate for _ in range(requests))


@pytest.mark.parametrize(("stable", "canary"), [(0.0, 0.01), (0.005, 0.015), (0.05, 0.06)])
def test_a_version_worse_by_the_margin_is_hardly_ever_promoted(stable: float, canary: float) -> None:
    dice, promoted, runs = Random(f"worse {stable}"), 0, 150
    for _ in range(runs):
        counts = [0, 0, 0, 0]
        for _ in range(40):
            hit = sum(dice.random() < 0.5 for _ in range(50))
            counts[0] += hit
            counts[1] += _bad(dice, hit, canary)
            counts[2] += 50 - hit
            counts[3] += _bad(dice, 50 - hit, stable)
            if promotion_evidence(Counts(0.5, *counts)) >= 20:
                promoted += 1
                break
    assert promoted <= 0.05 * runs + 3.0 * math.sqrt(0.05 * 0.95 * runs)


# ---- bad input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((1.5, 0, 0, 0, 0), "share is 1.5"),
        ((-0.1, 0, 0, 0, 0), "share is -0.1"),
        ((math.nan, 0, 0, 0, 0), "share is nan"),
        ((0.1, -1, 0, 0, 0), "canary_requests is -1"),
        ((0.1, 0, -2, 0, 0), "canary_bad is -2"),
        ((0.1, 0, 0, -3, 0), "stable_requests is -3"),
        ((0.1, 0, 0, 0, -4), "stable_bad is -4"),
    ],
)
def test_refuses_impossible_counts(counts: tuple[float, int, int, int, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Counts(*counts)


@pytest.mark.parametrize(
    "wrong",
    [
        {"false_rollback": 0.0},
        {"false_promotion": 1.0},
        {"margin": -0.01},
        {"bad_limit": math.nan},
        {"tolerance": 0.9},
        {"tolerance": math.inf},
    ],
)
def test_refuses_an_impossible_standard(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
        Standard(**wrong)


def test_refuses_to_judge_nothing() -> None:
    with pytest.raises(ValueError, match="no stage"):
        judge(())


def test_a_retried_request_may_be_bad_twice() -> None:
    assert judge((Counts(0.1, 2, 3, 18, 0),)).kind == ROLL_BACK


@settings(max_examples=30)
@given(stages())
def test_a_stricter_standard_waits_longer(stage: Counts) -> None:
    strict = replace(DEFAULT, false_rollback=0.0001, false_promotion=0.0001)
    if judge((stage,)).kind == WAIT:
        assert judge((stage,), strict).kind == WAIT
