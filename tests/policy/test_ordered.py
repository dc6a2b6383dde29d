"""What a person may order of a rollout."""

from dataclasses import replace

import pytest

from noded.model.actions import Actions, ActivateInstance, Answer, InstallRoute, RecordNode
from noded.model.inputs import CommandRequested, MeshFound, TableTaken
from noded.model.rollout import Stage
from nodespec.manifest import Canary, Consumes, NodeSpec, OnFailure, OnInconclusive, Probe, Serves
from tests.policy.build import Core, answer, only, rolling, running, spec, starts


def order(core: Core, verb: str, version: str = "") -> Answer:
    return answer(ordered(core, verb, version))


def ordered(core: Core, verb: str, version: str = "") -> Actions:
    return core.tell(CommandRequested(core.at, 2, verb, "shop", "uid 0", version))


def well(core: Core, looks: int = 60) -> None:
    held = {name: core.instance(name).load.requests for name in core.node.instances}
    for _ in range(looks):
        for name in held:
            held[name] += 1000
        core.tick(1.0, counts={name: (asked, 0) for name, asked in held.items()})


def test_held_it_stays_at_its_share_until_a_person_lets_it_go_on() -> None:
    core = rolling()
    assert "stays at 10%" in order(core, "hold").text
    well(core)
    assert core.rollout.share == 0.1
    assert "goes on from 10%" in order(core, "continue").text
    well(core, 3)
    assert core.rollout.share == 0.5
    reasons = [(t.reason, t.by) for t in core.rollout.history]
    assert ("uid 0 holds it at 10%", "uid 0") in reasons and (
        "uid 0 lets it go on at 10%",
        "uid 0",
    ) in reasons


def preparing(*before: str) -> tuple[Core, list[str]]:
    core = running()
    fresh = starts(core.apply(spec("1.1")))
    for verb in before:
        order(core, verb)
    return core, fresh


@pytest.mark.parametrize("before", ["hold", "pause"])
@pytest.mark.parametrize(("verb", "stage"), [("promote", Stage.STEP), ("finish", Stage.PROMOTED)])
def test_a_person_pushes_what_was_held_before_its_first_step(before: str, verb: str, stage: Stage) -> None:
    core, fresh = preparing(before)
    core.comes_up(*fresh)
    core.tick(1.0)
    assert core.rollout.stage is Stage.PREPARING
    assert order(core, verb).kind == ""
    core.tick(1.0)
    assert core.rollout.stage is stage
    core.tick(30.0)
    assert core.rollout.share == 0.1 or stage is Stage.PROMOTED


def test_a_person_may_push_the_cure_of_a_stable_version_that_is_down() -> None:
    core, fresh = preparing()
    core.exits("shop.1")
    core.comes_up(*fresh)
    core.tick(0.5)
    assert core.rollout.stage is Stage.PREPARING, "there is nothing to compare it with"
    assert order(core, "finish").kind == ""
    core.tick(0.5)
    assert (core.rollout.stage, core.node.release.version) == (Stage.PROMOTED, "1.1")


def test_held_harm_still_ends_it() -> None:
    core = rolling()
    order(core, "hold")
    core.count({"shop.1": (90, 0), "shop.2": (10, 5)})
    assert core.rollout.stage is Stage.ROLLED_BACK


def test_to_hold_what_is_held_changes_nothing() -> None:
    core = rolling()
    order(core, "hold")
    before = core.rollout
    assert order(core, "hold").text.startswith("nothing changes")
    assert core.rollout == before


@pytest.mark.parametrize("verb", ["hold", "continue", "abort", "promote", "finish"])
def test_without_a_rollout_there_is_nothing_to_order(verb: str) -> None:
    core = running()
    got = order(core, verb)
    assert (got.kind, got.text) == (
        "refused",
        "no rollout of shop is under way: nodectl rollout history shop",
    )


def test_what_was_rolled_back_may_be_tried_again() -> None:
    core = rolling()
    order(core, "abort")
    core.leave()
    actions = ordered(core, "retry")
    assert answer(actions).text == "1.1 starts beside 1.0 and rolls out again"
    core.comes_up(*starts(actions))
    assert (core.rollout.id, core.rollout.share) == ("shop-r2", 0.1)


def test_a_canary_that_still_leaves_is_no_fault_of_the_next_try() -> None:
    core = rolling()
    order(core, "abort")
    core.tick(2.0, counts={"shop.1": (0, 0), "shop.2": (0, 0)})
    assert core.places()["shop.2"] == "canary stopping"
    actions = ordered(core, "retry")
    assert starts(actions) == ["shop.3"]
    core.tick(1.0)
    core.exits("shop.2", "signal 9")
    assert core.rollout.stage is Stage.PREPARING, core.rollout.reason
    core.comes_up("shop.3")
    assert (core.rollout.id, core.rollout.share) == ("shop-r2", 0.1)


def test_what_was_not_rolled_back_is_not_tried_again() -> None:
    core = running()
    assert order(core, "retry").kind == "refused"
    core = rolling()
    assert "is under way" in order(core, "retry").text
    order(core, "finish")
    core.tick(1.0)
    assert "was not rolled back" in order(core, "retry").text


def promoted() -> Core:
    core = rolling()
    order(core, "finish")
    core.tick(1.0)
    core.leave()
    assert core.node.release.version == "1.1"
    return core


def test_back_from_a_rollout_under_way_is_one_write() -> None:
    core = rolling()
    actions = ordered(core, "rollback")
    assert answer(actions).text == "shop is back at 1.0"
    assert only(actions, InstallRoute).route.share == 0.0
    assert core.rollout.history[-1].by == "uid 0"


def test_back_to_the_release_before_takes_all_at_once_and_keeps_the_other_warm() -> None:
    core = promoted()
    actions = ordered(core, "rollback")
    assert answer(actions).text == "1.0 starts beside 1.1 and takes all as soon as it is ready"
    core.comes_up(*starts(actions))
    assert (core.rollout.stage, core.rollout.share) == (Stage.SOAK, 1.0)
    core.tick(25.0)
    assert core.rollout.stage is Stage.PROMOTED
    assert core.all_of(RecordNode)[-1].version == "1.0"


def test_who_returns_from_a_version_that_crashes_all_the_time_does_not_wait_for_it() -> None:
    core = promoted()
    for _ in range(8):
        while not starts(core.tick(1.0)) and not core.node.instances:
            pass
        (name,) = core.node.instances
        core.exits(name)
    assert core.node.backoff.until - core.at > 20.0
    fresh = starts(ordered(core, "rollback"))
    assert fresh and core.instance(fresh[-1]).version == "1.0"
    core.comes_up(*fresh)
    core.exits(fresh[0])
    core.tick(25.0)
    assert (core.rollout.stage, core.node.release.version) == (Stage.PROMOTED, "1.0")
    assert core.node.backoff.failures == 0


def test_a_pause_of_the_node_does_not_hold_up_who_returns() -> None:
    core = promoted()
    order(core, "pause")
    core.comes_up(*starts(ordered(core, "rollback")))
    assert (core.rollout.stage, core.rollout.share) == (Stage.SOAK, 1.0)


def test_back_to_a_release_by_its_name() -> None:
    core = promoted()
    core.comes_up(*starts(core.apply(spec("1.2"))))
    order(core, "finish")
    core.tick(1.0)
    core.leave()
    assert order(core, "rollback", "1.7").text == (
        "shop has no release 1.7 that ran here and is still kept; there are: 1.0, 1.1"
    )
    assert order(core, "rollback", "1.2").text == "shop runs 1.2 already"
    assert order(core, "rollback", "1.0").kind == ""


def test_nothing_ran_before() -> None:
    assert "no release of shop ran before" in order(running(), "rollback").text


def test_a_stopped_node_is_not_brought_back() -> None:
    core = promoted()
    order(core, "stop")
    assert order(core, "rollback").text == "shop is to be stopped: nodectl start shop"


# Freeze


def frozen() -> Core:
    plan = replace(spec("1.1").rollout, on_failure=OnFailure.FREEZE)
    core = rolling(spec(), replace(spec("1.1"), rollout=plan))
    core.count({"shop.1": (90, 0), "shop.2": (10, 5)})
    return core


def test_where_going_back_does_harm_a_person_decides() -> None:
    core = frozen()
    assert (core.rollout.stage, core.rollout.share) == (Stage.STEP, 0.1)
    assert core.rollout.frozen.startswith("the canary is worse")
    held = len(core.rollout.history)
    core.count({"shop.1": (900, 0), "shop.2": (100, 50)})
    assert len(core.rollout.history) == held, "told once"
    order(core, "abort")
    assert core.rollout.stage is Stage.ROLLED_BACK


def test_a_frozen_one_does_not_go_on_because_nobody_holds_it() -> None:
    core = frozen()
    held = core.rollout
    for verb in ("continue", "hold"):
        told = order(core, verb)
        assert (told.kind, told.text) == (
            "refused",
            "1.1 stays frozen at 10% until a person promotes or aborts it: nodectl rollout abort shop",
        )
    assert core.rollout == held


def test_the_way_out_stands_at_the_end_of_a_refusal() -> None:
    told = order(rolling(), "rollback", "0.9")
    assert told.text.endswith("it goes back to 1.0 only, end it first: nodectl rollout abort shop")


def test_a_person_may_go_on_with_a_frozen_one() -> None:
    core = frozen()
    order(core, "promote")
    assert (core.rollout.share == 0.5 and core.rollout.frozen == "") or core.rollout.frozen


def test_a_frozen_canary_that_ends_is_not_started_again() -> None:
    core = frozen()
    assert starts(core.exits("shop.2")) == []
    core.tick(60.0)
    assert core.rollout.stage is Stage.STEP
    assert core.node.route is not None and core.node.route.share == 0.0


# Inconclusive


@pytest.mark.parametrize(
    ("policy", "share"),
    [(OnInconclusive.HOLD, 0.1), (OnInconclusive.WIDEN, 0.5), (OnInconclusive.PROMOTE, 1.0)],
)
def test_what_the_figures_do_not_decide_goes_as_the_plan_says(policy: OnInconclusive, share: float) -> None:
    plan = replace(spec("1.1").rollout, max_dwell=60.0, on_inconclusive=policy)
    core = rolling(spec(), replace(spec("1.1"), rollout=plan))
    for _ in range(3):
        core.tick(61.0)
    assert core.rollout.share == share or core.rollout.stage is Stage.PROMOTED
    assert any("inconclusive after 61 s" in t.reason for t in core.rollout.history)
    if policy is OnInconclusive.HOLD:
        assert sum("inconclusive" in t.reason for t in core.rollout.history) == 1, "told once"


# Which versions run side by side


def test_a_consumer_of_events_rolls_out_by_its_share_of_them() -> None:
    eats = (Consumes("shop.order.placed"),)
    core = Core()
    core.tell(MeshFound(core.at, "m1"))
    core.apply(spec(port=None, consumes=eats))
    core.comes_up(*starts(core.tell(TableTaken(core.at, core.state.mesh.number))))
    actions = core.apply(spec("1.1", port=None, consumes=eats))
    assert "rolls out" in answer(actions).text
    core.comes_up(*starts(actions))
    assert core.node.part is not None
    assert (core.node.part.canary, core.node.part.share) == ("1.1", 0.1)
    assert len(starts(core.exits("shop.1"))) == 1, "stable keeps its capacity beside the canary"


def test_one_that_acts_as_soon_as_it_runs_is_replaced() -> None:
    eats = (Consumes("shop.order.placed"),)
    core = running(spec(port=None, consumes=eats, readiness=Probe.NOTIFY))
    text = answer(core.apply(spec("1.1", port=None, consumes=eats, readiness=Probe.NOTIFY))).text
    assert text.endswith("1.1 replaces 1.0 instance by instance")


def test_another_protocol_is_no_share_of_the_same_traffic() -> None:
    core = running()
    new = replace(spec("1.1"), serves=Serves(8100, protocol="grpc"))  # type: ignore[arg-type]
    assert "changes its protocol to grpc" in answer(core.apply(new)).text


def eating(version: str = "1.0", instances: int = 4) -> NodeSpec:
    """It consumes events, and fetches other work itself."""
    made = spec(version, port=None, instances=instances, consumes=(Consumes("shop.order.placed"),))
    return replace(made, rollout=replace(made.rollout, canary=Canary.INSTANCES))


def test_events_are_dealt_to_canaries_as_they_are_judged() -> None:
    core = Core()
    core.tell(MeshFound(core.at, "m1"))
    core.apply(eating())
    core.comes_up(*starts(core.tell(TableTaken(core.at, core.state.mesh.number))))
    core.comes_up(*starts(core.apply(eating("1.1"))))
    for canaries in (1, 2, 4):
        assert core.node.part is not None and core.rollout.now is not None
        assert core.rollout.now.dealt == core.node.part.share == pytest.approx(canaries / (canaries + 4))
        core.comes_up(*starts(ordered(core, "promote")))
        core.comes_up(*starts(core.tick(1.0)))
    core.tick(1.0)
    assert core.rollout.stage is Stage.PROMOTED
    core.leave()
    core.comes_up(*starts(ordered(core, "rollback")))
    assert core.node.part is not None and core.rollout.now is not None
    assert (core.rollout.now.dealt, core.node.part.share) == (0.0, 1.0)


def test_canaries_that_fetch_their_work_act_from_the_first_step() -> None:
    plan = replace(spec("1.1").rollout, canary=Canary.INSTANCES)
    old, new = spec(port=None, instances=4), spec("1.1", port=None, instances=4)
    core = running(old)
    fresh = starts(core.apply(replace(new, rollout=plan)))
    assert len(fresh) == 1, "a tenth of four instances"
    core.started(fresh[0])
    actions = core.ready(fresh[0])
    assert only(actions, ActivateInstance).instance == fresh[0]
    order(core, "promote")
    core.tick(1.0)
    assert len([i for i in core.node.instances.values() if i.version == "1.1"]) == 2
    assert core.rollout.now is not None and core.rollout.now.dealt == pytest.approx(2 / 6)
