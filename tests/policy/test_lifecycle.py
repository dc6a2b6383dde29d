"""An instance goes starting, ready, draining, stopping, gone; stops, kills and removals follow in order."""

from dataclasses import replace

import pytest

from noded.model.actions import (
    ActivateInstance,
    ForgetNode,
    KillInstance,
    RemoveInstance,
    RemoveRoute,
    StartInstance,
    StopInstance,
)
from noded.model.inputs import InstanceReady, TrafficCounted
from noded.model.instance import Phase
from noded.model.route import Traffic
from nodespec.manifest import Probe, Stop
from tests.policy.build import Core, none, only, rolling, running, spec, starts


def test_it_is_ready_when_it_says_so_and_is_told_to_act() -> None:
    core = Core()
    core.apply(spec())
    none(core.started("shop.1"), ActivateInstance)
    assert core.places() == {"shop.1": "stable starting"}
    assert only(core.ready("shop.1"), ActivateInstance).instance == "shop.1"
    none(core.ready("shop.1"), ActivateInstance)
    assert core.instance("shop.1").ready_at == core.at


def test_without_any_sign_of_readiness_running_is_enough() -> None:
    core = Core()
    core.apply(spec(readiness=Probe.NONE))
    assert only(core.started("shop.1"), ActivateInstance)
    assert core.places() == {"shop.1": "stable ready"}


def test_a_spare_is_not_told_to_act() -> None:
    core = Core()
    core.apply(spec(spares=1))
    core.started("shop.2")
    none(core.ready("shop.2"), ActivateInstance)


def test_words_about_unknown_instances_change_nothing() -> None:
    core = running()
    before = core.state
    for tell in (core.started, core.ready, core.exits):
        assert tell("shop.99") == ()
        assert tell("other.1") == ()
    assert core.state == before


def test_one_that_is_not_ready_in_time_is_killed_and_counted() -> None:
    core = Core()
    core.apply(spec(start_timeout=10.0))
    core.started("shop.1")
    none(core.tick(10.0), KillInstance)
    kill = only(core.tick(0.5), KillInstance)
    assert kill.reason == "shop.1 was not ready within 10 s of its start (its SDK did not say that it is)"
    assert core.node.backoff.failures == 1
    core.exits("shop.1")
    assert core.node.backoff.failures == 1, "one failure is counted once"


@pytest.mark.parametrize(
    ("probe", "owed"),
    [
        (Probe.HTTP, "GET /healthz was not answered with 2xx"),
        (Probe.TCP, "it took no connection"),
        (Probe.EXEC, "health.command did not end with 0"),
        (Probe.NOTIFY, "READY=1 did not come"),
    ],
)
def test_what_it_waited_for_in_vain_is_told(probe: Probe, owed: str) -> None:
    core = Core()
    core.apply(spec(start_timeout=10.0, readiness=probe))
    core.started("shop.1")
    kill = only(core.tick(10.5), KillInstance)
    assert kill.reason == f"shop.1 was not ready within 10 s of its start ({owed})"


def test_a_crash_is_cleared_away_and_counted() -> None:
    core = running()
    removed = only(core.exits("shop.1", "code 3"), RemoveInstance)
    assert removed.reason == "it exited: code 3"
    assert (core.node.restarts, core.node.backoff.last) == (1, "shop.1 exited: code 3")


def test_an_expected_end_is_no_failure() -> None:
    core = running()
    core.order("stop")
    core.leave()
    assert (core.node.restarts, core.node.backoff.failures) == (0, 0)
    assert core.node.instances == {}


# The way out


def test_it_drains_until_a_count_taken_afterwards_shows_no_request() -> None:
    core = running(spec(stop=Stop("TERM", 30.0)))
    core.order("stop")
    assert core.places() == {"shop.1": "stable draining"}

    def counted(seconds: float, sessions: int) -> list[str]:
        core.at += seconds
        told = core.tell(TrafficCounted(core.at, (Traffic("shop.1", 9, 0, sessions, True),)))
        return [a.instance for a in told if isinstance(a, StopInstance)]

    assert counted(0.1, 0) == [], "a count from before the proxy stopped sending proves nothing"
    assert counted(0.4, 2) == []
    assert counted(0.4, 0) == ["shop.1"]


def test_draining_ends_after_the_stop_timeout_whatever_runs() -> None:
    core = running()
    core.order("stop")
    none(core.tick(4.9), StopInstance)
    assert only(core.tick(0.1), StopInstance).signal == "TERM"


def test_a_node_without_requests_has_nothing_to_drain() -> None:
    core = running(spec(port=None, stop=Stop("INT", 5.0)))
    assert only(core.order("stop"), StopInstance).signal == "INT"


def test_one_deaf_to_the_signal_is_killed_and_killed_again() -> None:
    core = running(spec(port=None))
    core.order("stop")
    none(core.tick(4.9), KillInstance)
    kill = only(core.tick(0.1), KillInstance)
    assert kill.reason == "still there 5 s after it was told to stop"
    none(core.tick(4.9), KillInstance)
    assert only(core.tick(0.1), KillInstance).reason == "still there 10 s after it was told to stop"
    core.exits("shop.1")
    none(core.tick(10.0), KillInstance)


def test_one_whose_start_is_under_way_is_killed_at_once() -> None:
    core = Core()
    core.apply(spec())
    actions = core.order("stop")
    assert only(actions, KillInstance).instance == "shop.1"
    none(actions, StopInstance)
    core.started("shop.1")
    assert core.places() == {"shop.1": "stable stopping"}
    assert only(core.tick(5.0), KillInstance)


def test_a_process_that_runs_but_is_not_ready_is_stopped_without_draining() -> None:
    core = Core()
    core.apply(spec())
    core.started("shop.1")
    assert only(core.order("stop"), StopInstance).instance == "shop.1"


def test_one_that_dies_while_it_drains_is_gone() -> None:
    core = running()
    core.order("stop")
    assert only(core.exits("shop.1"), RemoveInstance)
    assert core.node.instances == {} and core.node.backoff.failures == 0


def test_a_stopped_node_comes_back_only_on_order() -> None:
    core = running()
    core.order("stop")
    core.leave()
    assert starts(core.tick(60.0)) == []
    assert starts(core.order("start")) == ["shop.2"]


def test_a_start_during_the_way_out_does_not_wait_for_its_end() -> None:
    core = running()
    core.order("stop")
    assert starts(core.order("start")) == ["shop.2"]
    assert core.places() == {"shop.1": "stable draining", "shop.2": "stable starting"}


def test_a_removed_node_is_forgotten_when_nothing_of_it_is_left() -> None:
    core = running(spec(spares=1))
    none(core.order("remove"), ForgetNode)
    core.exits("shop.1", "code 0")
    actions = core.exits("shop.2", "code 0")
    assert only(actions, RemoveRoute).port == 8100
    assert only(actions, ForgetNode)
    assert core.state.nodes == {}


# A candidate's own manifest


def test_a_canary_has_the_time_to_start_that_its_own_manifest_gives() -> None:
    core = running(spec(start_timeout=10.0))
    core.apply(spec("1.1", start_timeout=60.0))
    core.started("shop.2")
    none(core.tick(30.0), KillInstance)
    core.ready("shop.2")
    assert core.rollout.share == 0.1


def test_a_canary_is_stopped_as_its_own_manifest_says() -> None:
    core = rolling(spec(), spec("1.1", stop=Stop("INT", 2.0)))
    core.order("abort", "shop")
    assert only(core.tick(2.0), StopInstance).signal == "INT"


def test_capacity_follows_the_new_manifest_after_a_promotion() -> None:
    core = rolling(spec(instances=1), spec("1.1", instances=3, spares=1))
    assert len([a for a in core.done if isinstance(a, StartInstance)]) == 4
    core.order("finish", "shop")
    assert [i.id for i in core.node.instances.values() if i.phase is Phase.READY] == [
        "shop.2",
        "shop.3",
        "shop.4",
    ]
    assert core.places()["shop.5"] == "spare starting"
    assert core.places()["shop.1"] == "stable draining"


@pytest.mark.parametrize("instances", [1, 2, 5])
def test_stable_never_loses_capacity_on_the_way_to_a_new_version(instances: int) -> None:
    core = running(replace(spec(instances=instances), spares=1))
    fresh = starts(core.apply(spec("1.1", instances=instances, spares=1)))
    for name in fresh:
        assert len(core.serving()) == instances
        core.comes_up(name)
    core.order("finish", "shop")
    assert core.serving() == fresh
    assert all(i.digest == core.node.release.digest for i in core.node.instances.values() if not i.leaving)


@pytest.mark.parametrize("readiness", [Probe.HTTP, Probe.TCP, Probe.EXEC])
def test_its_own_word_is_not_enough_where_the_manifest_wants_an_answer(readiness: Probe) -> None:
    core = Core()
    (name,) = starts(core.apply(spec(readiness=readiness)))
    core.started(name)
    core.tell(InstanceReady(core.at, "shop", name, "it said so", True))
    assert core.places() == {name: "stable starting"}
    core.tell(InstanceReady(core.at, "shop", name, "GET /healthz was answered"))
    assert core.places() == {name: "stable ready"}
