"""The rules that are never broken, each by its name, as far as decisions alone can break them."""

import pytest

from noded.model.actions import (
    ActivateInstance,
    BeginProfile,
    CollectGarbage,
    InstallRoute,
    KillInstance,
    RecordNode,
    RecordRelease,
    Regenerate,
    RestoreCaches,
    ShrinkCaches,
    StopInstance,
)
from noded.model.incident import Stage
from noded.model.rollout import Stage as RolloutStage
from noded.model.route import Place
from nodespec.manifest import Autonomy, Rung
from tests.policy.build import Core, answer, none, only, proposed, rolling, running, spec, starts
from tests.policy.ladders import at_stage, grow, leaking, tuned


def place(core: Core, name: str) -> Place | None:
    servers = core.node.route.servers if core.node.route else ()
    return next((server.place for server in servers if server.instance == name), None)


@pytest.mark.parametrize("verb", ["restart", "stop"])
def test_rule_1_nobody_is_stopped_before_the_proxy_sends_it_nothing_more(verb: str) -> None:
    core = running(spec(spares=1))
    actions = core.order(verb)
    none(actions, StopInstance)
    none(actions, KillInstance)
    assert place(core, "shop.1") is Place.DRAINING
    core.leave()
    assert place(core, "shop.1") is None


def test_rule_1_a_rollback_begins_with_the_share() -> None:
    core = rolling()
    actions = core.order("abort")
    assert only(actions, InstallRoute).route.share == 0.0
    none(actions, StopInstance)


def test_rule_2_stable_keeps_its_capacity_until_the_soak_has_passed() -> None:
    core = rolling(spec(instances=2), spec("1.1", instances=2))
    for _ in range(2):
        core.order("promote")
        assert core.serving() == ["shop.1", "shop.2"]
    assert core.rollout.stage is RolloutStage.SOAK
    core.tick(19.0)
    assert core.serving() == ["shop.1", "shop.2"]
    core.tick(1.0)
    assert core.serving() == ["shop.3", "shop.4"]


def test_rule_3_one_healing_action_of_a_node_at_a_time() -> None:
    core = leaking(spec(instances=3, spares=1))
    acts = (CollectGarbage, ShrinkCaches, RestoreCaches, BeginProfile)
    assert [a.instance for a in core.done if isinstance(a, acts)] == ["shop.1", "shop.1"]
    tuned(core)
    assert [i.id for i in core.node.instances.values() if i.condemned] == ["shop.1"]


def test_rule_4_evidence_comes_first_and_what_does_not_help_is_undone() -> None:
    core = tuned(leaking(spec(spares=1)))
    healing = (BeginProfile, CollectGarbage, ShrinkCaches, RestoreCaches)
    order = [type(a).__name__ for a in core.done if isinstance(a, healing)]
    assert order == ["BeginProfile", "CollectGarbage", "ShrinkCaches", "RestoreCaches"]
    assert core.incident.sites


def test_rule_5_a_machine_written_change_is_a_release_with_a_canary() -> None:
    healed = spec("1.0+heal.1", spares=1, ladder=(Rung.REGENERATE,))
    core = leaking(spec(spares=1, ladder=(Rung.REGENERATE,)))
    assert core.all_of(Regenerate)
    actions = core.tell(proposed(core.at, "shop-1", healed))
    assert only(actions, RecordRelease).origin == "incident shop-1"
    none(actions, RecordNode)
    core.comes_up("shop.3")
    assert place(core, "shop.3") is Place.CANARY and core.rollout.share == 0.1


def test_rule_6_a_crash_is_answered_while_new_code_is_being_written() -> None:
    core = leaking(spec(spares=1, ladder=(Rung.REGENERATE,)))
    assert core.incident.stage is Stage.ACTING
    actions = core.exits("shop.1")
    assert only(actions, ActivateInstance).instance == "shop.2" and starts(actions) == ["shop.3"]


def test_rule_8_every_step_is_told_with_its_reason() -> None:
    core = tuned(leaking(spec(spares=1)))
    core.exits("shop.1")
    core.order("restart")
    assert [a for a in core.done if not getattr(a, "reason", "") and not getattr(a, "text", "")] == []


@pytest.mark.parametrize("whom", ["shop", ""])
def test_rule_9_all_of_healing_can_be_stopped(whom: str) -> None:
    core = leaking(spec(spares=1, level=Autonomy.APPROVE))
    core.order("pause", whom)
    core.order("approve")
    none(core.tick(60.0), CollectGarbage)
    core.order("resume", whom)
    core.tick(1.0)
    assert core.all_of(CollectGarbage)


def test_rule_9_a_rollout_can_be_stopped_and_undone() -> None:
    core = rolling()
    core.order("abort")
    core.leave()
    assert core.places() == {"shop.1": "stable ready"}
    assert core.node.release.version == "1.0"


def test_rule_10_a_bad_apply_changes_nothing_and_says_why() -> None:
    core = running()
    before = core.state
    told = answer(core.apply(spec(port=9999, name="till")))
    assert told.kind == "refused" and "[proxy] ports in noded.toml" in told.text
    assert core.state == before


def test_rule_10_advice_is_no_act() -> None:
    core = leaking(spec(spares=1, level=Autonomy.ADVISE))
    grow(core, at_stage(Stage.NEEDS_PERSON))
    assert [t.verdict for t in core.incident.tried] == ["advised"] * 4
