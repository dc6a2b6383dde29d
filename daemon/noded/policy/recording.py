"""What if the registry did not take a change? The host goes on, and tells it again."""

from dataclasses import replace

from noded.model.actions import Action, ForgetNode, RecordNode, RecordRelease
from noded.model.inputs import ActionFailed
from noded.model.state import HostState, NodeState

AWAY = ("Unavailable", "TimedOut")
"""Failures that say nothing against the change itself."""


def on_failed(node: NodeState, fact: ActionFailed) -> NodeState:
    return replace(node, unrecorded=True) if fact.kind in AWAY else node


def on_forget_failed(state: HostState, fact: ActionFailed) -> HostState:
    numbers = state.removed.get(fact.node)
    if numbers is None or fact.action != "ForgetNode":
        return state
    return replace(state, removed={**state.removed, fact.node: replace(numbers, recorded=False)})


def again(state: HostState) -> tuple[HostState, tuple[Action, ...]]:
    """Tell what was not taken once more. Called with every reading, so that a registry has time to return."""
    actions: list[Action] = []
    for node in state.nodes.values():
        if node.unrecorded:
            actions += _records(node)
            state = state.holding(replace(node, unrecorded=False))
    for name, numbers in state.removed.items():
        if not numbers.recorded and name not in state.nodes:
            actions.append(ForgetNode(name, "it was removed; the registry is told again"))
            state = replace(state, removed={**state.removed, name: replace(numbers, recorded=True)})
    return state, tuple(actions)


def _records(node: NodeState) -> tuple[Action, ...]:
    release, why = node.release, "the registry is told again"
    return (
        RecordRelease(node.name, release.version, release.digest, release.origin, release.signature, why),
        RecordNode(node.name, release.version, release.digest, node.desired, why),
    )
