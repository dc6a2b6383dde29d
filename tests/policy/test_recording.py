"""What the registry did not take is told again, and nothing that was removed comes back."""

import pytest

from noded.model.actions import ForgetNode, InstallRoute, RecordNode, RecordRelease
from noded.model.inputs import ActionFailed, Booted, Known
from tests.policy.build import HOST, Core, answer, none, only, release_of, rolling, running, spec, starts

KNOWN = Known(spec(), release_of(spec()), "running")


def fails(core: Core, action: str, kind: str = "Unavailable") -> None:
    core.tell(ActionFailed(core.at, action, "shop", "", kind, "the registry does not answer"))


@pytest.mark.parametrize("action", ["RecordNode", "RecordRelease"])
def test_a_change_waits_for_the_registry_and_is_told_again(action: str) -> None:
    core = Core()
    core.apply(spec())
    fails(core, action)
    told = core.tick(1.0)
    assert only(told, RecordRelease).digest == release_of(spec()).digest
    assert (only(told, RecordNode).version, only(told, RecordNode).desired) == ("1.0", "running")
    none(core.tick(1.0), RecordNode)


def test_it_is_not_told_as_fast_as_the_registry_refuses() -> None:
    core = running()
    core.order("stop")
    before = len(core.done)
    fails(core, "RecordNode")
    none(tuple(core.done[before:]), RecordNode)


def test_what_the_registry_refuses_for_good_is_not_told_again() -> None:
    core = running()
    fails(core, "RecordRelease", "Conflict")
    none(core.tick(1.0), RecordRelease)


def test_only_the_newest_wish_is_told() -> None:
    core = running()
    core.order("stop")
    fails(core, "RecordNode")
    core.order("start")
    assert only(core.tick(1.0), RecordNode).desired == "running"


def test_a_candidate_that_is_not_recorded_is_rolled_back_and_not_told_again() -> None:
    core = rolling()
    fails(core, "RecordRelease")
    assert core.node.route is not None and core.node.route.share == 0.0
    none(core.tick(1.0), RecordRelease)


def removed() -> Core:
    core = running()
    core.order("remove")
    core.leave()
    return core


def test_a_removal_waits_for_the_registry() -> None:
    core = removed()
    fails(core, "ForgetNode")
    assert only(core.tick(1.0), ForgetNode).reason == "it was removed; the registry is told again"
    none(core.tick(1.0), ForgetNode)


def test_a_removed_node_does_not_come_back_with_noded() -> None:
    core = removed()
    core.tell(Booted(core.at, HOST, (), (KNOWN,)))
    assert core.state.nodes == {}
    assert only(core.tick(1.0), ForgetNode)


def test_when_the_end_of_memory_was_lost_the_registry_may_have_it_again() -> None:
    core = removed()
    actions = core.tell(Booted(core.at, HOST, (), (KNOWN,), intact=False))
    assert starts(actions) == ["shop.2"]
    none(core.tick(1.0), ForgetNode)


def test_a_node_that_was_applied_again_is_not_forgotten() -> None:
    core = removed()
    fails(core, "ForgetNode")
    assert answer(core.apply(spec())).effect == "create"
    none(core.tick(1.0), ForgetNode)
    core.order("remove")
    core.exits("shop.2")
    assert only(tuple(core.done[-3:]), ForgetNode)


def test_failures_of_unknown_nodes_are_nothing() -> None:
    core = running()
    before = core.state
    for action in ("ForgetNode", "RecordNode", "KillInstance"):
        core.tell(ActionFailed(core.at, action, "ghost", "", "Unavailable", "away"))
    assert core.state == before
    none(core.tick(1.0), InstallRoute)
