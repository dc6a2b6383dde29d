"""What ends a rollout without any statistics, and what does not."""

import pytest

from noded.model.inputs import Reading, Sampled
from noded.model.instance import Role, Vitals
from noded.model.rollout import Stage
from tests.policy.build import MB, Core, rolling, running, spec, starts


def uses(core: Core, seconds: int, stable: float, canary: float) -> None:
    for _ in range(seconds):
        core.at += 1.0
        core.tell(
            Sampled(
                core.at,
                (
                    Reading("shop.1", "shop", Vitals(10 * MB, cpu=stable)),
                    Reading("shop.2", "shop", Vitals(10 * MB, cpu=canary)),
                ),
            )
        )


def test_a_canary_that_eats_cpu_loses_its_share() -> None:
    core = rolling()
    uses(core, 14, 0.1, 0.9)
    assert core.rollout.stage is Stage.STEP
    uses(core, 4, 0.1, 0.9)
    assert core.rollout.reason == "its canary uses 0.9 cores for 15 s, all of stable 0.1 at most"


def test_as_much_cpu_as_stable_took_is_no_fault() -> None:
    core = rolling()
    uses(core, 20, 0.4, 0.4)
    uses(core, 40, 0.0, 1.6)
    assert core.rollout.stage is Stage.STEP


def test_a_short_burst_is_no_fault() -> None:
    core = rolling()
    for _ in range(5):
        uses(core, 13, 0.1, 1.0)
        uses(core, 1, 0.1, 0.1)
    assert core.rollout.stage is Stage.STEP


def test_a_canary_that_the_proxy_does_not_reach_ends_it() -> None:
    core = rolling()
    for _ in range(4):
        core.at += 0.4
        core.count({"shop.1": (9, 0), "shop.2": (1, 0)}, down=["shop.2"])
    assert core.rollout.reason == "the proxy has not reached shop.2 for 1 s"


def test_when_nothing_reaches_stable_either_the_canary_is_not_to_blame() -> None:
    core = rolling()
    for _ in range(9):
        core.at += 0.4
        core.count({"shop.1": (9, 0), "shop.2": (1, 0)}, down=["shop.1", "shop.2"])
    assert core.rollout.stage is Stage.STEP


def grows(core: Core, minutes: int, stable: float, canary: float) -> None:
    """MB per minute."""
    begun = core.at
    for _ in range(minutes * 60):
        if core.rollout.ended:
            return
        passed = (core.at + 1.0 - begun) / 60
        used = {"shop.1": int((50 + stable * passed) * MB), "shop.2": int((50 + canary * passed) * MB)}
        core.tick(1.0, memory=used)


def test_a_canary_that_leaks_while_stable_does_not_loses_its_share() -> None:
    core = rolling(spec(), spec("1.1", dwell=3600.0))
    grows(core, 20, 0.0, 10.0)
    assert core.rollout.stage is Stage.ROLLED_BACK
    assert core.rollout.reason.startswith("memory of shop.2 grows by")


def test_one_that_leaks_as_stable_does_is_not_worse() -> None:
    core = rolling(spec(), spec("1.1", dwell=3600.0))
    grows(core, 20, 10.0, 10.0)
    assert core.rollout.stage is Stage.STEP


# The baseline


def test_a_long_rollout_has_a_fresh_stable_beside_its_canary() -> None:
    core = running()
    fresh = starts(core.apply(spec("1.1", soak=1800.0)))
    assert fresh == ["shop.2", "shop.3"]
    core.comes_up(*fresh)
    assert core.serving(Role.BASELINE) == ["shop.3"]
    assert core.instance("shop.3").version == "1.0"
    core.tick(1.0)
    assert core.rollout.growth is not None and core.rollout.growth.baseline == "shop.3"
    core.order("abort")
    assert core.places()["shop.3"] == "baseline draining"


def test_a_baseline_that_ends_is_not_started_again_and_nobody_is_to_blame() -> None:
    core = running()
    core.comes_up(*starts(core.apply(spec("1.1", soak=1800.0))))
    core.tick(1.0)
    assert starts(core.exits("shop.3")) == []
    assert core.rollout.stage is Stage.STEP and core.node.backoff.failures == 0
    core.tick(1.0, memory={"shop.1": MB, "shop.2": MB})
    assert core.rollout.growth is None


@pytest.mark.parametrize("soak", [20.0, 600.0])
def test_a_short_one_has_none(soak: float) -> None:
    core = running()
    assert starts(core.apply(spec("1.1", soak=soak))) == ["shop.2"]
