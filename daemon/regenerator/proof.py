"""Does the candidate keep what the parent did well and lose what it did badly?

Gates that run code. The parent is measured first: when it does not show the fault under its own soak load,
or fails its own tests, the evidence is unfit and nothing may be concluded from a candidate.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from regenerator.report import Gate
from regenerator.trial import Bench, Load, Tested, run_load, run_tests

TEST_RUNS = 3
PORTION = 500
PORTIONS = 4
MEASURED = PORTION * PORTIONS
CLEAR = 1 << 20
"""Bytes of growth over the measured portions that are more than noise."""
SHORTEST_LOAD = 1.0
"""Seconds; in less, starting the load would count as a part of it."""
MOST_GROWN = 512 << 20
KEPT_GROWTH = 0.20
SMALL_SHARE = 0.01
FILL_MARGIN = 1.35
LONGER_LOADS = 3
SLOWER = 1.5
MIB = 1 << 20


class Unproved(Exception):
    """The evidence is unfit: the parent itself cannot be measured, or does not show the fault."""


@dataclass(frozen=True, slots=True)
class Baseline:
    tested: Tested
    load: Load
    growth: float
    """Bytes over the measured portions."""


async def measure_parent(bench: Bench, tree: Path) -> Baseline:
    """Raises Unproved."""
    tested = await run_tests(bench, tree, 0)
    if not tested.ran.ok:
        raise Unproved(f"the parent's own tests fail: {tested.ran.fault}")
    requests = PORTION + MEASURED
    while True:
        load = await run_load(bench, tree, tree, requests, bench.incident.parent.version)
        if load.fault:
            raise Unproved(f"the parent {load.fault}")
        if load.seconds < SHORTEST_LOAD and load.peak < MOST_GROWN:
            requests = int(requests * min(SHORTEST_LOAD / load.seconds + 0.3, 4.0))
            continue
        growth = load.growth(_measured(requests))
        rising = sum(step > 0 for step in load.portions(_measured(requests)))
        if growth >= CLEAR and rising >= PORTIONS - 1:
            return Baseline(tested, load, growth)
        if load.seconds * 4 > bench.deadline.left / 4:
            raise Unproved(
                f"evidence unfit: under {requests:,} requests of its soak load the parent grew by "
                f"{growth / MIB:.1f} MiB, expected at least {CLEAR / MIB:.1f} MiB and a rise in "
                f"{PORTIONS - 1} of {PORTIONS} portions"
            )
        requests *= 4


async def pass_tests(bench: Bench, tree: Path, parent: Baseline) -> Gate:
    """Every run must pass, with as many tests as the parent ran and no test skipped that was not before."""
    started = time.monotonic()
    for attempt in range(1, TEST_RUNS + 1):
        tested = await run_tests(bench, tree, attempt)
        fault = fault_of_tests(tested, parent.tested)
        if fault:
            return Gate("tests", False, f"run {attempt} of {TEST_RUNS}: {fault}", time.monotonic() - started)
    count = f"{parent.tested.count} tests" if parent.tested.count >= 0 else "all tests"
    return Gate(
        "tests", True, f"{count} passed in {TEST_RUNS} of {TEST_RUNS} runs", time.monotonic() - started
    )


async def stop_growing(
    bench: Bench, tree: Path, judge: Path, parent: Baseline, holds: int
) -> tuple[Gate, Load | None]:
    """`holds`: bytes that the candidate may keep before its bound shows; the requests before the measured
    ones fill them. A candidate that still grows is given longer loads: how much it really keeps before it is
    full is an estimate, and one without a bound grows under any load."""
    started = time.monotonic()
    measured = _measured(parent.load.requests)
    fill = parent.load.requests - measured + int(FILL_MARGIN * holds / parent.growth * measured)
    detail, load = "", None
    for _ in range(LONGER_LOADS):
        expected = (fill + measured) * parent.load.per_request
        if expected > bench.deadline.left:
            left = bench.deadline.left
            short = (
                f"{fill + measured:,} requests need about {expected:.0f} s; the budget leaves {left:.0f} s"
            )
            return Gate("reproduction", False, "; ".join(filter(None, (detail, short)))), None
        load = await run_load(bench, tree, judge, fill + measured, bench.incident.next_version)
        if load.fault:
            took = time.monotonic() - started
            return Gate("reproduction", False, f"the candidate {load.fault}", took), None
        growth = load.growth(measured)
        allowed = min(parent.growth * KEPT_GROWTH, max(CLEAR, bench.incident.limit * SMALL_SHARE))
        detail = _compared(measured, fill, parent, load, growth, allowed)
        if growth <= allowed:
            return Gate("reproduction", True, detail, time.monotonic() - started), load
        fill *= 2
    return Gate("reproduction", False, detail, time.monotonic() - started), load


def _compared(measured: int, fill: int, parent: Baseline, load: Load, growth: float, allowed: float) -> str:
    steps = " ".join(f"{step / MIB:+.1f}" for step in load.portions(measured))
    return (
        f"over {measured:,} requests the parent grew by {parent.growth / MIB:.1f} MiB, the candidate by "
        f"{growth / MIB:.1f} MiB ({steps}) after {fill:,} to fill; allowed {allowed / MIB:.1f}"
    )


async def stay_useful(
    bench: Bench, tree: Path, judge: Path, parent: Baseline, load: Load, parent_tree: Path
) -> Gate:
    """A slow candidate is measured again beside the parent: the machine may have been busy."""
    started = time.monotonic()
    ratio = load.per_request / parent.load.per_request
    if ratio > SLOWER:
        requests = PORTION + MEASURED
        before = await run_load(bench, parent_tree, judge, requests, bench.incident.parent.version)
        after = await run_load(bench, tree, judge, requests, bench.incident.next_version)
        if not before.fault and not after.fault:
            ratio = min(ratio, after.per_request / before.per_request)
    detail = f"{ratio:.2f} times the parent's wall time per request, at most {SLOWER}"
    return Gate("retained-effect", ratio <= SLOWER, detail, time.monotonic() - started)


def _measured(requests: int) -> int:
    """All but the first portion, which warms up."""
    return requests * PORTIONS // (PORTIONS + 1)


def fault_of_tests(tested: Tested, parent: Tested) -> str:
    if not tested.ran.ok:
        return tested.ran.fault
    if tested.count != parent.count:
        return f"{tested.count} tests ran, the parent ran {parent.count}"
    if tested.skipped > parent.skipped:
        return f"{tested.skipped} tests were skipped, the parent skipped {parent.skipped}"
    return ""
