"""An hour in which hardly anybody asks: what becomes of a rollout, and what is a person told?

In virtual time.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from noded.model.rollout import Stage
from nodespec.manifest import OnInconclusive
from tests.policy.build import Core, rolling, spec

LIMIT = 600.0
"""Seconds at a step after which it counts as inconclusive."""


def begun(policy: OnInconclusive) -> Core:
    new = spec("1.1", steps=(0.1, 0.5, 1.0), dwell=30.0, soak=60.0)
    plan = replace(new.rollout, on_inconclusive=policy, max_dwell=LIMIT)
    return rolling(spec(), replace(new, rollout=plan))


def an_hour(core: Core, every: float, fails_at: float = 1e9) -> Iterator[float]:
    """One request each `every` seconds, dealt by the share; a look each five seconds.

    From `fails_at` on the canary has failed once.
    """
    began, canary, stable = core.at, 0.0, 0.0
    while core.at < began + 3600.0 and not core.rollout.ended:
        asked = 5.0 / every
        canary += asked * core.rollout.share
        stable += asked * (1.0 - core.rollout.share)
        core.tick(
            5.0,
            counts={"shop.1": (int(stable), 0), "shop.2": (int(canary), int(core.at >= began + fails_at))},
        )
        yield core.at - began


@pytest.mark.parametrize("every", [1e9, 120.0, 20.0])
def test_held_it_waits_for_a_person_and_says_how_many_requests_are_wanted(every: float) -> None:
    core = begun(OnInconclusive.HOLD)
    for _ in an_hour(core, every):
        assert (core.rollout.stage, core.rollout.share) == (Stage.STEP, 0.1), core.rollout.reason
    assert core.rollout.reason.startswith("inconclusive after 600 s")
    assert "nodectl rollout promote shop, or nodectl rollout abort shop" in core.rollout.reason
    assert core.rollout.requests_needed > 100
    assert len(core.rollout.history) == 3, "it is told once"


def test_one_answer_that_fails_in_an_hour_is_no_reason_to_go_back() -> None:
    core = begun(OnInconclusive.HOLD)
    for _ in an_hour(core, 60.0, fails_at=1800.0):
        assert not core.rollout.ended, core.rollout.reason
    assert core.rollout.now is not None and core.rollout.now.canary_bad == 1


def test_widened_it_goes_up_to_the_step_before_the_last_and_waits_there() -> None:
    core = begun(OnInconclusive.WIDEN)
    shares = {core.rollout.share for _ in an_hour(core, 120.0)}
    assert (shares, core.rollout.stage) == ({0.1, 0.5}, Stage.STEP)
    assert "on_inconclusive is widen" in core.rollout.history[2].reason
    assert core.rollout.reason.startswith("inconclusive")


def test_promoted_it_goes_to_the_end_by_its_own_time() -> None:
    core = begun(OnInconclusive.PROMOTE)
    took = 0.0
    for passed in an_hour(core, 120.0):
        took = passed
    assert core.rollout.stage is Stage.PROMOTED
    assert [step.share for step in core.rollout.done] == [0.1, 0.5, 1.0]
    assert 2 * LIMIT + 60.0 <= took < 2 * LIMIT + 120.0
