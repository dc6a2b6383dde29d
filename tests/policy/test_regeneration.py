"""A machine-written version is a candidate like any other, and refused when it no longer fits."""

from dataclasses import replace

import pytest

from noded.model.actions import InstallRoute, RecordNode, RecordRelease, Regenerate
from noded.model.incident import Gate, Report, Stage
from noded.model.inputs import ActionFailed, RegenerationFailed
from noded.model.rollout import Stage as RolloutStage
from nodespec.manifest import Calls, Consumes, Objectives, Publishes, Resources, Rung
from tests.policy.build import MB, Core, answer, none, only, proposed, spec, starts
from tests.policy.ladders import grow, leaking

HEALED = spec("1.0+heal.1", spares=1, ladder=(Rung.REGENERATE,))


def regenerating() -> Core:
    core = leaking(spec(spares=1, ladder=(Rung.REGENERATE,)))
    assert core.all_of(Regenerate)
    return core


def on_the_way() -> Core:
    core = regenerating()
    core.tell(proposed(core.at, "shop-1", HEALED))
    core.comes_up("shop.3")
    return core


def test_a_candidate_is_recorded_and_rolled_out_never_installed() -> None:
    core = regenerating()
    actions = core.tell(proposed(core.at + 30.0, "shop-1", HEALED))
    record = only(actions, RecordRelease)
    assert (record.version, record.origin) == ("1.0+heal.1", "incident shop-1")
    assert record.reason == "boundcache proposed 1.0+heal.1, 9 lines"
    none(actions, RecordNode)
    assert core.places()["shop.3"] == "canary starting"
    assert core.node.route is not None and core.node.route.share == 0.0
    assert core.node.release.version == "1.0"
    assert (core.incident.stage, core.rollout.origin) == (Stage.ROLLING_OUT, "incident shop-1")
    assert core.incident.tried[-1].seconds >= 30.0
    core.comes_up("shop.3")
    assert core.rollout.share == 0.1


def promoted() -> Core:
    core = on_the_way()
    core.order("finish")
    core.leave()
    return core


def test_a_cure_is_believed_when_the_memory_is_flat() -> None:
    core = promoted()
    assert core.incident.stage is Stage.VERIFYING
    grow(core, lambda core: core.node.healing.now is None, leak=0.0)
    past = core.node.healing.past[-1]
    assert past.outcome == "cured by 1.0+heal.1: memory grows 0.0 MiB/min, before it grew 120.0 MiB/min"


def test_a_cure_that_is_none_needs_a_person() -> None:
    core = promoted()
    grow(core, lambda core: core.incident.stage is Stage.NEEDS_PERSON, leak=2 * MB, seconds=2000)
    assert core.incident.outcome.startswith("1.0+heal.1 did not cure it: memory grows 120.0 MiB/min")


def test_a_candidate_that_is_rolled_back_needs_a_person() -> None:
    core = on_the_way()
    core.exits("shop.3", "code 1")
    assert core.incident.stage is Stage.NEEDS_PERSON
    assert core.incident.outcome == "1.0+heal.1 was rolled back: its canary shop.3 exited: code 1"
    assert core.node.route is not None and core.node.route.share == 0.0


def test_a_candidate_that_cannot_be_recorded_does_not_run() -> None:
    core = on_the_way()
    core.tell(ActionFailed(core.at, "RecordRelease", "shop", "", "Conflict", "it has other content"))
    assert core.rollout.stage is RolloutStage.ROLLED_BACK
    assert core.incident.stage is Stage.NEEDS_PERSON


def test_the_report_stays_with_the_incident() -> None:
    core = regenerating()
    gates = (Gate("tests", True, "12 passed"),)
    core.tell(proposed(core.at, "shop-1", HEALED, gates=gates, diff="-a\n+b\n"))
    assert core.incident.report is not None
    assert (core.incident.report.gates, core.incident.report.diff) == (gates, "-a\n+b\n")


def test_a_worker_that_finds_nothing_leaves_its_reason() -> None:
    core = regenerating()
    report = Report("none", "no cache is unbounded")
    core.tell(RegenerationFailed(core.at, "shop", "shop-1", report))
    core.tick(1.0)
    assert core.incident.stage is Stage.NEEDS_PERSON and core.incident.report == report
    assert core.incident.tried[-1].detail == "no cache is unbounded"


def test_a_worker_that_cannot_be_started_is_a_failed_rung() -> None:
    core = regenerating()
    core.tell(ActionFailed(core.at, "Regenerate", "shop", "", "Unavailable", "no launcher"))
    assert core.incident.tried[-1].detail == "no launcher"


# Objections


def objected(core: Core, text: str, candidate: object = HEALED) -> None:
    before = core.node.releases
    actions = core.tell(proposed(core.at, "shop-1", candidate))  # type: ignore[arg-type]
    none(actions, RecordRelease)
    assert core.incident.tried[-1].detail == text
    assert core.node.releases == before


def test_another_rollout_comes_first() -> None:
    core = regenerating()
    core.apply(spec("1.1", spares=1))
    objected(core, "another rollout began meanwhile")
    assert core.rollout.release.version == "1.1"


def test_a_version_that_exists_is_not_written_again() -> None:
    core = regenerating()
    core.apply(HEALED)
    core.order("abort")
    objected(core, "version 1.0+heal.1 exists already")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"run": ("sh", "-c", "true")}, "run"),
        ({"user": "root"}, "user"),
        ({"env": (("LD_PRELOAD", "x"),)}, "env"),
        ({"serves": None}, "serves"),
        ({"resources": Resources(memory=0)}, "resources"),
        ({"publishes": (Publishes("shop.paid"),)}, "publishes"),
        ({"consumes": (Consumes("shop.paid"),)}, "consumes"),
        ({"calls": (Calls("till", 1.0),)}, "calls"),
        ({"objectives": Objectives(latency_p99=9.0)}, "objectives"),
    ],
)
def test_a_candidate_changes_code_and_not_what_it_may_do(change: dict[str, object], key: str) -> None:
    objected(
        regenerating(),
        f"the candidate changes the manifest: {key}",
        replace(HEALED, **change),  # type: ignore[arg-type]
    )


def test_a_candidate_of_a_version_that_is_gone_is_not_taken() -> None:
    core = regenerating()
    core.apply(spec("1.1", spares=1))
    core.comes_up("shop.3")
    core.order("finish")
    core.leave()
    actions = core.tell(proposed(core.at, "shop-1", HEALED))
    assert actions == () and core.node.release.version == "1.1"


@pytest.mark.parametrize("incident", ["shop-2", "", "other-1"])
def test_a_candidate_nobody_asked_for_is_not_taken(incident: str) -> None:
    core = regenerating()
    before = core.node
    assert core.tell(proposed(core.at, incident, HEALED)) == ()
    assert core.node == before


def test_a_candidate_that_comes_twice_is_taken_once() -> None:
    core = on_the_way()
    before = core.rollout.id
    none(core.tell(proposed(core.at, "shop-1", HEALED)), RecordRelease)
    assert core.rollout.id == before


def test_a_stopped_node_gets_no_candidate() -> None:
    core = regenerating()
    core.order("stop")
    actions = core.tell(proposed(core.at, "shop-1", HEALED))
    assert starts(actions) == [] and core.node.rollout is None


def test_a_person_may_abort_a_machine_written_version() -> None:
    core = on_the_way()
    actions = core.order("abort")
    assert answer(actions).text == "the rollout was aborted"
    assert only(actions, InstallRoute).route.share == 0.0
