"""What if the registry did not take a change? The host goes on, and tells it again."""

from dataclasses import replace

from noded.model.actions import Action, ForgetNode, RecordNode, RecordRelease
from noded.model.inputs import ActionFailed, RegistryRenewed
from noded.model.release import Release
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


def of_everything(state: HostState, fact: RegistryRenewed) -> tuple[Action, ...]:
    """What is remembered, entered into a registry that has lost it all."""
    why = f"the registry begins anew: {fact.cause}"
    actions: list[Action] = []
    remembered: set[tuple[str, str]] = set()
    for node in state.nodes.values():
        actions += (_release(node.name, release, why) for release in node.releases)
        remembered |= {(release.node, release.version) for release in node.releases}
        release = node.release
        actions.append(RecordNode(node.name, release.version, release.digest, node.desired, why))
    on_disk = (release for release in fact.releases if (release.node, release.version) not in remembered)
    return (*actions, *(_release(release.node, release, why) for release in on_disk))


def _records(node: NodeState) -> tuple[Action, ...]:
    release, why = node.release, "the registry is told again"
    return (
        _release(node.name, release, why),
        RecordNode(node.name, release.version, release.digest, node.desired, why),
    )


def _release(node: str, release: Release, why: str) -> RecordRelease:
    return RecordRelease(node, release.version, release.digest, release.origin, release.signature, why)
