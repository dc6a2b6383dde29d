"""A worse canary is rolled back, an equal one hardly ever, a good one promoted, a bad one hardly ever."""

import json
import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noded.policy import verdict
from noded.policy.evalues import Bad, comparison, excess
from noded.policy.verdict import (
    DEFAULT,
    DOUBT,
    ERRORS,
    OBJECTIVE,
    PROMOTE,
    ROLL_BACK,
    SLOW,
    STATUS,
    WAIT,
    WEIGHTS,
    Case,
    Counts,
    Standard,
    Verdict,
    standard_of,
    weigh,
)
from nodespec.manifest import Objectives
from tests.policy.build import spec

shares = st.sampled_from((0.01, 0.05, 0.1, 0.25, 0.5, 0.9, 1.0))
few = st.integers(0, 300)
PROMISED = Standard(objective=0.01)


@st.composite
def stages(draw: st.DrawFn, share: st.SearchStrategy[float] = shares) -> Counts:
    canary, stable = draw(few), draw(few)
    bad = (draw(st.integers(0, canary)), draw(st.integers(0, stable)))
    return Counts(draw(share), canary, bad[0], stable, bad[1])


def judged(*errors: Counts, standard: Standard = DEFAULT, **others: tuple[Counts, ...]) -> Verdict:
    return weigh(Case(errors, tuple((n.replace("_", "-"), s) for n, s in others.items())), standard)


def evidence(found: Verdict) -> dict[str, float]:
    return {one.signal: one.value for one in found.evidence}


def errors_to_roll_back(share: float, stable_bad: int) -> int:
    return next(k for k in range(1, 200) if judged(Counts(share, k, k, 900, stable_bad)).kind == ROLL_BACK)


# How few errors are enough


@pytest.mark.parametrize(
    ("share", "errors"),
    [(0.01, [2, 2, 3, 4]), (0.1, [3, 4, 6, 13]), (0.25, [5, 7, 12, 26]), (0.5, [10, 14, 28, 64])],
)
def test_canary_errors_to_roll_back_for_0_1_5_and_20_of_stable(share: float, errors: list[int]) -> None:
    assert [errors_to_roll_back(share, bad) for bad in (0, 1, 5, 20)] == errors


def test_three_errors_at_a_tenth_roll_back_with_half_of_the_weight() -> None:
    two, three = Counts(0.1, 40, 2, 380, 0), Counts(0.1, 40, 3, 380, 0)
    assert judged(two).kind == WAIT
    found = judged(three)
    assert (found.kind, found.rollback_at, found.requests_needed) == (ROLL_BACK, 100.0, 0)
    assert found.reason == (
        "the canary is worse: evidence for rollback 108 of 100; "
        "at 10 % of the traffic canary 3 bad of 40, stable 0 bad of 380"
    )


def test_they_do_even_when_every_other_signal_speaks_for_the_canary() -> None:
    fine = (Counts(0.1, 400, 0, 3600, 300),)
    found = judged(
        Counts(0.1, 40, 3, 380, 0),
        standard=Standard(objective=0.3),
        status=fine,
        slow_50=fine,
        slow_90=fine,
        slow_99=fine,
    )
    assert max(value for name, value in evidence(found).items() if name != ERRORS) < 0.06
    assert found.kind == ROLL_BACK


def test_the_fuse_is_judged_by_what_tripped_it() -> None:
    """Three errors in a row: of a canary alone they end it, in an outage of both they do not."""
    assert judged(Counts(0.1, 3, 3, 27, 0)).kind == ROLL_BACK
    assert judged(Counts(0.1, 3, 3, 27, 27)).kind == WAIT
    assert judged(Counts(0.1, 1000, 1000, 9000, 9000)).e_rollback < 1.0


def test_a_retried_request_may_be_bad_twice() -> None:
    assert judged(Counts(0.1, 2, 3, 18, 0)).kind == ROLL_BACK


# Signals


def test_the_weights_leave_room_for_the_doubt_about_stable() -> None:
    assert WEIGHTS[ERRORS] == 0.5
    assert math.isclose(sum(WEIGHTS.values()) + DOUBT, 1.0)
    assert math.isclose(DOUBT, 0.01)


def test_untold_signals_stay_at_one() -> None:
    found = judged(Counts(0.1, 0, 0, 0, 0))
    assert evidence(found) == {ERRORS: pytest.approx(1.0)}
    assert found.e_rollback == pytest.approx(1.0 - DOUBT)


@pytest.mark.parametrize(("name", "bad"), [(STATUS, 4), (SLOW[2], 6)])
def test_each_signal_alone_rolls_back_and_is_named(name: str, bad: int) -> None:
    told = {name: (Counts(0.1, 100, bad, 900, 0),)}
    found = judged(Counts(0.1, 100, 0, 900, 0), **told)
    assert found.kind == ROLL_BACK
    assert f"canary {bad} {verdict.WORDS[name]} of 100, stable 0" in found.reason
    assert judged(Counts(0.1, 100, 0, 900, 0), **{name: (Counts(0.1, 100, bad - 3, 900, 0),)}).kind == WAIT


def test_a_canary_that_is_slower_everywhere_is_found() -> None:
    """Twice as slow: nearly all answers are later than stable's median."""
    slow = {
        "slow_50": (Counts(0.1, 200, 190, 1800, 900),),
        "slow_90": (Counts(0.1, 200, 90, 1800, 180),),
        "slow_99": (Counts(0.1, 200, 12, 1800, 18),),
    }
    found = judged(Counts(0.1, 200, 0, 1800, 0), **slow)
    assert found.kind == ROLL_BACK
    assert "slower than 90 of 100 were" in found.reason
    assert judged(Counts(0.1, 200, 0, 1800, 0), slow_50=(Counts(0.1, 200, 105, 1800, 900),)).kind == WAIT


def test_a_step_is_earned_by_status_too_where_both_tell_it() -> None:
    good = Counts(0.1, 700, 0, 6300, 0)
    assert judged(good).kind == PROMOTE
    assert judged(good, status=(good,)).kind == PROMOTE
    waits = judged(good, status=(Counts(0.1, 700, 9, 6300, 60),))
    assert waits.kind == WAIT and waits.requests_needed
    assert judged(good, status=(Counts(0.1, 0, 0, 6300, 60),)).kind == PROMOTE, "the canary tells none"


# The next step


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize(("margin", "requests"), [(0.01, 499), (0.005, 998), (0.02, 250)])
def test_requests_without_an_error_until_promotion(share: float, margin: float, requests: int) -> None:
    standard = Standard(margin=margin)
    needed = judged(Counts(share, 0, 0, 0, 0), standard=standard).requests_needed
    assert needed is not None
    assert needed == pytest.approx(requests, abs=1)
    done = Counts(share, needed + 1, 0, math.ceil((needed + 1) * (1 - share) / share), 0)
    short = replace(
        done, canary_requests=needed - 9, stable_requests=done.stable_requests - round(10 / share)
    )
    assert judged(done, standard=standard).kind == PROMOTE
    assert judged(done, standard=standard).requests_needed == 0
    assert judged(short, standard=standard).kind == WAIT


def test_each_step_earns_its_own_promotion() -> None:
    earned = Counts(0.1, 700, 0, 6300, 0)
    assert judged(earned).kind == PROMOTE
    waits = judged(earned, Counts(0.5, 20, 0, 20, 0))
    assert waits.kind == WAIT
    assert waits.requests_needed == pytest.approx(478, abs=2)
    assert "about 478 more canary requests" in waits.reason


def test_promotion_rests_on_what_is_settled() -> None:
    whole, rest = Counts(0.5, 700, 0, 700, 0), Counts(0.5, 100, 0, 100, 0)
    assert weigh(Case((whole,))).kind == PROMOTE
    assert weigh(Case((whole,), settled=rest)).kind == WAIT
    broken = Counts(0.5, 700, 20, 700, 0)
    assert weigh(Case((broken,), settled=rest)).kind == ROLL_BACK, "harm counts at once"


def test_what_stable_does_well_is_no_merit_of_a_canary_without_requests() -> None:
    absent = judged(Counts(0.1, 5, 0, 90_000, 0))
    assert absent.kind == WAIT
    assert absent.requests_needed == pytest.approx(494, abs=2)


def test_no_data_is_no_failure() -> None:
    found = judged(Counts(0.1, 0, 0, 9000, 40), status=(Counts(0.1, 0, 0, 9000, 40),))
    assert (found.kind, found.e_promote) == (WAIT, pytest.approx(1.0, abs=30))
    assert found.e_rollback < 1.0


def test_a_canary_that_is_as_bad_as_a_bad_stable_goes_on() -> None:
    found = judged(Counts(0.1, 3000, 300, 27_000, 2700))
    assert found.kind in (WAIT, PROMOTE)
    assert judged(Counts(0.1, 60_000, 6000, 540_000, 54_000)).kind == PROMOTE


def test_rollback_comes_before_promotion_and_remembers_earlier_stages() -> None:
    both = judged(Counts(0.1, 50, 5, 450, 0), Counts(0.5, 9000, 0, 9000, 0))
    assert both.e_promote >= both.promote_at
    assert both.kind == ROLL_BACK
    shaky, more = Counts(0.1, 100, 2, 900, 0), Counts(0.25, 50, 2, 150, 0)
    assert judged(shaky).kind == judged(more).kind == WAIT
    found = judged(shaky, more)
    assert found.kind == ROLL_BACK
    assert "at 10 % of the traffic canary 2 bad of 100" in found.reason
    assert "at 25 % of the traffic canary 2 bad of 50" in found.reason


# What was promised


def test_a_broken_promise_counts_only_where_stable_keeps_it() -> None:
    kept = judged(Counts(0.1, 5000, 150, 45_000, 405), standard=PROMISED)
    assert evidence(kept)[OBJECTIVE] > 1e6
    stable_breaks = judged(Counts(0.1, 5000, 150, 45_000, 500), standard=PROMISED)
    assert evidence(stable_breaks)[OBJECTIVE] <= 1.0
    within = judged(Counts(0.1, 5000, 30, 45_000, 45), standard=PROMISED)
    assert evidence(within)[OBJECTIVE] < 0.01
    assert evidence(within)[ERRORS] > 100.0, "keeping what was promised is no excuse for being worse"


def test_an_outage_of_both_after_a_long_calm_is_no_broken_promise() -> None:
    found = judged(Counts(0.1, 10_000, 12, 90_000, 108), standard=PROMISED)
    assert found.kind != ROLL_BACK
    assert evidence(found)[OBJECTIVE] < 2.0


def test_a_broken_promise_weighs_no_more_than_being_worse_than_stable() -> None:
    """The first seconds of an outage of both: stable's ratio is still within what was promised."""
    found = judged(Counts(0.1, 30, 4, 400, 4), standard=PROMISED)
    assert evidence(found)[OBJECTIVE] == comparison((Bad(0.1, 4, 4),), 1.0) < excess(0.01, 26, 4) / 5.0


def test_nothing_promised_nothing_broken() -> None:
    assert OBJECTIVE not in evidence(judged(Counts(0.1, 500, 100, 4500, 900)))


def test_the_standard_of_a_node() -> None:
    assert standard_of(spec()) == DEFAULT
    promising = replace(spec(), objectives=Objectives(error_ratio=0.002))
    assert standard_of(promising) == Standard(margin=0.002, objective=0.002)


# A share of nothing


def test_a_share_of_nothing_waits() -> None:
    found = judged(Counts(0.0, 0, 0, 1000, 3))
    assert (found.kind, found.e_promote, found.requests_needed) == (WAIT, 1.0, None)


# Properties


@given(stages(), st.lists(stages(), max_size=2), st.sampled_from((DEFAULT, PROMISED)))
def test_one_more_canary_error_never_speaks_for_it(
    stage: Counts, others: list[Counts], standard: Standard
) -> None:
    worse = replace(stage, canary_requests=stage.canary_requests + 1, canary_bad=stage.canary_bad + 1)
    before, after = judged(*others, stage, standard=standard), judged(*others, worse, standard=standard)
    assert after.e_rollback >= before.e_rollback * (1.0 - 1e-9)
    assert after.e_promote <= before.e_promote * (1.0 + 1e-9)


@given(stages(), st.sampled_from((DEFAULT, PROMISED)))
def test_one_more_stable_error_never_speaks_against_the_canary(stage: Counts, standard: Standard) -> None:
    other = replace(stage, stable_requests=stage.stable_requests + 1, stable_bad=stage.stable_bad + 1)
    before, after = judged(stage, standard=standard), judged(other, standard=standard)
    assert after.e_rollback <= before.e_rollback * (1.0 + 1e-9)
    assert after.e_promote >= before.e_promote * (1.0 - 1e-9)


@given(stages(share=st.just(0.25)), stages(share=st.just(0.25)), st.lists(stages(), max_size=2))
def test_splitting_a_stage_does_not_change_the_rollback(a: Counts, b: Counts, others: list[Counts]) -> None:
    whole = Counts(
        0.25,
        a.canary_requests + b.canary_requests,
        a.canary_bad + b.canary_bad,
        a.stable_requests + b.stable_requests,
        a.stable_bad + b.stable_bad,
    )
    one, two = judged(*others, whole, standard=PROMISED), judged(a, *others, b, standard=PROMISED)
    assert two.e_rollback == pytest.approx(one.e_rollback, rel=1e-9)


@given(
    st.lists(st.tuples(shares, *(st.integers(0, 10_000_000) for _ in range(4))), min_size=1, max_size=4),
    st.floats(1.0, 10.0),
    st.floats(0.001, 0.5),
)
def test_large_counts_stay_numbers(
    counts: list[tuple[float, int, int, int, int]], tolerance: float, margin: float
) -> None:
    errors = tuple(Counts(*one) for one in counts)
    standard = Standard(tolerance=tolerance, margin=margin, objective=margin)
    found = weigh(Case(errors, ((STATUS, errors), *((name, errors) for name in SLOW))), standard)
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["kind"] == found.kind
    assert found.e_rollback >= 0.0
    assert found.e_promote >= 0.0


@settings(max_examples=30)
@given(stages())
def test_a_stricter_standard_waits_longer(stage: Counts) -> None:
    strict = replace(DEFAULT, false_rollback=0.0001, false_promotion=0.0001)
    if judged(stage).kind == WAIT:
        assert judged(stage, standard=strict).kind == WAIT


# Bad input


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((1.5, 0, 0, 0, 0), "share is 1.5"),
        ((-0.1, 0, 0, 0, 0), "share is -0.1"),
        ((math.nan, 0, 0, 0, 0), "share is nan"),
        ((0.1, -1, 0, 0, 0), "canary_requests=-1"),
        ((0.1, 0, -2, 0, 0), "canary_bad=-2"),
        ((0.1, 0, 0, -3, 0), "stable_requests=-3"),
        ((0.1, 0, 0, 0, -4), "stable_bad=-4"),
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
        {"objective": 1.0},
        {"objective": -0.1},
        {"objective": math.nan},
        {"tolerance": 0.9},
        {"tolerance": math.inf},
    ],
)
def test_refuses_an_impossible_standard(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
        Standard(**wrong)


def test_refuses_to_judge_nothing_or_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="no stage"):
        Case(())
    with pytest.raises(ValueError, match="'weather' is unknown, expected one of status"):
        Case((Counts(0.1, 0, 0, 0, 0),), (("weather", ()),))
