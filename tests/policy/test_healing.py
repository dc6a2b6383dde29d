"""A leak is found, treated rung by rung, compared after each, and handed to a person when nothing helps."""

from dataclasses import replace

import pytest

from noded.model.actions import (
    BeginProfile,
    CancelRegeneration,
    CollectGarbage,
    EndProfile,
    Regenerate,
    RestoreCaches,
    ShrinkCaches,
)
from noded.model.incident import Stage, Verdict
from noded.model.inputs import ActionFailed, GarbageCollected, MemoryProfiled
from noded.model.instance import Instance
from nodespec.manifest import Autonomy, Levels, Rung
from tests.policy.build import MB, SITE, Core, none, only, running, spec
from tests.policy.ladders import at_stage, collected, evident, found, grow, leaking, shrunk, tuned

TUNE_ONLY = Levels(tune=Autonomy.ACT, replace=Autonomy.OFF, regenerate=Autonomy.OFF)


def verdicts(core: Core) -> list[tuple[str, str]]:
    return [(t.rung.value, t.verdict.value) for t in core.incident.tried]


def settle_down(core: Core, until: str, memory: int = 40 * MB) -> None:
    """Memory that stays where it is, until the stage is so."""
    for _ in range(300):
        if core.incident.stage.value == until:
            return
        core.tick(1.0, {i.id: memory for i in core.node.instances.values() if i.serves})
    raise AssertionError(core.incident)


# Evidence first


def test_a_finding_opens_an_incident_and_gathers_evidence_before_anything_is_changed() -> None:
    core = running(spec(spares=1))
    grow(core, found)
    assert core.incident.id == "shop-1" and core.incident.stage is Stage.EVIDENCE
    assert "shop.1 grows 120.0 MiB/min" in core.incident.finding
    begin = only(tuple(core.done), BeginProfile)
    assert begin.reason == "evidence for shop-1 before anything changes it"
    none(tuple(core.done), CollectGarbage)
    grow(core, lambda core: core.incident.profiled)
    assert only(tuple(core.done), EndProfile).instance == "shop.1"
    core.tell(MemoryProfiled(core.at, "shop", "shop.1", (SITE,)))
    assert core.incident.sites == (SITE,)
    assert only(tuple(core.done), CollectGarbage).instance == "shop.1"


def test_one_incident_at_a_time() -> None:
    core = running(spec(instances=2))
    grow(core, found)
    grow(core, lambda core: core.incident.stage is Stage.CHOOSING or core.at > 1060, seconds=120)
    assert len(core.all_of(BeginProfile)) == 1


@pytest.mark.parametrize("action", ["BeginProfile", "EndProfile"])
def test_without_evidence_the_node_is_treated_all_the_same(action: str) -> None:
    core = running()
    grow(core, found)
    actions = core.tell(ActionFailed(core.at, action, "shop", "shop.1", "NotFound", "no SDK"))
    assert only(actions, CollectGarbage)


def test_evidence_that_never_comes_is_waited_for_and_no_longer() -> None:
    core = running()
    grow(core, found)
    began = core.at
    grow(core, at_stage(Stage.ACTING))
    assert 20.0 <= core.at - began <= 21.0


# Then act, then compare


def test_a_rung_that_holds_ends_the_climb() -> None:
    core = leaking(spec(spares=1))
    collected(core, freed=40 * MB)
    settle_down(core, Stage.HOLDING)
    assert verdicts(core) == [("collect", "held")]
    tried = core.incident.tried[-1]
    assert tried.freed == 40 * MB and tried.detail.startswith("40.0 MiB freed; memory grows 0.0 MiB/min")
    for _ in range(400):
        if core.node.healing.now is None:
            break
        core.tick(1.0, {"shop.1": 40 * MB})
    assert core.node.healing.now is None
    assert core.node.healing.past[-1].stage is Stage.RESOLVED
    assert core.node.healing.past[-1].outcome.startswith("collect held")


def test_what_was_concluded_before_a_rung_is_forgotten_with_it() -> None:
    """A finding over minutes stands for minutes: it must not count against what was done since."""
    core = running(spec(settle=30.0, memory=200 * MB))
    grow(core, found, leak=0.05 * MB, seconds=4000)
    grow(core, lambda core: core.incident.profiled, leak=0.05 * MB)
    core.tell(MemoryProfiled(core.at, "shop", "shop.1", (SITE,)))
    collected(core, freed=30 * MB)
    settle_down(core, Stage.HOLDING)
    for _ in range(150):
        core.tick(1.0, {"shop.1": 40 * MB})
        assert core.incident.stage is Stage.HOLDING


def test_memory_that_grows_on_leads_to_the_next_rung() -> None:
    core = leaking()
    collected(core)
    grow(core, at_stage(Stage.ACTING))
    assert verdicts(core) == [("collect", "did not hold")]
    shrink = core.all_of(ShrinkCaches)[-1]
    assert (shrink.fraction, shrink.reason) == (0.5, "shop-1: collect did not hold")
    none(tuple(core.done), RestoreCaches)


def test_worse_than_before_means_undo() -> None:
    core = tuned(leaking())
    undo = core.all_of(RestoreCaches)
    assert [(a.instance, a.reason) for a in undo] == [("shop.1", "smaller caches did not help")]
    assert verdicts(core)[:2] == [("collect", "did not hold"), ("shrink", "did not hold")]


def test_growth_that_comes_back_goes_on_where_the_climb_ended() -> None:
    core = leaking(spec(spares=1))
    collected(core, freed=40 * MB)
    settle_down(core, Stage.HOLDING)
    start = core.at
    for _ in range(300):
        if core.incident.stage is Stage.ACTING:
            break
        core.tick(1.0, {"shop.1": int(40 * MB + 2 * MB * (core.at - start))})
    assert core.incident.attempt is not None and core.incident.attempt.rung is Rung.SHRINK
    assert core.incident.id == "shop-1"


def test_an_answer_that_does_not_come_is_a_failed_rung() -> None:
    core = leaking()
    began = core.at
    grow(core, lambda core: bool(core.incident.tried))
    assert verdicts(core) == [("collect", "failed")]
    assert core.incident.tried[0].detail == "shop.1 did not answer in 15 s"
    assert core.at - began <= 17.0


@pytest.mark.parametrize(("action", "closes"), [("CollectGarbage", True), ("ShrinkCaches", False)])
def test_an_order_that_failed_closes_its_own_rung_only(action: str, closes: bool) -> None:
    core = leaking()
    core.tell(ActionFailed(core.at, action, "shop", "shop.1", "TimedOut", "no answer in 12 s"))
    assert verdicts(core) == ([("collect", "failed")] if closes else [])


def test_a_late_answer_to_the_rung_before_says_nothing_of_this_one() -> None:
    core = leaking()
    grow(core, lambda core: core.incident.attempt is not None and core.incident.attempt.rung is Rung.SHRINK)
    core.tell(GarbageCollected(core.at, "shop", "shop.1", 90 * MB, 80 * MB, 1))
    assert core.incident.stage is Stage.ACTING
    shrunk(core)
    assert core.incident.stage is Stage.WATCHING


def test_evidence_that_comes_late_does_not_stop_what_was_begun() -> None:
    core = leaking()
    core.tell(MemoryProfiled(core.at, "shop", "shop.1", ()))
    assert core.incident.stage is Stage.ACTING and core.incident.sites == (SITE,)


def test_an_answer_of_another_instance_says_nothing() -> None:
    core = leaking(spec(instances=2))
    core.tell(GarbageCollected(core.at, "shop", "shop.2", 90 * MB, 80 * MB, 1))
    assert core.incident.stage is Stage.ACTING


# The patient goes


@pytest.mark.parametrize("point", ["evidence", "acting", "watching"])
def test_when_the_patient_dies_its_successors_are_watched_and_none_is_replaced(point: str) -> None:
    core = running(spec(spares=1))
    grow(core, found)
    if point != "evidence":
        evident(core)
    if point == "watching":
        collected(core)
    core.exits("shop.1", "out of memory")
    core.comes_up(f"shop.{core.node.serial}")
    core.tick(1.0, {"shop.2": 30 * MB})
    assert core.incident.stage is Stage.HOLDING
    assert core.incident.outcome == "shop.1 is gone: its successors are watched"
    assert [i.condemned for i in core.node.instances.values()] == ["", ""]
    grow(core, at_stage(Stage.ACTING), leak=4 * MB)
    assert core.incident.instance == "shop.2"


def test_when_a_person_restarts_the_node_no_successor_is_treated_for_what_it_has_not_shown() -> None:
    core = running(spec(spares=1))
    grow(core, found)
    core.order("restart")
    core.tell(MemoryProfiled(core.at, "shop", "shop.1", (SITE,)))
    none(tuple(core.done), CollectGarbage)
    assert core.incident.stage is Stage.HOLDING


def test_trouble_that_does_not_come_back_is_closed() -> None:
    core = running(spec(spares=1, settle=10.0))
    grow(core, found)
    core.exits("shop.1")
    core.tick(101.0, {"shop.2": 30 * MB})
    assert core.node.healing.now is None
    assert core.node.healing.past[-1].outcome == "it went away by itself"


# What makes it moot


@pytest.mark.parametrize("verb", ["stop", "remove"])
def test_a_node_that_is_not_to_run_is_not_healed(verb: str) -> None:
    core = leaking()
    core.order(verb)
    assert core.node.healing.now is None
    assert core.node.healing.past[-1].outcome == f"shop is to be {'stopped' if verb == 'stop' else 'removed'}"
    for _ in range(30):
        core.tick(1.0)
    none(tuple(core.done), ShrinkCaches)


def test_a_regeneration_of_what_is_stopped_is_cancelled() -> None:
    core = tuned(leaking())
    grow(core, lambda core: bool(core.all_of(Regenerate)))
    assert only(core.order("stop"), CancelRegeneration).incident == "shop-1"


def test_a_version_of_a_person_makes_an_incident_of_the_old_one_moot() -> None:
    core = tuned(leaking(spec(spares=1)))
    grow(core, lambda core: bool(core.all_of(Regenerate)))
    core.apply(spec("1.1", spares=1))
    core.comes_up(f"shop.{core.node.serial}")
    actions = core.order("finish")
    assert only(actions, CancelRegeneration).reason == "version 1.1 has taken over"
    assert core.node.healing.now is None
    assert core.node.healing.past[-1].outcome == "version 1.1 has taken over"


def test_a_replaced_version_without_a_rollout_makes_it_moot_too() -> None:
    core = leaking(spec(port=None))
    core.apply(spec("1.1", port=None))
    assert core.node.healing.past[-1].outcome == "version 1.1 has taken over"


# Pause, rollouts


@pytest.mark.parametrize("whom", ["shop", ""])
def test_paused_nothing_is_begun(whom: str) -> None:
    core = running()
    core.order("pause", whom)
    for second in range(100):
        core.tick(1.0, {"shop.1": 30 * MB + second * 2 * MB})
    assert core.node.healing.now is None
    none(tuple(core.done), BeginProfile)
    core.order("resume", whom)
    core.tick(1.0, {"shop.1": 232 * MB})
    assert core.incident.stage is Stage.EVIDENCE


def test_paused_no_rung_is_climbed_but_a_profile_is_ended() -> None:
    core = running()
    grow(core, found)
    core.order("pause")
    grow(core, lambda core: core.incident.profiled)
    assert only(tuple(core.done), EndProfile)
    core.tell(MemoryProfiled(core.at, "shop", "shop.1", (SITE,)))
    core.tick(30.0)
    assert core.incident.stage is Stage.CHOOSING
    none(tuple(core.done), CollectGarbage)
    assert only(core.order("resume"), CollectGarbage)


def test_while_a_rollout_is_under_way_the_ladder_waits() -> None:
    core = running(spec(spares=1))
    grow(core, found)
    core.apply(spec("1.1", spares=1))
    core.tell(MemoryProfiled(core.at, "shop", "shop.1", (SITE,)))
    core.tick(1.0)
    assert core.incident.stage is Stage.CHOOSING
    none(tuple(core.done), CollectGarbage)
    assert only(core.order("abort"), CollectGarbage)


def test_growth_during_a_rollout_is_not_taken_up() -> None:
    core = running()
    core.apply(spec("1.1", start_timeout=1000.0))
    for second in range(100):
        core.tick(1.0, {"shop.1": 30 * MB + second * 2 * MB})
    assert core.node.healing.now is None


# Invariants


def test_past_incidents_are_kept_within_bounds() -> None:
    core = leaking()
    node, now = core.node, core.incident
    past = tuple(replace(now, id=f"shop-{n}", stage=Stage.RESOLVED) for n in range(10))
    core.state = core.state.holding(replace(node, healing=replace(node.healing, past=past)))
    core.order("stop")
    kept = [i.id for i in core.node.healing.past]
    assert len(kept) == 10 and kept[-1] == "shop-1" and kept[0] == "shop-1"


def test_every_open_attempt_belongs_to_an_instance_or_has_ended() -> None:
    core = leaking()
    for _ in range(120):
        now = core.node.healing.now
        if now is not None and now.attempt is not None and now.stage in (Stage.ACTING, Stage.WATCHING):
            patient: Instance | None = core.node.instances.get(now.attempt.instance)
            assert patient is not None or now.attempt.rung in (Rung.REPLACE, Rung.REGENERATE)
        core.tick(1.0, {i.id: 60 * MB for i in core.node.instances.values()})
    assert core.node.healing.now is None or core.incident.tried[-1].verdict in tuple(Verdict)
