"""Does noded leave to a person what the manifest leaves to a person?"""

from dataclasses import replace

from noded.model.actions import Action, StartInstance
from noded.model.inputs import (
    ApplyRequested,
    Booted,
    CommandRequested,
    Input,
    InstanceExited,
    InstanceReady,
    InstanceStarted,
    Sampled,
)
from noded.model.instance import Process
from noded.model.release import Release
from noded.model.state import Host, HostState
from noded.policy.decide import decide
from nodespec.manifest import Autonomy, Healing, Levels, NodeSpec

SPEC = NodeSpec(name="shop", version="1.0.0", run=("true",))


def told(state: HostState, *facts: Input) -> tuple[HostState, list[Action]]:
    actions: list[Action] = []
    for fact in facts:
        state, decided = decide(state, fact)
        actions += decided
    return state, actions


def running(level: Autonomy) -> HostState:
    spec = replace(SPEC, healing=Healing(autonomy=Levels(restart=level)))
    release = Release("shop", "1.0.0", "sha256:" + "a" * 64, "uid 0")
    state, _ = told(
        HostState(),
        Booted(1.0, Host()),
        ApplyRequested(2.0, 1, spec, release),
        InstanceStarted(3.0, "shop", "shop.1", Process(10, 100, 5)),
        InstanceReady(4.0, "shop", "shop.1", "sdk"),
    )
    return state


def starts(actions: list[Action]) -> list[str]:
    return [action.instance for action in actions if isinstance(action, StartInstance)]


def test_a_crash_is_restarted_by_default() -> None:
    _, actions = told(running(Autonomy.ACT), InstanceExited(5.0, "shop", "shop.1", "code 1"))
    assert starts(actions) == ["shop.2"]


def test_a_crash_waits_for_a_person_when_restarts_are_not_ours() -> None:
    for level in (Autonomy.OFF, Autonomy.OBSERVE, Autonomy.ADVISE, Autonomy.APPROVE):
        state, actions = told(
            running(level), InstanceExited(5.0, "shop", "shop.1", "code 1"), *map(Sampled, (6.0, 60.0, 600.0))
        )
        assert starts(actions) == []
        _, actions = told(state, CommandRequested(700.0, 2, "start", "shop", "uid 0"))
        assert starts(actions) == ["shop.2"]


def test_an_ordered_restart_needs_no_autonomy() -> None:
    state, _ = told(running(Autonomy.OFF), CommandRequested(5.0, 2, "restart", "shop", "uid 0"))
    _, actions = told(state, InstanceExited(6.0, "shop", "shop.1", "code 0"))
    assert starts(actions) == ["shop.2"]
