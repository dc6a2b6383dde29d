"""Of many releases the newest stay, and whatever runs, was stable before, or is looked into."""

from dataclasses import replace

import pytest

from noded.model.actions import RemoveRelease
from noded.model.incident import Stage
from noded.model.state import NodeState
from noded.policy.retention import NEWEST, reconcile
from tests.policy.build import none, only, release_of, rolling, running, spec
from tests.policy.ladders import leaking

MANY = tuple(release_of(spec(f"0.{number}")) for number in range(NEWEST + 5))


def with_many(node: NodeState) -> NodeState:
    """Its own releases are older than all the others."""
    return replace(node, releases=(*node.releases, *MANY))


def removed(node: NodeState) -> list[str]:
    _, actions = reconcile(node)
    return [action.version for action in actions if isinstance(action, RemoveRelease)]


def test_the_newest_stay_and_the_rest_goes_once() -> None:
    node = with_many(running().node)
    kept, actions = reconcile(node)
    assert [action.version for action in actions] == [release.version for release in MANY[:5]]
    assert kept.releases == (node.release, *MANY[5:])
    assert all(action.reason for action in actions)
    assert reconcile(kept) == (kept, ())


def test_few_releases_all_stay() -> None:
    node = running().node
    node = replace(node, releases=MANY[:NEWEST])
    assert reconcile(node) == (node, ())


def test_what_is_rolled_out_and_what_it_may_go_back_to_stay() -> None:
    node = with_many(rolling().node)
    assert {"1.0", "1.1"}.isdisjoint(removed(node))


def test_the_stable_one_before_this_one_stays() -> None:
    core = rolling()
    core.order("finish")
    core.tick(60.0)
    assert core.node.release.version == "1.1"
    assert "1.0" not in removed(with_many(core.node))


def test_before_a_replacement_the_one_applied_before_stays() -> None:
    node = running().node
    node = replace(node, release=MANY[3], releases=MANY)
    assert removed(node) == [MANY[n].version for n in (0, 1, 4)]


def test_what_an_instance_still_runs_stays() -> None:
    core = running()
    node = replace(with_many(core.node), release=MANY[-1], instances=core.node.instances)
    assert "1.0" not in removed(node)


@pytest.mark.parametrize(("stage", "stays"), [(Stage.NEEDS_PERSON, True), (Stage.RESOLVED, False)])
def test_what_an_open_incident_is_about_stays(stage: Stage, stays: bool) -> None:
    node = with_many(leaking(spec(spares=1)).node)
    assert node.healing.now is not None
    incident = replace(node.healing.now, digest=MANY[1].digest, stage=stage)
    node = replace(node, healing=replace(node.healing, now=incident))
    assert (MANY[1].version not in removed(node)) is stays


def test_releases_go_as_they_are_applied() -> None:
    core = running(spec("0"))
    core.order("stop")
    core.leave()
    for number in range(1, NEWEST):
        none(core.apply(spec(f"{number}")), RemoveRelease)
    assert only(core.apply(spec(f"{NEWEST}")), RemoveRelease).version == "0"
