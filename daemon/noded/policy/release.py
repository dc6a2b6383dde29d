"""What happens when somebody applies a release?

A version never changes its content. What runs is switched by one write to the registry, at the
moment the change takes effect, and never before.
"""

from dataclasses import replace

from noded.model.actions import Action, Answer, Note, RecordNode, RecordRelease
from noded.model.incident import Record
from noded.model.inputs import ApplyRequested
from noded.model.instance import Role
from noded.model.release import Release
from noded.model.rollout import percent
from noded.model.state import Backoff, Desired, HostState, NodeState, Numbers
from noded.policy import conflicts, events, rollout, storage
from nodespec.manifest import Protocol

NONE, CREATE, ROLLOUT, REPLACE = "none", "create", "rollout", "replace"
KEPT = 50
"""Releases a node remembers."""


def on_apply(state: HostState, fact: ApplyRequested) -> tuple[HostState, tuple[Action, ...]]:
    node = state.nodes.get(fact.spec.name)
    refusal = _refusal(state, node, fact)
    if refusal:
        return state, (Answer(fact.request, fact.spec.name, "refused", refusal),)
    effect, text = _effect(node, fact)
    known = conflicts.found(state, node, fact) if effect != NONE else ()
    answer = Answer(fact.request, fact.spec.name, "", text, effect, conflicts=known)
    if fact.plan_only or effect == NONE:
        return state, (answer,)
    stopped = conflicts.stopped(fact, known)
    if stopped:
        reason = f"refused: {stopped}"
        return state, (replace(answer, kind="conflict", text=stopped, effect="", reason=reason),)
    record = RecordRelease(
        fact.spec.name,
        fact.release.version,
        fact.release.digest,
        fact.release.origin,
        fact.release.signature,
        f"{fact.release.origin} applied {fact.release.version}",
    )
    used = state.removed.get(fact.spec.name, Numbers())
    is_new = node is None
    node, actions = _changed(node, fact, effect, used)
    if is_new and fact.spec.consumes:
        node = replace(node, awaited=state.mesh.number + 1)
        if not state.mesh.generation:
            actions = (*actions, Note(node.name, "", f"its first instance waits: {events.waiting(node)}"))
    node, told = _forced(node, fact, conflicts.forced(fact, known), effect)
    return state.holding(node), (record, *told, *actions, answer)


def _forced(
    node: NodeState, fact: ApplyRequested, forced: str, effect: str
) -> tuple[NodeState, tuple[Action, ...]]:
    """What a person knew of and went on all the same stays on record."""
    if not forced:
        return node, ()
    begun = node.rollout if effect == ROLLOUT else None
    if begun is not None:
        node = replace(node, rollout=replace(begun, forced=forced))
    why = f"{fact.release.origin} went on with {fact.release.version} although {forced}"
    return node, (Note(node.name, begun.id if begun else "", why),)


def _refusal(state: HostState, node: NodeState | None, fact: ApplyRequested) -> str:
    spec, release = fact.spec, fact.release
    if state.full and not fact.plan_only:
        return storage.refusal(state, f"cannot apply {release.node} {release.version}")
    if fact.taken and fact.taken != release.digest:
        return _other_content(release, fact.taken)
    held = node.version(release.version) if node is not None else None
    if held is not None and held.digest != release.digest:
        return _other_content(release, held.digest)
    if node is not None and node.desired is Desired.REMOVED:
        return f"{spec.name} is being removed: apply again when it is gone"
    if node is not None and node.rolling_out and node.rollout:
        wanted = node.rollout.release.version
        return (
            f"a rollout of {spec.name} to {wanted} is under way, wait for its end or end it:"
            f" nodectl rollout abort {spec.name}"
        )
    return _port_refusal(state, fact)


def _other_content(release: Release, taken: str) -> str:
    return (
        f"version {release.version} of {release.node} exists with other content "
        f"({taken[7:19]}, not {release.digest[7:19]}): give the change a new version in node.toml"
    )


def _port_refusal(state: HostState, fact: ApplyRequested) -> str:
    serves = fact.spec.serves
    if serves is None:
        return ""
    held = fact.spec.holds_socket
    ports, key = state.host.ports, "[proxy] ports"
    if held:
        ports, key = state.host.sockets, "[nodes] sockets"
    elif serves.protocol is Protocol.TCP:
        ports, key = state.host.tcp_ports, "[proxy] tcp_ports"
    if not any(first <= serves.port <= last for first, last in ports):
        ranges = ", ".join(f"{first}-{last}" for first, last in ports) or "none"
        known = f"the ports of this host ({ranges})"
        return f"port {serves.port} is outside {known}: see {key} in noded.toml"
    node = state.nodes.get(fact.spec.name)
    if node is not None and node.holds_socket and (not held or _port(node) != serves.port):
        return f"the socket of {node.name} at port {_port(node)} is in use, free it: nodectl stop {node.name}"
    return ""


def _port(node: NodeState) -> int:
    return node.spec.serves.port if node.spec.serves else 0


def _effect(node: NodeState | None, fact: ApplyRequested) -> tuple[str, str]:
    name, version = fact.spec.name, fact.release.version
    if node is None:
        return CREATE, f"{name} {version} {'is entered, stopped' if fact.stopped else 'starts'}"
    if node.release.digest == fact.release.digest:
        return NONE, f"{name} {version} is what runs already"
    if node.desired is Desired.STOPPED:
        return REPLACE, f"{name} is stopped: {version} takes the place of {node.release.version}"
    unlike = rollout.replaced(node.spec, fact.spec)
    if unlike:
        way = f"{version} replaces {node.release.version} instance by instance"
        return REPLACE, f"{name} {unlike}: {way}"
    if _never_ran(node):
        return REPLACE, f"no instance of {name} {node.release.version} is ready: {version} takes its place"
    steps = ", ".join(map(percent, fact.spec.rollout.steps))
    return ROLLOUT, f"{name} rolls out from {node.release.version} to {version}: {steps}"


def _never_ran(node: NodeState) -> bool:
    """Nothing serves, and it is no passing crash: there is nothing to compare a new version with."""
    serving = any(i.serves for i in node.of(Role.STABLE))
    return not serving and (node.restarts == 0 or node.backoff.failures > 1)


def _changed(
    node: NodeState | None, fact: ApplyRequested, effect: str, used: Numbers
) -> tuple[NodeState, tuple[Action, ...]]:
    spec, release = fact.spec, fact.release
    why = f"{release.origin} applied {release.version}"
    if node is None:
        created = NodeState(
            spec=spec,
            release=release,
            desired=Desired.STOPPED if fact.stopped else Desired.RUNNING,
            releases=(release,),
            serial=used.instance,
            rollouts=used.rollout,
            healing=Record(serial=used.incident),
        )
        return created, (RecordNode(spec.name, release.version, release.digest, created.desired, why),)
    known = node.releases if node.version(release.version) else (*node.releases, release)[-KEPT:]
    node = replace(node, releases=known, backoff=Backoff())
    if effect == ROLLOUT:
        return rollout.begin(node, spec, release, release.origin, fact.at), ()
    node = replace(node, spec=spec, release=release)
    return node, (RecordNode(spec.name, release.version, release.digest, node.desired, why),)
