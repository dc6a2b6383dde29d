"""Orders of an administrator: what they do, and how nonsense is refused."""

import pytest

from noded.model.actions import Answer, InstallRoute, RecordNode
from noded.model.incident import Stage
from noded.model.rollout import Stage as RolloutStage
from noded.model.state import Desired
from nodespec.manifest import Autonomy
from tests.policy.build import Core, answer, none, only, rolling, running, spec, starts
from tests.policy.ladders import leaking


@pytest.mark.parametrize(
    "verb", ["start", "stop", "restart", "remove", "pause", "resume", "abort", "approve"]
)
def test_an_unknown_node_is_not_found(verb: str) -> None:
    told = answer(Core().order(verb, "shop"))
    assert (told.kind, told.text) == ("not found", "no such node: shop")


def test_an_unknown_order_is_refused() -> None:
    core = running()
    before = core.state
    assert answer(core.order("explode")).text == "unknown order: explode"
    assert core.state == before


@pytest.mark.parametrize("verb", ["start", "stop", "abort", ""])
def test_an_order_to_nobody_is_refused(verb: str) -> None:
    told = answer(Core().order(verb, ""))
    assert (told.kind, told.text) == ("refused", f"{verb} needs a node")


def test_a_start_of_what_runs_changes_nothing() -> None:
    core = running()
    actions = core.order("start")
    assert answer(actions).text == "shop is to run already"
    none(actions, RecordNode)


def test_an_old_failure_does_not_make_a_running_node_start() -> None:
    core = running()
    core.exits("shop.1")
    core.comes_up("shop.2")
    core.tick(60.0)
    assert answer(core.order("start")).text == "shop is to run already"


def test_a_start_ends_the_restart_delay() -> None:
    core = running()
    core.exits("shop.1")
    core.comes_up("shop.2")
    assert starts(core.exits("shop.2")) == []
    actions = core.order("start")
    assert starts(actions) == ["shop.3"] and answer(actions).text == "shop starts"


def test_a_stop_is_recorded_and_then_done() -> None:
    core = running()
    actions = core.order("stop")
    record = only(actions, RecordNode)
    assert (record.desired, record.reason) == ("stopped", "uid 0 ordered stop")
    assert answer(actions).text == "shop stops"
    assert core.serving() == []
    assert answer(core.order("stop")).text == "shop is to be stopped already"


def test_a_stop_ends_the_rollout() -> None:
    core = rolling()
    core.order("stop")
    assert core.rollout.stage is RolloutStage.ROLLED_BACK
    assert core.rollout.reason == "uid 0 ordered stop"


def test_what_is_being_removed_is_neither_started_nor_stopped_nor_restarted() -> None:
    core = running()
    core.order("remove")
    for verb in ("start", "stop", "restart"):
        assert answer(core.order(verb)).kind == "refused"
    assert core.node.desired is Desired.REMOVED
    assert answer(core.order("remove")).text == "shop is to be removed already"


def test_a_stopped_node_is_not_restarted() -> None:
    core = running()
    core.order("stop")
    assert answer(core.order("restart")).text == "shop is to be stopped: nodectl start shop"


def test_a_restart_forgets_the_restart_delay() -> None:
    core = running()
    core.exits("shop.1")
    core.comes_up("shop.2")
    core.exits("shop.2")
    assert starts(core.order("restart")) == ["shop.3"]


def test_the_answer_names_who_ordered_what() -> None:
    told = answer(running().order("pause"))
    assert told.reason == "uid 0 ordered pause"
    assert told.text == "shop is paused: restarts go on, nothing else"


# Rollouts


@pytest.mark.parametrize("verb", ["abort", "promote", "finish"])
def test_without_a_rollout_there_is_nothing_to_order(verb: str) -> None:
    core = running()
    refused = "no rollout of shop is under way: nodectl rollout history shop"
    assert answer(core.order(verb)).text == refused
    core.apply(spec("1.1"))
    core.order("abort")
    assert answer(core.order(verb)).text == refused


@pytest.mark.parametrize("verb", ["promote", "finish"])
def test_a_canary_that_is_not_ready_is_not_promoted(verb: str) -> None:
    core = running()
    core.apply(spec("1.1"))
    told = answer(core.order(verb))
    assert (told.kind, told.text) == (
        "refused",
        "nothing to promote, no canary was ready yet: nodectl rollout status shop",
    )


def test_an_abort_gives_the_share_back_in_the_same_step() -> None:
    core = rolling()
    actions = core.order("abort")
    assert only(actions, InstallRoute).route.share == 0.0
    assert core.rollout.reason == "uid 0 aborted it"


def test_promote_goes_one_step_and_finish_to_the_end() -> None:
    core = rolling()
    assert answer(core.order("promote")).text == "1.1 is promoted by one step"
    assert core.rollout.share == 0.5
    core.order("promote")
    assert (core.rollout.stage, core.rollout.share) == (RolloutStage.SOAK, 1.0)
    core.order("promote")
    assert core.rollout.stage is RolloutStage.PROMOTED
    core = rolling()
    assert answer(core.order("finish")).text == "1.1 is promoted to the end"
    assert core.rollout.stage is RolloutStage.PROMOTED


# Approval and pause


def test_without_anything_that_waits_there_is_nothing_to_approve() -> None:
    told = answer(running().order("approve"))
    assert told.text == "nothing of shop waits for approval: nodectl incidents shop"


def test_an_approval_lets_the_step_that_waits_go_on_once() -> None:
    core = leaking(spec(level=Autonomy.APPROVE))
    assert core.incident.stage is Stage.WAITING
    assert answer(core.order("approve")).text == "approved: collect waits for approval"
    assert core.incident.stage is Stage.ACTING
    assert answer(core.order("approve")).kind == "refused"


def test_the_host_is_paused_and_resumed_as_a_whole() -> None:
    core = running()
    paused = only(core.order("pause", ""), Answer)
    assert paused.text == "the host is paused: restarts go on, nothing else" and core.state.paused
    assert starts(core.exits("shop.1")) == ["shop.2"], "restarts go on"
    assert answer(core.order("resume", "")).text == "the host is no longer paused"
    assert not core.state.paused


def test_who_stops_a_node_has_ended_its_rollout() -> None:
    core = rolling()
    core.order("stop")
    assert core.rollout.history[-1].by == "uid 0"
