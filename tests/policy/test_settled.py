"""Is a node passed over only when there is nothing to do? What holds at random is in `tests/sim`."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from noded.model.inputs import InstanceExited, ProxyFound, ProxyLost, Sampled
from noded.model.instance import Phase, Role
from noded.model.state import Desired, NodeState
from noded.policy.settled import settled
from tests.policy.build import MB, Core, running, spec
from tests.policy.ladders import found, grow

Change = Callable[[NodeState], NodeState]


def is_settled(core: Core) -> bool:
    return settled(core.state.nodes["shop"], core.state, core.at)


def with_one(**changes: object) -> Change:
    return lambda node: node.having(replace(node.instances["shop.1"], **changes))  # type: ignore[arg-type]


def with_node(**changes: object) -> Change:
    return lambda node: replace(node, **changes)  # type: ignore[arg-type]


def test_a_node_that_has_what_is_wanted_rests() -> None:
    assert is_settled(running())
    assert is_settled(running(spec(spares=1, instances=2)))


def test_a_reading_leaves_it_so_and_is_kept() -> None:
    core = running()
    core.tick(1.0, {"shop.1": 61 * MB})
    assert is_settled(core)
    assert core.instance("shop.1").vitals.memory == 61 * MB


CHANGES: dict[str, Change] = {
    "one is starting": with_one(phase=Phase.STARTING),
    "one drains": with_one(phase=Phase.DRAINING),
    "one is stopping": with_one(phase=Phase.STOPPING),
    "one is condemned": with_one(condemned="it leaks"),
    "one is of another version": with_one(digest="sha256:other"),
    "one is a canary": with_one(role=Role.CANARY),
    "a spare is not wanted": with_one(role=Role.SPARE),
    "one is missing": lambda node: node.without("shop.1"),
    "it is to stop": with_node(desired=Desired.STOPPED),
    "it is to go": with_node(desired=Desired.REMOVED),
    "the proxy was not told": with_node(route=None),
    "more are wanted": lambda node: replace(node, spec=replace(node.spec, instances=2)),
    "a spare is wanted": lambda node: replace(node, spec=replace(node.spec, spares=1)),
    "it serves no more": lambda node: replace(node, spec=replace(node.spec, serves=None)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_not_as_wanted_is_looked_at(change: Change) -> None:
    core = running()
    assert not settled(change(core.state.nodes["shop"]), core.state, core.at)


def test_an_incident_is_looked_at_with_every_reading() -> None:
    core = running()
    grow(core, found, leak=4 * MB)
    assert not is_settled(core)


def test_a_rollout_is_looked_at_with_every_reading() -> None:
    core = running()
    core.apply(spec("1.1"))
    assert not is_settled(core)


def test_while_the_proxy_is_away_nothing_is_owed_to_it() -> None:
    core = running()
    core.tell(ProxyLost(core.at, "connection refused"))
    assert is_settled(core)
    core.tell(ProxyFound(core.at, "second"))
    assert is_settled(core)


def test_the_next_reading_finds_what_a_refused_route_left() -> None:
    core = running()
    node = core.state.nodes["shop"]
    core.state = core.state.holding(replace(node, route=None))
    actions = core.tell(Sampled(core.at + 1.0))
    assert [type(action).__name__ for action in actions] == ["InstallRoute"]


def test_an_end_is_answered_at_once() -> None:
    core = running()
    actions = core.tell(InstanceExited(core.at, "shop", "shop.1", "signal 9"))
    assert "StartInstance" in [type(action).__name__ for action in actions]
