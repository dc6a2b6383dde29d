"""A new version gets its share step by step, and loses it at the first sign of harm."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noded.model.actions import ActivateInstance, InstallRoute, KillInstance, RecordNode
from noded.model.inputs import ActionFailed, Input, Reading, Sampled, TrafficCounted
from noded.model.instance import Vitals
from noded.model.rollout import Stage
from noded.model.route import Traffic
from noded.policy.rollout import KEPT
from tests.policy.build import Core, applied, none, only, rolling, running, spec, starts


def share(core: Core) -> float:
    return core.node.route.share if core.node.route else 0.0


def served(core: Core, canary: tuple[int, int], stable: tuple[int, int], canary_id: str = "shop.2") -> None:
    core.tick(1.0, counts={"shop.1": stable, canary_id: canary})


def go_well(core: Core, until: Stage, seconds: int = 200) -> None:
    """Traffic without an error."""
    asked = 0
    for _ in range(seconds):
        if core.rollout.stage is until:
            return
        asked += 1000
        part = int(asked * max(core.rollout.share, 0.1))
        served(core, (part, 0), (asked - part if core.rollout.share < 1 else 0, 0))
    raise AssertionError(core.rollout)


def test_the_canary_starts_beside_stable_and_gets_no_share_before_it_is_ready() -> None:
    core = running()
    actions = core.apply(spec("1.1"))
    assert starts(actions) == ["shop.2"] and core.places()["shop.2"] == "canary starting"
    core.started("shop.2")
    assert (core.rollout.stage, share(core)) == (Stage.PREPARING, 0.0)
    none(core.ready("shop.2"), ActivateInstance)
    assert (core.rollout.stage, share(core)) == (Stage.STEP, 0.1)


def test_every_wanted_instance_has_its_canary_before_the_first_step() -> None:
    core = running(spec(instances=2))
    fresh = starts(core.apply(spec("1.1", instances=2)))
    core.comes_up(fresh[0])
    assert share(core) == 0.0
    core.comes_up(fresh[1])
    assert share(core) == 0.1


def test_a_good_version_is_promoted_step_by_step() -> None:
    core = rolling()
    go_well(core, Stage.SOAK)
    assert [s.share for s in core.rollout.done] == [0.1, 0.5] and share(core) == 1.0
    assert all(s.seconds >= 5.0 and s.canary_requests for s in core.rollout.done)
    none(tuple(core.done[-3:]), RecordNode)
    assert core.serving() == ["shop.1"], "the old version stays warm through the soak"
    go_well(core, Stage.PROMOTED)
    record = core.all_of(RecordNode)[-1]
    assert (record.version, record.reason.partition(":")[0]) == ("1.1", "shop-r1 was promoted")
    assert core.places() == {"shop.1": "stable draining", "shop.2": "stable ready"}
    assert core.all_of(ActivateInstance)[-1].instance == "shop.2"
    assert core.node.past_rollouts == (core.rollout,)


def test_no_step_is_shorter_than_the_dwell() -> None:
    core = rolling(spec(), spec("1.1", dwell=60.0))
    for second in range(1, 60):
        served(core, (second * 100, 0), (second * 900, 0))
        assert core.rollout.share == 0.1
    served(core, (6100, 0), (54_000, 0))
    assert core.rollout.share == 0.5


def test_without_traffic_there_is_no_evidence_and_no_next_step() -> None:
    core = rolling()
    core.tick(3600.0)
    assert core.rollout.share == 0.1
    assert core.rollout.promotion_evidence < 20.0


def test_errors_of_the_canary_roll_back_in_the_same_step() -> None:
    core = rolling()
    actions = core.tick(1.0, counts={"shop.1": (900, 0), "shop.2": (100, 5)})
    assert core.rollout.stage is Stage.ROLLED_BACK
    assert core.rollout.reason.startswith("the canary is worse")
    assert only(actions, InstallRoute).route.share == 0.0
    assert core.serving() == ["shop.1"] and core.places()["shop.2"] == "canary draining"


def test_errors_of_both_versions_alike_are_no_reason() -> None:
    core = rolling()
    served(core, (100, 3), (900, 27))
    assert core.rollout.stage is Stage.STEP


def test_a_blown_fuse_ends_it_while_stable_fails_nobody() -> None:
    core = rolling()
    core.count({"shop.1": (9, 0), "shop.2": (3, 3)}, down=["shop.2"])
    assert core.rollout.stage is Stage.ROLLED_BACK
    assert core.rollout.reason.startswith("the canary is worse")


def test_a_fuse_that_blew_when_stable_failed_as_often_is_put_back() -> None:
    core = rolling()
    core.count({"shop.1": (900, 300), "shop.2": (30, 4)}, down=["shop.2"])
    assert core.rollout.stage is Stage.STEP
    assert (core.instance("shop.2").raised, core.instance("shop.2").raised_bad) == (1, 4)
    core.tick(5.0)
    assert core.rollout.stage is Stage.STEP, "until the next count it is up"
    for _ in range(2):
        core.at += 1.0
        core.count({"shop.1": (900, 300), "shop.2": (30, 4)}, down=["shop.2"])
    assert core.rollout.reason == "the proxy has not reached shop.2 for 1 s"


def test_what_ends_with_stable_is_not_the_canarys_fault() -> None:
    core = rolling()
    core.tick(20.0)
    core.exits("shop.1")
    core.at += 1.0
    assert core.rollout.stage is Stage.STEP
    again = starts(core.exits("shop.2"))
    assert core.rollout.stage is Stage.STEP and len(again) == 1
    assert core.instance(again[0]).version == "1.1"
    core.exits(again[0])
    assert core.rollout.stage is Stage.ROLLED_BACK, "one that dies at once is at fault itself"


def test_a_health_check_that_is_not_up_yet_is_no_fuse() -> None:
    core = rolling()
    core.count({"shop.1": (0, 0), "shop.2": (0, 0)}, down=["shop.2"])
    assert core.rollout.stage is Stage.STEP


def test_a_canary_that_exits_ends_it() -> None:
    core = rolling()
    actions = core.exits("shop.2", "code 1")
    assert core.rollout.reason == "its canary shop.2 exited: code 1"
    assert only(actions, InstallRoute).route.share == 0.0
    assert core.node.backoff.failures == 0, "the fault is the canary's, not stable's"
    assert starts(actions) == []


def test_a_stable_instance_that_exits_does_not() -> None:
    core = rolling()
    assert starts(core.exits("shop.1")) == ["shop.3"]
    assert core.rollout.stage is Stage.STEP


def test_a_canary_that_cannot_be_started_ends_it() -> None:
    core = running()
    core.apply(spec("1.1"))
    core.tell(ActionFailed(core.at, "StartInstance", "shop", "shop.2", "Refused", "no such user"))
    assert core.rollout.reason == "its canary could not be started: no such user"
    assert core.places() == {"shop.1": "stable ready"}


def test_a_canary_that_is_never_ready_ends_it() -> None:
    core = running()
    core.apply(spec("1.1"))
    core.started("shop.2")
    core.tick(10.1)
    core.tick(0.1)
    assert core.rollout.stage is Stage.ROLLED_BACK
    assert core.rollout.reason.startswith("shop.2 was not ready within 10 s of its start (")


def test_a_late_canary_that_dies_at_once_is_not_started_again() -> None:
    core = running()
    core.apply(spec("1.1"))
    core.started("shop.2")
    core.tick(10.1)
    assert starts(core.exits("shop.2")) == []
    assert core.rollout.stage is Stage.ROLLED_BACK
    assert core.rollout.reason.startswith("shop.2 was not ready within 10 s of its start (")


def test_a_canary_whose_start_never_begins_ends_it() -> None:
    core = running()
    core.exits("shop.1")
    core.started("shop.2")
    core.apply(spec("1.1", start_timeout=100.0))
    core.comes_up("shop.3")
    core.tick(10.1)
    core.exits("shop.2")
    for _ in range(8):
        core.tick(12.0)
    assert core.rollout.reason.startswith("no stable instance to compare with was ready within 1")


def test_a_release_that_cannot_be_recorded_does_not_run() -> None:
    core = rolling()
    core.tell(ActionFailed(core.at, "RecordRelease", "shop", "", "Conflict", "it has other content"))
    assert core.rollout.reason == "its release could not be recorded: it has other content"


def test_counts_of_a_restarted_proxy_begin_again() -> None:
    core = rolling()
    served(core, (100, 0), (900, 0))
    served(core, (10, 0), (90, 0))
    assert core.rollout.now is not None
    assert (core.rollout.now.canary_requests, core.rollout.now.stable_requests) == (110, 990)


def test_what_was_served_before_the_first_step_does_not_count() -> None:
    core = running()
    core.count({"shop.1": (1_000_000, 5000)})
    core.apply(spec("1.1"))
    core.comes_up("shop.2")
    served(core, (1, 0), (1_000_009, 5000))
    assert core.rollout.now is not None
    assert (core.rollout.now.stable_requests, core.rollout.now.stable_bad) == (9, 0)


def test_errors_during_the_soak_roll_back_to_the_warm_version() -> None:
    core = rolling()
    go_well(core, Stage.SOAK)
    load = core.instance("shop.2").load
    served(core, (load.requests + 1000, load.bad + 600), (core.instance("shop.1").load.requests, 0))
    assert core.rollout.stage is Stage.ROLLED_BACK and share(core) == 0.0
    assert core.serving() == ["shop.1"]
    assert core.node.release.version == "1.0"


# Pause


@pytest.mark.parametrize("whom", ["shop", ""])
def test_paused_it_goes_no_step_further_by_itself(whom: str) -> None:
    core = running()
    core.apply(spec("1.1"))
    core.order("pause", whom)
    core.comes_up("shop.2")
    core.tick(60.0)
    assert (core.rollout.stage, share(core)) == (Stage.PREPARING, 0.0)
    core.order("resume", whom)
    core.tick(1.0)
    assert share(core) == 0.1
    core.order("pause", whom)
    for second in range(1, 60):
        served(core, (second * 100, 0), (second * 900, 0))
    assert core.rollout.share == 0.1


@pytest.mark.parametrize("whom", ["shop", ""])
def test_paused_the_soak_does_not_end(whom: str) -> None:
    core = rolling()
    go_well(core, Stage.SOAK)
    core.order("pause", whom)
    core.tick(3600.0)
    assert core.rollout.stage is Stage.SOAK
    core.order("resume", whom)
    core.tick(1.0)
    assert core.rollout.stage is Stage.PROMOTED


def test_paused_harm_still_rolls_back_and_a_person_may_go_on() -> None:
    core = rolling()
    core.order("pause")
    core.order("promote")
    assert core.rollout.share == 0.5
    core.exits("shop.2")
    assert core.rollout.stage is Stage.ROLLED_BACK


# Bounds


def test_past_rollouts_are_kept_within_bounds() -> None:
    core = running()
    for number in range(KEPT + 3):
        core.apply(spec(f"2.{number}"))
        core.order("abort")
        core.leave()
    assert len(core.node.past_rollouts) == KEPT
    assert core.node.past_rollouts[-1].id == f"shop-r{KEPT + 3}"


COUNT = st.integers(0, 5000)
COUNTS = st.tuples(COUNT, st.integers(0, 40), COUNT, st.integers(0, 40), st.booleans())


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0.1, 20.0), COUNTS), max_size=30),
    st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True).map(sorted),
    st.integers(1, 3),
)
def test_a_share_is_one_of_the_plan_and_stable_keeps_its_capacity(
    looks: list[tuple[float, tuple[int, int, int, int, bool]]], percents: list[int], instances: int
) -> None:
    steps = (*(p / 100 for p in percents), 1.0)
    core = rolling(spec(instances=instances), spec("1.1", instances=instances, steps=steps, dwell=1.0))
    canaries = core.node.instances.keys() - set(core.serving())
    held = dict.fromkeys(core.node.instances, (0, 0))
    shares = [core.rollout.share]
    for seconds, (asked, bad, more, worse, up) in looks:
        core.at += seconds
        told = []
        for name, (requests, failed) in held.items():
            plus, ill = (asked, bad) if name in canaries else (more, worse)
            held[name] = (requests + plus, failed + min(ill, plus))
            told.append(Traffic(name, *held[name], 0, up or name not in canaries))
        fact: Input = TrafficCounted(core.at, tuple(told))
        core.tell(fact)
        assert len(core.serving()) >= instances
        assert share(core) in (0.0, *steps)
        assert share(core) == core.rollout.share
        shares.append(core.rollout.share)
    climbed = [s for s in dict.fromkeys(shares) if s]
    assert climbed == list(steps[: len(climbed)]), "no step is left out"


@given(st.integers(0, 1), st.integers(0, 3))
def test_a_second_apply_never_disturbs_the_first(version: int, ticks: int) -> None:
    core = rolling()
    before = core.rollout
    for _ in range(ticks):
        core.tick(1.0)
    core.tell(applied(core.at, spec(f"1.{version + 1}")))
    assert (core.rollout.id, core.rollout.release) == (before.id, before.release)


def still(core: Core, name: str, **vitals: float) -> Reading:
    return Reading(name, "shop", Vitals(**vitals))  # type: ignore[arg-type]


@pytest.mark.parametrize("vitals", [{"loop_lag": 4.0}, {"heartbeat_age": 4.0}], ids=str)
def test_a_canary_that_stands_still_is_killed_and_loses_its_share(vitals: dict[str, float]) -> None:
    core = rolling()
    actions = core.tell(Sampled(core.at + 1, (still(core, "shop.1"), still(core, "shop.2", **vitals))))
    assert core.rollout.stage is Stage.ROLLED_BACK
    assert "stood still" in core.rollout.reason
    assert only(actions, KillInstance).instance == "shop.2"
    assert share(core) == 0.0


def test_what_stands_still_with_stable_is_the_hosts_fault() -> None:
    core = rolling()
    both = (still(core, "shop.1", loop_lag=2.0), still(core, "shop.2", loop_lag=4.0))
    core.tell(Sampled(core.at + 1, both))
    assert core.rollout.stage is Stage.STEP
