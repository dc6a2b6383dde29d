"""Endless growth is found in time; what settles is never found."""

import json
import math
import statistics
from dataclasses import asdict
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noded.model.trend import Growth, Scale, Trend
from noded.policy.trend import GRAINS, KEPT, finding, observe, settle, slope_over, step
from tests.policy import traces
from tests.policy.measure_trend import first_finding
from tests.policy.traces import MB, MIB, Trace

LIMIT = 268 * MB
Samples = list[tuple[float, int]]


def run(
    samples: Samples, limit: int = LIMIT, trend: Trend | None = None
) -> tuple[Trend, list[Growth | None]]:
    trend, said = trend or Trend(), []
    for at, used in samples:
        trend, growth = step(trend, at, used, limit)
        said.append(growth)
    return trend, said


def leak(seconds: int, speed: float = MB, base: int = 35 * MB, begin: int = 0, noise: float = 0.0) -> Samples:
    dice = Random(seconds)
    return [(float(begin + s), int(base + speed * s + dice.gauss(0.0, noise))) for s in range(seconds)]


# ---- the table, in short --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", traces.HEALTHY)
def test_no_alarm_for_the_healthy(name: str) -> None:
    found = [(seed, first_finding(traces.healthy(name, seed))) for seed in range(4)]
    assert [case for case in found if case[1] is not None] == []


def delays(made: list[Trace]) -> list[float]:
    """Seconds from onset to finding; a finding before the onset is negative, a missed leak endless."""
    found = [(trace.onset or 0.0, first_finding(trace)) for trace in made]
    return [math.inf if first is None else first[0] - onset for onset, first in found]


def test_a_fast_leak_is_found_within_45_seconds_and_below_half_of_the_limit() -> None:
    made = [traces.fast_leak(seed) for seed in range(15)]
    assert statistics.median(delays(made)) <= 45.0
    first = [found for trace in made if (found := first_finding(trace)) is not None]
    assert len(first) == len(made)
    assert max(growth.used / trace.limit for (_, growth), trace in zip(first, made, strict=True)) < 0.5
    for _, growth in first:
        assert growth.low <= growth.slope == pytest.approx(1.2 * MB, rel=0.1)
        assert growth.seconds_to_limit == pytest.approx((256 * MIB - growth.used) / growth.slope)


@pytest.mark.parametrize(("quiet", "warm", "within"), [(60.0, 0.0, 50.0), (0.0, 12.0 * MB, 60.0)])
def test_a_fast_leak_after_a_quiet_time_or_on_a_warm_up(quiet: float, warm: float, within: float) -> None:
    late = delays([traces.fast_leak(seed, quiet=quiet, warm=warm) for seed in range(15)])
    assert min(late) > 0.0
    assert statistics.median(late) <= within


@pytest.mark.parametrize(("per_minute", "minutes"), [(5.0, 16.0), (1.0, 30.0)])
def test_slow_leaks_on_warm_up_sawtooth_and_noise(per_minute: float, minutes: float) -> None:
    late = delays([traces.slow_leak(per_minute, seed) for seed in range(11)])
    assert min(late) > 0.0
    assert statistics.median(late) <= minutes * 60.0


def test_an_uneven_leak_is_found_before_it_is_too_late() -> None:
    for seed in range(15):
        trace = traces.fast_leak(seed, uneven=0.2)
        found = first_finding(trace)
        assert found is not None
        assert found[1].used < 0.85 * trace.limit


# ---- properties -----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.floats(60.0, 1200.0), st.floats(0.0, 0.6), st.integers(64, 16384), st.floats(0.5, 2.0))
def test_steady_growth_is_found_before_half_of_its_way(
    lasts: float, base: float, mib: int, period: float
) -> None:
    limit = mib * MIB
    times = [i * period for i in range(int(lasts / period))]
    trace = Trace(
        "line", limit, tuple((at, int(limit * (base + (1 - base) * at / lasts))) for at in times), 0.0
    )
    found = first_finding(trace)
    assert found is not None
    assert found[0] <= max(50.0, 0.5 * lasts)
    assert found[1].seconds_to_limit == pytest.approx(lasts - found[0], rel=0.2, abs=5.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 40), st.integers(-10, 1 << 40), st.floats(0.1, 700.0))
def test_a_constant_is_never_found(used: int, limit: int, period: float) -> None:
    _, said = run([(i * period, used) for i in range(300)], limit)
    assert set(said) == {None}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 1 << 40), min_size=200, max_size=200), st.floats(0.5, 200.0))
def test_shrinking_is_never_found(levels: list[int], period: float) -> None:
    falling = sorted(levels, reverse=True)
    _, said = run([(i * period, used) for i, used in enumerate(falling)], 1 << 30)
    assert set(said) == {None}


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 20), st.integers(0, 10**6), st.integers(0, 30))
def test_scale_of_memory_and_origin_of_time_do_not_matter(power: int, shift: int, seed: int) -> None:
    trace = traces.fast_leak(seed, quiet=20.0, warm=5.0 * MB)
    _, said = run(list(trace.samples), trace.limit)
    _, again = run([(at + shift, used << power) for at, used in trace.samples], trace.limit << power)
    assert any(said)
    for one, other in zip(said, again, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert other.slope == one.slope * 2**power
            assert (other.seconds_to_limit, other.used) == (one.seconds_to_limit, one.used << power)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 10_000.0), st.integers(0, 1 << 50)), min_size=1, max_size=120),
    st.integers(-1, 1 << 50),
)
def test_any_samples_leave_a_bounded_plain_state(steps: Samples, limit: int) -> None:
    trend, at = Trend(), 0.0
    for wait, used in steps:
        at += wait
        trend, growth = step(trend, at, used, limit)
        assert growth is None or (growth.slope >= growth.low and growth.seconds_to_limit >= 0.0)
    assert len(trend.scales) == len(GRAINS)
    assert all(len(scale.marks) == len(scale.lows) <= KEPT + 1 for scale in trend.scales)
    plain = json.loads(json.dumps(asdict(trend), allow_nan=False))
    scales = tuple(
        Scale(tuple(s["marks"]), tuple(s["lows"]), s["streak"], s["found"] and Growth(**s["found"]))
        for s in plain["scales"]
    )
    assert Trend(plain["since"], plain["last"], scales) == trend


# ---- what may happen in between -------------------------------------------------------------------------


def test_a_finding_needs_three_agreeing_assessments() -> None:
    trend, seen = Trend(), set()
    for at, used in leak(60, 1.2 * MB):
        before = trend.scales[0].streak if trend.scales else 0
        trend, growth = step(trend, at, used, LIMIT)
        seen.add(trend.scales[0].streak)
        assert trend.scales[0].streak <= before + 1
        assert growth is None or trend.scales[0].streak == 3
    assert seen == {0, 1, 2, 3}


def test_a_finding_lasts_as_long_as_the_growth() -> None:
    """Also when the start of the process has left the fine scales."""
    _, said = run(leak(200, noise=0.3 * MB))
    first = next(i for i, growth in enumerate(said) if growth is not None)
    assert first < 50
    assert None not in said[first:]


def test_a_finding_ends_with_the_growth() -> None:
    trend, said = run(leak(80))
    assert said[-1] is not None
    trend, said = run([(80.0 + s, 115 * MB) for s in range(60)], trend=trend)
    assert said[-1] is None
    assert finding(trend) is None


def test_growth_below_what_was_survived_is_no_finding() -> None:
    """A worker that starts again fills the memory it had before."""
    high = [(float(s), 200 * MB) for s in range(60)]
    _, said = run(high + leak(100, MB, 60 * MB, begin=60), limit=400 * MB)
    assert not any(said)


def test_without_a_limit_nothing_is_found() -> None:
    for limit in (0, -1):
        _, said = run(leak(120), limit)
        assert not any(said)


def test_above_the_limit_already() -> None:
    _, said = run(leak(120, base=300 * MB))
    assert said[-1] is not None
    assert said[-1].seconds_to_limit == 0.0


def test_a_gap_hides_nothing_and_raises_nothing() -> None:
    _, said = run(leak(40, 0.0) + leak(110, MB, begin=400))
    assert any(said)
    _, said = run(leak(40, 0.0, noise=0.3 * MB) + leak(60, 0.0, 95 * MB, begin=400, noise=0.3 * MB))
    assert not any(said)


def test_a_sample_from_before_is_ignored() -> None:
    trend, _ = run(leak(40))
    assert observe(trend, 20.0, 0) == trend
    assert step(trend, 20.0, 0, LIMIT)[0] == trend


def test_two_samples_at_once_keep_the_lower() -> None:
    trend = observe(observe(Trend(), 5.0, 100), 5.0, 70)
    assert {scale.lows for scale in trend.scales} == {(70,)}


def test_a_state_with_other_scales_begins_anew() -> None:
    old = Trend(0.0, 50.0, (Scale((0, 1), (5, 6)),))
    trend, growth = step(old, 51.0, 7, LIMIT)
    assert (trend.since, len(trend.scales), growth) == (51.0, len(GRAINS), None)


@pytest.mark.parametrize(
    ("at", "used"),
    [(math.nan, 1), (math.inf, 1), (-math.inf, 1), (1.0, -1)],
    ids=["nan", "inf", "-inf", "below 0"],
)
def test_refuses_an_impossible_sample(at: float, used: int) -> None:
    with pytest.raises(ValueError, match="expected 0 or more bytes at a finite time"):
        observe(Trend(), at, used)


# ---- before and after a rung ----------------------------------------------------------------------------


def test_slope_over_looks_back_only_so_far() -> None:
    trend, _ = run(leak(200, 0.0) + leak(30, 2 * MB, begin=200))
    assert slope_over(trend, 20.0) == pytest.approx(2 * MB)
    assert slope_over(trend, 200.0) == 0.0
    assert slope_over(trend, 8.0) is None
    assert slope_over(Trend(), 60.0) is None


def test_slope_over_more_than_is_kept_uses_what_is_there() -> None:
    trend, _ = run([(10.0 * s, s * MB) for s in range(2000)], 1 << 50)
    assert slope_over(trend, 1e6) == pytest.approx(MB / 10)


@pytest.mark.parametrize(
    ("after", "seconds", "told"),
    [
        (1.2, 5, "wait"),
        (1.2, 20, "resumes"),
        (0.5, 30, "resumes"),
        (0.0, 15, "wait"),
        (0.0, 30, "holds"),
        (0.1, 40, "holds"),
        (-1.0, 30, "holds"),
        (2.5, 30, "worse"),
    ],
)
def test_settle(after: float, seconds: int, told: str) -> None:
    """A leak of 1.2 MB/s, 40 MB freed at 60 s, and how it goes on."""
    trend, _ = run(leak(60, 1.2 * MB, noise=0.1 * MB))
    trend, _ = run(leak(seconds, after * MB, 67 * MB, begin=60, noise=0.1 * MB), trend=trend)
    assert settle(1.2 * MB, trend, 60.0) == told


def test_settle_is_not_sure_in_noise() -> None:
    trend, _ = run(leak(60, 1.2 * MB) + leak(24, 0.3 * MB, begin=60, noise=8 * MB))
    assert settle(1.2 * MB, trend, 60.0) == "wait"


def test_settle_before_any_sample_waits() -> None:
    assert settle(1.0, Trend(), 0.0) == "wait"


def test_after_a_rung_a_new_trend_finds_the_leak_again() -> None:
    _, said = run(leak(80))
    assert said[-1] is not None
    _, said = run(leak(60, base=100 * MB, begin=80), trend=Trend())
    assert said[0] is None
    assert any(said)
