"""Which rung comes next is decided by ladder, autonomy and budget, and by what was tried."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noded.model.actions import Action, CollectGarbage, Regenerate, ShrinkCaches
from noded.model.incident import Report, Stage, Verdict
from noded.model.inputs import RegenerationFailed
from noded.policy import rungs
from nodespec.manifest import Autonomy, Budget, Levels, Rung
from tests.policy.build import MB, Core, none, only, running, spec, starts
from tests.policy.ladders import at_stage, collected, evident, grow, leaking, shrunk, tuned

ACT, OFF = Autonomy.ACT, Autonomy.OFF
NO_REGENERATION = Levels(tune=ACT, replace=ACT, regenerate=OFF)


def told(core: Core) -> list[str]:
    return [f"{t.rung} {t.verdict}: {t.detail}" for t in core.incident.tried]


def ended(core: Core) -> Core:
    """The ladder was climbed to its end."""
    grow(core, at_stage(Stage.NEEDS_PERSON, Stage.HOLDING))
    return core


def test_the_ladder_is_climbed_in_its_order() -> None:
    core = tuned(leaking())
    assert core.incident.attempt is not None and core.incident.attempt.rung is Rung.REPLACE
    grow(core, lambda core: bool(core.all_of(Regenerate)))
    assert [f"{t.rung} {t.verdict}" for t in core.incident.tried] == [
        "collect did not hold",
        "shrink did not hold",
        "replace bought time",
    ]
    order = core.all_of(Regenerate)[-1]
    assert (order.version, order.next_version) == ("1.0", "1.0+heal.1")
    assert order.sites == core.incident.sites
    assert order.tried == ("collect: did not hold", "shrink: did not hold", "replace: bought time")


def test_only_the_rungs_of_the_ladder_are_climbed() -> None:
    core = leaking(spec(spares=1, ladder=(Rung.SHRINK,)))
    none(tuple(core.done), CollectGarbage)
    shrunk(core)
    ended(core)
    assert core.incident.outcome == "no step is left: shrink did not hold"


def test_an_empty_ladder_is_handed_to_a_person() -> None:
    core = leaking(spec(ladder=()))
    core.tick(1.0)
    assert core.incident.stage is Stage.NEEDS_PERSON
    assert core.incident.outcome == "no step is left: the ladder is empty"


@pytest.mark.parametrize(
    ("level", "verdict"),
    [
        (Autonomy.OFF, "skipped: autonomy is off"),
        (Autonomy.OBSERVE, "observed: autonomy is observe: noted only"),
        (Autonomy.ADVISE, "advised: advised: collect garbage (autonomy tune is advise)"),
    ],
)
def test_without_leave_to_act_nothing_is_done_and_all_is_told(level: Autonomy, verdict: str) -> None:
    core = leaking(spec(spares=1, level=level))
    ended(core)
    for kind in (CollectGarbage, ShrinkCaches, Regenerate):
        none(tuple(core.done), kind)
    assert told(core)[0] == f"collect {verdict}"
    assert len(told(core)) == 4 and core.incident.stage is Stage.NEEDS_PERSON
    assert not any(i.condemned for i in core.node.instances.values())


def test_advice_names_the_command() -> None:
    core = ended(leaking(spec(spares=1, level=Autonomy.ADVISE)))
    assert "replace shop.1: nodectl restart shop" in told(core)[2]


@pytest.mark.parametrize("rung", list(Rung))
def test_every_rung_that_needs_approval_waits_for_it(rung: Rung) -> None:
    core = leaking(spec(spares=1, level=Autonomy.APPROVE, ladder=(rung,)))
    assert core.incident.stage is Stage.WAITING
    assert core.incident.outcome == f"{rung} waits for approval"
    before = core.node.healing.spent
    core.tick(3600.0, {"shop.1": 200})
    assert core.incident.stage is Stage.WAITING and core.node.healing.spent == before == ()
    core.order("approve")
    assert [s.rung for s in core.node.healing.spent] == [rung]


def test_an_approval_is_for_one_rung() -> None:
    core = leaking(spec(spares=1, level=Autonomy.APPROVE))
    core.order("approve")
    collected(core)
    grow(core, at_stage(Stage.WAITING))
    assert core.incident.outcome == "shrink waits for approval"
    none(tuple(core.done), ShrinkCaches)


def test_an_approved_rung_waits_for_the_rollout() -> None:
    core = leaking(spec(spares=1, level=Autonomy.APPROVE))
    core.apply(spec("1.1", spares=1))
    none(core.order("approve"), CollectGarbage)
    assert only(core.order("abort"), CollectGarbage)


# Budgets


def test_a_spent_budget_skips_the_rung_once() -> None:
    core = tuned(leaking(spec(spares=1, budget=Budget(replace=0, regenerate=0))))
    assert core.incident.stage is Stage.NEEDS_PERSON
    assert told(core)[2:] == [
        "replace skipped: its budget of 0 replacements a day is spent",
        "regenerate skipped: its budget of 0 regenerations a day is spent",
    ]
    grow(core, lambda core: core.at % 7 == 0, leak=0.0)
    assert len(told(core)) == 4


def test_without_evidence_no_code_is_written() -> None:
    core = running(spec(ladder=(Rung.REGENERATE,)))
    grow(core, at_stage(Stage.NEEDS_PERSON))
    assert told(core) == [
        "regenerate skipped: the evidence names no line of code: the memory profile was not available"
    ]


def test_a_node_without_requests_gets_no_machine_written_version() -> None:
    core = leaking(spec(port=None, ladder=(Rung.REGENERATE,)))
    core.tick(1.0)
    assert told(core) == ["regenerate skipped: it takes no requests: two versions of it cannot be compared"]


# Replacing


def replacements(core: Core) -> int:
    return sum(1 for s in core.node.healing.spent if s.rung is Rung.REPLACE)


def settle(core: Core) -> None:
    """Spares come up, drained instances go."""
    core.leave()
    core.comes_up(*[i.id for i in core.node.instances.values() if not i.ready_at])


def test_one_finding_is_one_replacement() -> None:
    core = tuned(leaking(spec(spares=1, levels=NO_REGENERATION)))
    ended(core)
    for _ in range(10):
        core.tick(0.2)
    assert replacements(core) == 1
    assert core.serving() == ["shop.2"] and not core.instance("shop.2").condemned


def test_growth_that_comes_back_after_it_held_is_one_replacement_too() -> None:
    core = leaking(
        spec(spares=1, levels=NO_REGENERATION, ladder=(Rung.COLLECT, Rung.REPLACE, Rung.REGENERATE))
    )
    collected(core, freed=60 * MB)
    for _ in range(60):
        core.tick(1.0, {"shop.1": 40 * MB})
    assert core.incident.stage is Stage.HOLDING
    start = core.at
    for _ in range(200):
        if replacements(core):
            break
        core.tick(1.0, {"shop.1": int(40 * MB + 2 * MB * (core.at - start))})
    for _ in range(10):
        core.tick(0.2)
    assert replacements(core) == 1 and len(core.incident.tried) <= 3


def test_a_successor_that_leaks_is_replaced_until_the_budget_is_spent() -> None:
    core = leaking(spec(spares=1, levels=NO_REGENERATION, budget=Budget(replace=3), ladder=(Rung.REPLACE,)))
    for number in range(1, 4):
        grow(core, lambda core, n=number: replacements(core) == n)  # type: ignore[misc]
        settle(core)
    grow(core, at_stage(Stage.NEEDS_PERSON))
    assert core.incident.outcome == ("shop.4 grows 120.0 MiB/min and no step is left that may be taken")
    before = core.incident.tried
    grow(core, lambda core: core.instance(core.serving()[0]).vitals.memory > 240 * MB)
    assert replacements(core) == 3
    assert core.incident.tried == before, "nothing is tried over and over"


def test_growth_that_comes_back_at_the_end_of_the_ladder_is_told() -> None:
    core = leaking(spec(ladder=(Rung.COLLECT,)))
    collected(core, freed=60 * MB)
    for _ in range(60):
        core.tick(1.0, {"shop.1": 40 * MB})
    assert core.incident.stage is Stage.HOLDING
    grow(core, at_stage(Stage.NEEDS_PERSON))
    assert core.incident.outcome.startswith("shop.1 grows 120.0 MiB/min")


def test_another_replacement_may_need_another_approval() -> None:
    levels = Levels(tune=ACT, replace=Autonomy.APPROVE, regenerate=OFF)
    core = leaking(spec(spares=1, levels=levels, ladder=(Rung.REPLACE,)))
    core.order("approve")
    assert replacements(core) == 1
    settle(core)
    grow(core, at_stage(Stage.WAITING))
    assert core.incident.instance == "shop.2"
    core.order("approve")
    assert replacements(core) == 2


def test_a_spare_is_started_when_there_is_none() -> None:
    core = leaking(spec(ladder=(Rung.REPLACE,)))
    assert starts(core.done) == ["shop.1", "shop.2"]
    assert core.serving() == ["shop.1"], "it serves until its successor does"
    core.comes_up("shop.2")
    assert core.serving() == ["shop.2"]


# Regenerating again


def test_a_failed_regeneration_is_not_repeated_for_the_same_finding() -> None:
    core = leaking(spec(spares=1, ladder=(Rung.REGENERATE,)))
    failed = RegenerationFailed(core.at, "shop", "shop-1", Report("none", "no cache is unbounded"))
    core.tell(failed)
    ended(core)
    assert told(core) == ["regenerate failed: no cache is unbounded"]
    assert len(core.all_of(Regenerate)) == 1


def test_the_next_version_is_one_nobody_has() -> None:
    core = leaking(spec("1.0+heal.1", spares=1, ladder=(Rung.REGENERATE,)))
    assert core.all_of(Regenerate)[-1].next_version == "1.0+heal.2"


# Invariants

LEVELS = st.sampled_from(list(Autonomy))


@settings(max_examples=15)
@given(
    st.builds(Levels, tune=LEVELS, replace=LEVELS, regenerate=LEVELS),
    st.sets(st.sampled_from(list(Rung))).map(lambda rungs: tuple(r for r in Rung if r in rungs)),
    st.integers(0, 2),
    st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_the_ladder_goes_up_and_ends(
    levels: Levels, ladder: tuple[Rung, ...], budget: int, answers: list[bool]
) -> None:
    core = running(spec(spares=1, levels=levels, ladder=ladder, budget=Budget(budget, budget)))
    evident(core)
    for answered in answers:
        grow(core, at_stage(*Stage), seconds=1)
        acted: list[Action] = [a for a in core.done if isinstance(a, CollectGarbage | ShrinkCaches)]
        attempt = core.incident.attempt
        if core.incident.stage is Stage.WAITING:
            core.order("approve")
        elif answered and attempt is not None and core.incident.stage is Stage.ACTING and acted:
            collected(core) if attempt.rung is Rung.COLLECT else shrunk(core)
        for _ in range(8):
            core.tick(2.0, {i.id: int(2e6 * (core.at - i.ready_at)) for i in core.node.instances.values()})
    climbed = [t.rung for t in core.incident.tried]
    first = list(dict.fromkeys(climbed))
    assert first == [r for r in ladder if r in first], "in the order of the ladder"
    assert all(climbed.count(r) == 1 for r in first if r is not Rung.REPLACE)
    assert all(replacements(core) <= budget for _ in [0])


@pytest.mark.parametrize("level", [OFF, Autonomy.OBSERVE, Autonomy.ADVISE])
def test_a_replacement_that_is_no_longer_allowed_is_not_chosen_again_and_again(level: Autonomy) -> None:
    """Each time would be one more entry in the incident, for as long as memory grows."""
    core = ended(tuned(leaking(spec(spares=1, levels=NO_REGENERATION))))
    now = core.incident
    assert any(t.verdict is Verdict.BOUGHT_TIME for t in now.tried)
    successor = replace(core.instance(next(iter(core.node.instances))), id="shop.99")
    assert rungs.may_go_on(core.node, now, successor, core.at)
    capped = replace(core.node, caps=Levels(tune=ACT, replace=level, regenerate=OFF))
    assert not rungs.may_go_on(capped, now, successor, core.at)
