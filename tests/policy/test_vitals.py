"""Readings are kept with their instance; only growth of stable instances that live is a finding."""

import pytest

from noded.model.inputs import Reading, Sampled, TrafficCounted
from noded.model.instance import Load, Role, Vitals
from noded.model.route import Traffic
from noded.model.state import HostState
from tests.policy.build import HOST, MB, Core, running, spec
from tests.policy.ladders import found, grow


def leak(core: Core, name: str, seconds: int = 100) -> None:
    for second in range(seconds):
        core.tick(1.0, {name: (30 + 2 * second) * MB})


def test_a_reading_is_kept_with_its_instance() -> None:
    core = running()
    vitals = Vitals(60 * MB, 0.5, 12, 3, 0.004, 0.7)
    core.tell(Sampled(core.at + 1.0, (Reading("shop.1", "shop", vitals),)))
    assert core.instance("shop.1").vitals == vitals


@pytest.mark.parametrize(("instance", "node"), [("shop.9", "shop"), ("till.1", "till"), ("shop.1", "till")])
def test_a_reading_of_something_unknown_is_nothing(instance: str, node: str) -> None:
    core = running()
    before = core.state
    core.tell(Sampled(core.at, (Reading(instance, node, Vitals(1)),)))
    assert core.state == before


def test_memory_of_a_start_is_no_trend() -> None:
    core = Core()
    core.apply(spec(start_timeout=1000.0))
    core.started("shop.1")
    leak(core, "shop.1")
    assert not found(core) and core.instance("shop.1").trend.since is None


def test_memory_of_an_end_is_no_trend() -> None:
    core = running()
    core.order("stop")
    leak(core, "shop.1")
    assert not found(core)


@pytest.mark.parametrize("role", [Role.SPARE, Role.CANARY])
def test_only_stable_instances_have_incidents(role: Role) -> None:
    core = running(spec(spares=1))
    if role is Role.CANARY:
        core.apply(spec("1.1", spares=1))
        core.comes_up("shop.3")
    leak(core, "shop.2" if role is Role.SPARE else "shop.3")
    assert not found(core)


def test_a_node_without_a_limit_is_measured_by_the_machine() -> None:
    core = Core(state=HostState(host=HOST, proxy="first"))
    core.apply(spec(memory=0))
    core.comes_up("shop.1")
    grow(core, found, leak=20 * MB)
    assert "of 8192 MiB used" in core.incident.finding


def test_a_long_healthy_memory_is_no_finding() -> None:
    core = running()
    for second in range(600):
        core.tick(1.0, {"shop.1": 60 * MB + (second * 7919) % (2 * MB)})
    assert not found(core)


def test_counts_are_kept_with_their_instance() -> None:
    core = running(spec(spares=1))
    core.tell(TrafficCounted(core.at, (Traffic("shop.1", 9, 1, 2, False), Traffic("ghost.1", 1, 1, 1, True))))
    assert core.instance("shop.1").load == Load(9, 1, 2, False, core.at, 0, core.at)
    assert core.instance("shop.2").load == Load()
