"""Look-ups of the state, and that a change makes a new value and leaves the old one as it was."""

from dataclasses import FrozenInstanceError, replace

import pytest

from noded.model.instance import Phase, Role
from noded.model.rollout import Stage
from noded.model.state import HostState, Numbers
from tests.policy.build import Core, release_of, rolling, running, spec


def test_a_role_has_those_who_are_not_on_their_way_out() -> None:
    core = running(spec(instances=2, spares=1))
    node = core.node.having(replace(core.instance("shop.1"), phase=Phase.DRAINING))
    assert [i.id for i in node.of(Role.STABLE)] == ["shop.2"]
    assert [i.id for i in node.of(Role.SPARE)] == ["shop.3"]
    assert node.of(Role.CANARY) == ()


@pytest.mark.parametrize(
    ("phase", "serves", "leaving"),
    [
        (Phase.STARTING, False, False),
        (Phase.READY, True, False),
        (Phase.DRAINING, False, True),
        (Phase.STOPPING, False, True),
    ],
)
def test_a_phase_serves_or_leaves(phase: Phase, serves: bool, leaving: bool) -> None:
    instance = replace(running().instance("shop.1"), phase=phase)
    assert (instance.serves, instance.leaving) == (serves, leaving)


def test_a_change_is_a_new_value() -> None:
    core = running()
    node, state = core.node, core.state
    assert list(node.without("shop.1").instances) == [] and list(node.instances) == ["shop.1"]
    assert list(node.without("ghost.1").instances) == ["shop.1"]
    assert state.holding(node.without("shop.1")).nodes["shop"].instances == {}
    assert state.nodes["shop"] is node
    with pytest.raises(FrozenInstanceError):
        node.paused = True  # type: ignore[misc]


def test_a_forgotten_node_leaves_its_numbers() -> None:
    core = rolling(spec(spares=1))
    state = core.state.forgetting(core.node)
    assert state.nodes == {} and state.removed == {"shop": Numbers(3, 0, 1)}


def test_a_version_is_found_among_the_releases_that_are_known() -> None:
    core = rolling()
    assert core.node.version("1.1") == release_of(spec("1.1"))
    assert core.node.version("9.9") is None


def test_a_rollout_is_under_way_until_it_ended() -> None:
    core = rolling()
    assert core.node.rolling_out and core.rollout.share == 0.1 and len(core.rollout.steps) == 1
    core.order("abort")
    assert not core.node.rolling_out and core.rollout.ended and core.rollout.share == 0.0
    assert core.rollout.stage is Stage.ROLLED_BACK and len(core.rollout.steps) == 1


def test_nothing_is_known_before_anything_happened() -> None:
    assert HostState().nodes == {} and not HostState().proxy
    assert Core().state.nodes == {}
