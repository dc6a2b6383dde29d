"""What should the mesh know of the nodes right now, and when is it told?

Each node keeps the part of the table that is about it, as it keeps its route. A changed part raises the
number of the table, and the whole of it is told anew: at most once for each decision.
"""

from collections.abc import Sequence
from dataclasses import replace

from noded.model.actions import Action, InstallTable, RenewTable
from noded.model.inputs import ActionFailed, MeshFound, MeshLost, TableTaken
from noded.model.instance import Role
from noded.model.mesh import Contract, Part, Speaker, Subscription
from noded.model.release import Release
from noded.model.rollout import percent
from noded.model.state import HostState, NodeState
from nodespec.manifest import NodeSpec

RENEW = 5.0
"""Seconds between two tellings of a canary's share, which holds for `state.LEASE`."""
NAMED = 3
"""Nodes named in one reason."""


def part_of(node: NodeState) -> Part | None:
    """None for a node without events."""
    both = versions(node)
    if not any(spec.speaks for spec, _ in both):
        return None
    wanted = {
        consumes.type: Subscription(consumes.type, consumes.order_by is not None)
        for spec, _ in both
        for consumes in spec.consumes
    }
    canary, share = _canary(node)
    return Part(
        tuple(Speaker(i.id, i.version, i.process.uid) for i in node.instances.values() if i.process),
        tuple(wanted.values()),
        tuple(
            Contract(p.type, release.version, release.digest, p.schema, p.check)
            for spec, release in both
            for p in spec.publishes
        ),
        node.release.version,
        canary,
        share,
    )


def versions(node: NodeState) -> tuple[tuple[NodeSpec, Release], ...]:
    """Those that may run, stable last."""
    stable = (node.spec, node.release)
    if node.rollout is None or not node.rolling_out:
        return (stable,)
    return ((node.rollout.spec, node.rollout.release), stable)


def _canary(node: NodeState) -> tuple[str, float]:
    rollout = node.rollout
    if rollout is None or not node.rolling_out or not any(i.serves for i in node.of(Role.CANARY)):
        return "", 0.0
    # As the figures take it to be dealt: that of its instances, where they fetch their work elsewhere.
    share = rollout.now.dealt or rollout.now.share if rollout.now else 0.0
    return (rollout.release.version, share) if share else ("", 0.0)


def reconcile(node: NodeState, state: HostState) -> tuple[NodeState, HostState, str]:
    """The node with its part as it is now, and what has changed in words; empty when nothing has."""
    part = part_of(node)
    if part == node.part:
        return node, state, ""
    if part is not None and part.subscriptions:
        state = _waited_for(state, node.name)
    elif node.part is not None and node.part.subscriptions:
        state = _gone(state, node.name)
    return replace(node, part=part), state, _why(node.part or Part(), part or Part())


def forgotten(node: NodeState, state: HostState) -> tuple[HostState, str]:
    """The node was removed: nothing waits for it any more."""
    if node.part is None:
        return state, ""
    return _gone(state, node.name) if node.part.subscriptions else state, "it was removed"


def _gone(state: HostState, name: str) -> HostState:
    return replace(state, mesh=replace(state.mesh, gone={**state.mesh.gone, name: state.mesh.number + 1}))


def _waited_for(state: HostState, name: str) -> HostState:
    if name not in state.mesh.gone:
        return state
    gone = {other: number for other, number in state.mesh.gone.items() if other != name}
    return replace(state, mesh=replace(state.mesh, gone=gone))


def tell(
    state: HostState, changes: Sequence[tuple[str, str]], at: float
) -> tuple[HostState, tuple[Action, ...]]:
    """Have the mesh told what has changed, as names and words. One that is away is told when it is found."""
    if not changes or not state.mesh.generation:
        return state, ()
    more = f"; and {len(changes) - NAMED} more nodes" if len(changes) > NAMED else ""
    named = "; ".join(f"{name}: {why}" for name, why in changes[:NAMED])
    return _installed(
        state, state.mesh.number + 1, changes[0][0] if len(changes) == 1 else "", named + more, at
    )


def _installed(
    state: HostState, number: int, node: str, why: str, at: float
) -> tuple[HostState, tuple[Action, ...]]:
    mesh = replace(state.mesh, number=number, leased_at=at, problem="")
    return replace(state, mesh=mesh), (InstallTable(node, number, f"table {number}: {why}"),)


def renew(state: HostState, at: float) -> tuple[HostState, tuple[Action, ...]]:
    """Keep the shares of canaries alive; called with every reading."""
    if not state.mesh.generation or at - state.mesh.leased_at < RENEW:
        return state, ()
    if not any(node.part is not None and node.part.share for node in state.nodes.values()):
        return state, ()
    renewed = replace(state, mesh=replace(state.mesh, leased_at=at))
    return renewed, (RenewTable("", state.mesh.number, "shares of events hold on"),)


def on_found(state: HostState, fact: MeshFound) -> tuple[HostState, tuple[Action, ...]]:
    """Another process, or one that holds a table which we do not remember: it is told ours as a newer one."""
    mesh = state.mesh
    if fact.generation == mesh.generation and fact.table <= mesh.number:
        return state, ()
    why = f"a mesh that holds table {fact.table} was found"
    state = replace(state, mesh=replace(mesh, generation=fact.generation))
    return _installed(state, max(mesh.number, fact.table) + 1, "", why, fact.at)


def on_lost(state: HostState, fact: MeshLost) -> HostState:
    """What is wanted stays as it is; it is told when one is found."""
    return replace(state, mesh=replace(state.mesh, generation=""))


def on_taken(state: HostState, fact: TableTaken) -> HostState:
    """Events wait from now on for whom that table names, and no longer for whom it calls gone."""
    mesh = state.mesh
    gone = {name: number for name, number in mesh.gone.items() if number > fact.number}
    state = replace(state, mesh=replace(mesh, taken=max(mesh.taken, fact.number), gone=gone, problem=""))
    for node in state.nodes.values():
        if 0 < node.awaited <= fact.number:
            state = state.holding(replace(node, awaited=0))
    return state


def on_failed(state: HostState, fact: ActionFailed) -> HostState:
    """What it refuses it would refuse again until something changes; else it is looked for again."""
    if fact.kind == "Refused":
        return replace(state, mesh=replace(state.mesh, problem=fact.cause))
    return replace(state, mesh=replace(state.mesh, generation=""))


def waiting(node: NodeState) -> str:
    """Why no instance of it may start yet; empty when one may.

    Only its first one ever waits: events that are published before the mesh knows of the node pass it by.
    """
    if not node.awaited:
        return ""
    return "the mesh has not taken its subscriptions yet: systemctl status noded-mesh"


def _why(before: Part, after: Part) -> str:
    told = [f"{what} {', '.join(names)}" for what, names in _changes(before, after) if names]
    if before.share != after.share:
        told.append(f"canary share of events {percent(before.share)} -> {percent(after.share)}")
    if before.stable != after.stable:
        told.append(f"{after.stable or 'no version'} is stable")
    return "; ".join(told) or "its events changed"


def _changes(before: Part, after: Part) -> Sequence[tuple[str, list[str]]]:
    return (
        ("consumes", [s.type for s in after.subscriptions if s not in before.subscriptions]),
        ("consumes no more", [s.type for s in before.subscriptions if s not in after.subscriptions]),
        ("publishes", [c.type for c in after.contracts if c not in before.contracts]),
        ("speaks", [s.instance for s in after.speakers if s not in before.speakers]),
        ("speaks no more", [s.instance for s in before.speakers if s not in after.speakers]),
    )
