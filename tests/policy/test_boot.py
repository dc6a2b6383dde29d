"""noded comes back: what lived on is adopted, what died is replaced, what is unknown is ended."""

from dataclasses import replace

import pytest

from noded.model.actions import (
    ActivateInstance,
    AdoptInstance,
    BeginProfile,
    EndProfile,
    KillInstance,
    RecordNode,
    RemoveInstance,
    StartInstance,
    StopInstance,
    WakeAt,
)
from noded.model.incident import Stage
from noded.model.inputs import ActionFailed, Booted, Known, Observed, ProxyFound
from noded.model.instance import Process
from noded.model.rollout import Stage as RolloutStage
from noded.model.state import Desired, HostState
from nodespec.manifest import Canary, Probe, Rung, Stop
from tests.policy.build import (
    HOST,
    Core,
    none,
    only,
    process,
    release_of,
    rolling,
    running,
    spec,
    starts,
)
from tests.policy.ladders import at_stage, collected, grow, leaking, tuned


def test_what_lived_on_is_adopted_and_nothing_is_started() -> None:
    core = running(spec(instances=2, spares=1))
    before = core.node.instances
    actions = core.restarts("shop.1", "shop.2", "shop.3")
    assert [a.instance for a in actions if isinstance(a, AdoptInstance)] == ["shop.1", "shop.2", "shop.3"]
    assert all(a.ready for a in actions if isinstance(a, AdoptInstance))
    assert core.node.instances == before
    for kind in (StartInstance, KillInstance, StopInstance):
        none(actions, kind)


def test_stable_instances_are_told_again_that_they_may_act() -> None:
    core = running(spec(spares=1))
    assert only(core.restarts("shop.1", "shop.2"), ActivateInstance).instance == "shop.1"


def test_a_canary_at_work_is_told_again_too_and_is_stopped_as_its_own_manifest_says() -> None:
    plan = replace(spec().rollout, canary=Canary.INSTANCES)
    core = rolling(spec(port=None), replace(spec("1.1", port=None, stop=Stop("INT", 9.0)), rollout=plan))
    assert core.places() == {"shop.1": "stable ready", "shop.2": "canary ready"}
    told = [a.instance for a in core.restarts("shop.1", "shop.2") if isinstance(a, ActivateInstance)]
    assert told == ["shop.1", "shop.2"]
    late = ActionFailed(core.at, "ActivateInstance", "shop", "shop.2", "TimedOut", "no word")
    assert only(core.tell(late), ActivateInstance).instance == "shop.2"
    core.order("abort")
    core.tick(1.0)
    assert core.places()["shop.2"] == "canary stopping"
    assert only(core.restarts("shop.1", "shop.2"), StopInstance).signal == "INT"


def test_what_died_meanwhile_is_cleared_and_replaced() -> None:
    core = running(spec(spares=1))
    actions = core.restarts("shop.2")
    assert only(actions, RemoveInstance).reason == "it exited: while noded was away"
    assert core.places() == {"shop.2": "stable ready", "shop.3": "spare starting"}


def test_the_same_number_with_another_start_time_is_another_process() -> None:
    core = running()
    stranger = Observed("shop.1", Process(101, 99999, 64200))
    actions = core.tell(Booted(core.at, HOST, (stranger,)))
    assert only(actions, KillInstance).instance == "shop.1"
    assert starts(actions) == ["shop.2"]


def test_what_belongs_to_no_node_is_ended_and_no_number_is_given_twice() -> None:
    core = running()
    found = tuple(Observed(name, process(7)) for name in ("shop.9", "worker.3", "odd"))
    actions = core.tell(Booted(core.at, HOST, (Observed("shop.1", process(1)), *found)))
    killed = [a.instance for a in actions if isinstance(a, KillInstance)]
    assert killed == ["worker.3", "odd"]
    assert [a.instance for a in actions if isinstance(a, RemoveInstance)] == killed
    assert starts(core.exits("shop.1")) == ["shop.10"]


def test_a_forgotten_instance_of_the_running_release_goes_on_serving() -> None:
    core = running()
    digest = core.state.nodes["shop"].release.digest
    empty = replace(core.state.nodes["shop"], instances={})
    core.state = core.state.holding(empty)
    known = (Known(empty.spec, empty.release, "running"),)
    actions = core.tell(Booted(core.at, HOST, (Observed("shop.9", process(9), digest),), known, intact=False))
    assert only(actions, AdoptInstance).instance == "shop.9"
    assert starts(actions) == []
    assert core.places() == {"shop.9": "stable ready"}


def test_a_forgotten_instance_of_another_release_leaves_when_its_successor_stands() -> None:
    core = running()
    core.state = core.state.holding(replace(core.state.nodes["shop"], instances={}))
    known = (Known(core.state.nodes["shop"].spec, core.state.nodes["shop"].release, "running"),)
    actions = core.tell(Booted(core.at, HOST, (Observed("shop.9", process(9), "sha256:" + "f" * 64),), known))
    (started,) = starts(actions)
    assert core.places()["shop.9"] == "stable ready"
    core.comes_up(started)
    assert core.places()["shop.9"] == "stable draining"


def test_while_memory_is_whole_what_was_not_entered_is_entered_again() -> None:
    core = running()
    node = core.state.nodes["shop"]
    old = Known(node.spec, replace(node.release, version="0.9", digest="sha256:" + "0" * 64), "running")
    actions = core.tell(Booted(core.at, HOST, (Observed("shop.1", process(1)),), (old,)))
    assert only(actions, RecordNode).digest == node.release.digest
    assert core.state.nodes["shop"].release == node.release


def test_when_the_end_of_memory_was_lost_the_registry_is_right() -> None:
    core = running()
    node = core.state.nodes["shop"]
    newer = replace(node.release, version="2.0", digest="sha256:" + "2" * 64)
    known = (Known(node.spec, newer, "running"),)
    core.tell(Booted(core.at, HOST, (Observed("shop.1", process(1)),), known, intact=False))
    assert core.state.nodes["shop"].release == newer
    core.tell(Booted(core.at, HOST, (), (), intact=False))
    assert "shop" not in core.state.nodes


def test_a_start_that_was_under_way_is_adopted_or_done_again() -> None:
    core = Core()
    core.apply(spec())
    adopted = only(core.restarts("shop.1"), AdoptInstance)
    assert not adopted.ready
    core.ready("shop.1")
    assert core.places() == {"shop.1": "stable ready"}
    core = Core()
    core.apply(spec())
    assert starts(core.restarts()) == ["shop.2"]


def test_one_without_any_sign_of_readiness_is_ready_when_it_is_found() -> None:
    core = Core()
    core.apply(spec(readiness=Probe.NONE))
    core.restarts("shop.1")
    assert core.places() == {"shop.1": "stable ready"}


def test_a_restart_delay_is_waited_for_again() -> None:
    core = running()
    core.exits("shop.1")
    core.comes_up("shop.2")
    wake = only(core.exits("shop.2"), WakeAt)
    assert only(core.tell(Booted(core.at + 0.1, HOST)), WakeAt).at == wake.at


def test_a_stop_that_was_under_way_goes_on() -> None:
    core = running()
    core.order("stop")
    core.tick(6.0)
    assert core.places() == {"shop.1": "stable stopping"}
    told = only(core.restarts("shop.1"), StopInstance)
    assert (told.instance, told.signal) == ("shop.1", "TERM"), "it may not have heard the first"
    assert core.places() == {"shop.1": "stable stopping"}
    assert only(core.tick(5.0), KillInstance)
    none(core.restarts("shop.1"), StopInstance)


def test_what_ended_and_was_not_cleared_up_is_cleared_up() -> None:
    core = running()
    ended = Observed("shop.7", process(7), running=False), Observed("other.1", process(8), running=False)
    alive = Observed("shop.1", process(1))
    actions = core.tell(Booted(core.at + 1.0, HOST, (alive, *ended), (known(),)))
    removed = {a.instance: a.reason for a in actions if isinstance(a, RemoveInstance)}
    assert removed == dict.fromkeys(("shop.7", "other.1"), "it ended and was not cleared up")
    none(actions, KillInstance)
    assert core.places() == {"shop.1": "stable ready"}
    assert core.node.serial == 7, "no number is given twice"


def test_an_instance_of_ours_that_ended_meanwhile_is_cleared_up_once() -> None:
    core = running()
    actions = core.tell(Booted(core.at + 1.0, HOST, (Observed("shop.1", process(1), running=False),)))
    assert only(actions, RemoveInstance).instance == "shop.1"
    assert core.places() == {"shop.2": "stable starting"}


# The registry


def known(version: str = "1.0", desired: str = "running") -> Known:
    wanted = spec(version)
    return Known(wanted, release_of(wanted), desired)


def test_with_its_memory_lost_it_begins_with_what_is_on_record() -> None:
    core = Core(state=HostState())
    actions = core.tell(Booted(core.at, HOST, (), (known(),)))
    assert starts(actions) == ["shop.1"]
    assert core.node.releases == (release_of(spec()),)


@pytest.mark.parametrize(("desired", "nodes"), [("stopped", ["shop"]), ("removed", [])])
def test_what_is_not_to_run_is_not_started(desired: str, nodes: list[str]) -> None:
    core = Core(state=HostState())
    assert starts(core.tell(Booted(core.at, HOST, (), (known(desired=desired),)))) == []
    assert list(core.state.nodes) == nodes


def test_what_it_remembers_comes_before_what_is_on_record() -> None:
    core = running(spec("1.1"))
    core.order("stop")
    core.tell(Booted(core.at, HOST, (Observed("shop.1", process(1)),), (known("1.0"),)))
    assert (core.node.release.version, core.node.desired) == ("1.1", Desired.STOPPED)


# A rollout, an incident


def test_a_rollout_goes_on_and_the_proxy_is_told_everything() -> None:
    core = rolling()
    core.tell(Booted(core.at + 20.0, HOST, tuple(Observed(f"shop.{n}", process(n)) for n in (1, 2))))
    assert core.node.route is None
    core.tell(ProxyFound(core.at, "first"))
    assert core.node.route is not None and core.node.route.share == 0.1


def test_a_canary_that_died_meanwhile_ends_its_rollout() -> None:
    core = rolling()
    core.restarts("shop.1")
    assert core.rollout.stage is RolloutStage.ROLLED_BACK
    assert core.rollout.reason == "its canary shop.2 exited: while noded was away"
    assert core.node.route is not None and core.node.route.share == 0.0


def test_evidence_that_was_being_gathered_is_asked_for_once_more() -> None:
    core = leaking_to_evidence()
    none(core.restarts("shop.1", "shop.2"), BeginProfile)
    assert core.incident.stage is Stage.EVIDENCE
    asked = [a for _ in range(6) for a in core.tick(1.0) if isinstance(a, EndProfile)]
    assert [a.instance for a in asked] == ["shop.1"]


def leaking_to_evidence() -> Core:
    core = running(spec(spares=1))
    grow(core, lambda core: core.node.healing.now is not None and core.incident.profiled)
    return core


def test_a_rung_whose_answer_may_be_lost_is_climbed_again() -> None:
    core = leaking()
    assert core.incident.attempt is not None
    core.restarts("shop.1", "shop.2")
    assert core.incident.attempt is not None and core.incident.attempt.rung == "collect"
    collected(core)
    assert core.incident.stage is Stage.WATCHING


def test_a_rung_that_acted_is_watched_on() -> None:
    core = leaking()
    collected(core)
    attempt = core.incident.attempt
    core.restarts("shop.1", "shop.2")
    assert (core.incident.stage, core.incident.attempt) == (Stage.WATCHING, attempt)
    grow(core, at_stage(Stage.ACTING))
    assert [t.rung for t in core.incident.tried] == [Rung.COLLECT]


def test_a_replacement_that_was_under_way_is_not_made_twice() -> None:
    core = tuned(leaking())
    assert core.incident.attempt is not None and core.incident.attempt.rung == "replace"
    assert core.places()["shop.1"] == "stable draining"
    core.restarts("shop.1", "shop.2")
    core.tick(1.0)
    assert core.serving() == ["shop.2"]
    assert not core.instance("shop.2").condemned
    assert [s.rung for s in core.node.healing.spent].count(Rung.REPLACE) == 1


def test_what_waits_for_a_person_waits_on() -> None:
    core = tuned(leaking(spec(spares=1)))
    grow(core, at_stage(Stage.ACTING))
    stage = core.incident.stage
    core.restarts(*core.node.instances)
    assert core.incident.stage is stage
