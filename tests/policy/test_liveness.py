"""A silent instance is ended, unless its host explains the silence."""

import pytest

from noded.model.actions import KillInstance, Note
from noded.model.inputs import InstanceSilent
from noded.model.instance import Phase, Role
from noded.model.liveness import Pressure, Silence
from nodespec.manifest import Autonomy, Levels
from tests.policy.build import Core, none, only, running, spec, starts

CALM = Pressure(0.02, 0.0, 0.0)
SHORT_OF_CPU = Pressure(0.9, 0.0, 0.0)


def silent(core: Core, name: str = "shop.1", **how: object) -> tuple[object, ...]:
    told: dict[str, object] = {
        "seconds": 2.3,
        "asked": "its heartbeat",
        "state": "S",
        "pressure": CALM,
        **how,
    }
    return core.tell(InstanceSilent(core.at, "shop", name, Silence(**told)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ({"state": "T"}, "it is stopped"),
        ({"state": "R", "cpu": 0.98}, "a hang, busy without progress (98% of a core)"),
        ({"state": "S", "cpu": 0.01}, "a deadlock, idle without progress"),
        ({"state": "D"}, "it waits in the kernel"),
        (
            {"state": "S", "detail": "2 threads in futex_wait"},
            "idle without progress; 2 threads in futex_wait",
        ),
    ],
)
def test_it_is_ended_and_the_reason_says_how_it_stood(how: dict[str, object], kind: str) -> None:
    core = running(spec())
    kill = only(silent(core, **how), KillInstance)  # type: ignore[arg-type]
    assert kill.instance == "shop.1"
    assert kind in kill.reason and "2.3 s" in kill.reason and "its heartbeat" in kill.reason


def test_a_spare_takes_over_with_the_same_decision() -> None:
    core = running(spec(spares=1))
    silent(core)
    assert core.node.instances["shop.2"].role is Role.STABLE


def test_its_place_is_taken_at_once_and_it_counts_as_one_failure() -> None:
    core = running(spec())
    actions = silent(core)
    assert starts(actions) == ["shop.2"]  # type: ignore[arg-type]
    core.exits("shop.1", "signal 9")
    assert (core.node.backoff.failures, core.node.restarts) == (1, 1)


@pytest.mark.parametrize(
    ("how", "short"),
    [
        ({"state": "R", "cpu": 0.5, "pressure": SHORT_OF_CPU}, "CPU"),
        ({"state": "S", "cpu": 0.0, "waited": 0.4, "pressure": SHORT_OF_CPU}, "CPU"),
        ({"state": "S", "pressure": Pressure(0.0, 0.5, 0.0)}, "memory"),
        ({"state": "D", "pressure": Pressure(0.0, 0.0, 0.5)}, "disk"),
    ],
)
def test_nothing_is_ended_for_slowness_while_the_host_is_starved(how: dict[str, object], short: str) -> None:
    core = running(spec())
    actions = silent(core, **how)
    none(actions, KillInstance)  # type: ignore[arg-type]
    assert f"short of {short}" in only(actions, Note).reason  # type: ignore[arg-type]
    assert core.node.instances["shop.1"].phase is Phase.READY
    core.at += 1.0
    assert not silent(core, **how)


def test_what_had_cpu_enough_and_answered_nobody_is_no_victim_of_its_host() -> None:
    core = running(spec())
    none(silent(core, state="R", cpu=0.6, seconds=3.0, pressure=SHORT_OF_CPU), KillInstance)  # type: ignore[arg-type]
    core.at += 0.6
    kill = only(silent(core, state="R", cpu=0.6, seconds=3.6, pressure=SHORT_OF_CPU), KillInstance)  # type: ignore[arg-type]
    assert "a hang" in kill.reason


def test_who_still_brings_requests_to_their_end_is_only_slow() -> None:
    core = running(spec())
    for second in range(3, 30):
        actions = silent(core, state="R", cpu=0.6, seconds=float(second), pressure=SHORT_OF_CPU)
        none(actions, KillInstance)  # type: ignore[arg-type]
        core.tick(1.0, counts={"shop.1": (second, 0)})


@pytest.mark.parametrize("state", ["T", "S"])
def test_what_stands_still_and_asks_for_no_cpu_is_not_slow(state: str) -> None:
    core = running(spec())
    only(silent(core, state=state, pressure=SHORT_OF_CPU), KillInstance)  # type: ignore[arg-type]


def test_a_program_in_a_debugger_is_left_alone() -> None:
    core = running(spec())
    assert "debugger" in only(silent(core, state="t"), Note).reason  # type: ignore[arg-type]


def test_without_autonomy_a_person_is_told_and_nothing_ended() -> None:
    core = running(spec(levels=Levels(restart=Autonomy.ADVISE)))
    assert "nodectl restart shop" in only(silent(core), Note).reason  # type: ignore[arg-type]


def test_one_at_a_time() -> None:
    core = running(spec(instances=3))
    only(silent(core, "shop.1"), KillInstance)  # type: ignore[arg-type]
    actions = silent(core, "shop.2")
    none(actions, KillInstance)  # type: ignore[arg-type]
    core.exits("shop.1")
    core.comes_up("shop.4")
    core.at += 0.5
    only(silent(core, "shop.2"), KillInstance)  # type: ignore[arg-type]


def test_a_silent_canary_ends_its_rollout_and_is_killed() -> None:
    core = running(spec())
    core.apply(spec("1.1"))
    core.comes_up("shop.2")
    core.tick(1.0, counts={"shop.1": (10, 0), "shop.2": (1, 0)})
    actions = silent(core, "shop.2", state="R", cpu=1.0, pressure=SHORT_OF_CPU)
    assert only(actions, KillInstance).instance == "shop.2"  # type: ignore[arg-type]
    assert not core.node.rolling_out
    assert core.node.instances["shop.1"].phase is Phase.READY


@pytest.mark.parametrize("name", ["shop.9", "shop.1"])
def test_late_news_of_what_is_gone_or_going_changes_nothing(name: str) -> None:
    core = running(spec())
    silent(core, "shop.1")
    assert not silent(core, name)


def test_what_a_program_said_is_beside_the_reason_and_not_in_it() -> None:
    core = running(spec())
    kill = only(
        silent(core, detail="it was answered with code 1", said="cannot connect as ***"), KillInstance
    )  # type: ignore[arg-type]
    assert kill.said == "cannot connect as ***"
    assert "cannot connect" not in kill.reason
    assert "cannot connect" not in core.node.backoff.last
