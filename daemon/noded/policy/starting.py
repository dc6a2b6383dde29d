"""When does a node get a new instance, and when does a spare take over?"""

from dataclasses import replace
from zlib import crc32

from noded.model.actions import Action, ActivateInstance, StartInstance, WakeAt
from noded.model.instance import BESIDE, Instance, Phase, Role
from noded.model.release import Release
from noded.model.rollout import Rollout, Stage
from noded.model.state import HostState, NodeState
from noded.policy import crashes, events, preparing
from nodespec.manifest import Autonomy, Listen, NodeSpec

FIRST = 1.0
"""Seconds of a rollout in which its baseline is started."""

HELD_SOCKET = "fd:3"
"""The first descriptor that sd_listen_fds(3) hands over."""


def spec_of(node: NodeState, instance: Instance) -> NodeSpec:
    """The manifest an instance was started by: a candidate brings its own, who makes way keeps it."""
    rollout = node.rollout
    if rollout and rollout.release.digest == instance.digest:
        return rollout.spec
    before = rollout.from_spec if rollout else None
    left = rollout.from_release if rollout else None
    return before if before and left and left.digest == instance.digest else node.spec


def wanted_stable(node: NodeState) -> tuple[Instance, ...]:
    return tuple(i for i in node.of(Role.STABLE) if not i.condemned and i.digest == node.release.digest)


def condemned(node: NodeState) -> tuple[Instance, ...]:
    return tuple(i for i in node.of(Role.STABLE) if i.condemned)


def promote_spares(node: NodeState, actions: list[Action]) -> NodeState:
    """Let spares take the places of stable instances that are gone."""
    while len(wanted_stable(node)) + len(condemned(node)) < node.spec.instances:
        spare = _best_spare(node)
        if spare is None:
            return node
        node = _promote(node, spare, "a stable instance is gone and a spare stands by", actions)
    return node


def replace_condemned(node: NodeState, state: HostState, actions: list[Action], at: float) -> NodeState:
    """Put a ready spare in the place of each condemned instance; start one when there is none.

    A node that serves nothing through the proxy cannot run twice, so its instance is stopped
    first and `start_missing` follows.
    """
    for old in condemned(node):
        if len([i for i in wanted_stable(node) if i.serves]) >= node.spec.instances:
            break
        spare = _best_spare(node)
        if spare is not None and spare.serves:
            node = _promote(node, spare, f"it replaces {old.id}: {old.condemned}", actions)
        elif spare is None and _may_begin(node, at):
            node = _start(node, state, Role.SPARE, f"a spare to replace {old.id}", actions, at)
    return node


def _may_begin(node: NodeState, at: float) -> bool:
    """Whether a replacement may be started beside what is condemned: it crashes no faster than others."""
    lacking = len(wanted_stable(node)) < node.spec.instances
    return node.spec.serves is not None and lacking and at >= node.backoff.until


def start_missing(node: NodeState, state: HostState, actions: list[Action], at: float) -> NodeState:
    missing = _missing(node, at)
    if node.backoff.failures and node.autonomy.restart is not Autonomy.ACT:
        # What ended by itself stays down until a person starts it, which clears the count.
        missing = tuple((role, reason) for role, reason in missing if role in BESIDE)
    if len(_unsettled(node)) > node.spec.instances + node.spec.spares:
        return node
    if missing and at < node.backoff.until:
        if node.wake_at != node.backoff.until:
            actions.append(WakeAt(node.name, node.backoff.until, "the restart delay ends"))
            node = replace(node, wake_at=node.backoff.until)
        return node
    for role, reason in missing:
        node = _start(node, state, role, reason, actions, at)
    return node


def _unsettled(node: NodeState) -> list[Instance]:
    """What may have been started and was not found yet: while that is so, starting more would pile up."""
    return [i for i in node.instances.values() if i.phase is Phase.STOPPING and i.process is None]


def _missing(node: NodeState, at: float) -> tuple[tuple[Role, str], ...]:
    lacking: list[tuple[Role, str]] = []
    present = len(wanted_stable(node)) + _still_held(node)
    again = f" ({node.backoff.last})" if node.backoff.failures else ""
    lacking += [(Role.STABLE, f"{present} of {node.spec.instances} instances run{again}")] * (
        node.spec.instances - present
    )
    spares = len(node.of(Role.SPARE)) - len(condemned(node))
    lacking += [(Role.SPARE, "a spare is to stand by")] * (crashes.wanted_spares(node, at) - max(spares, 0))
    rollout = node.rollout
    if rollout and node.rolling_out and not rollout.frozen:
        canaries = len(node.of(Role.CANARY))
        lacking += [(Role.CANARY, f"canary of {rollout.release.version}")] * (rollout.canaries - canaries)
        lacking += _baseline(node, rollout, at)
    return tuple(lacking)


def _baseline(node: NodeState, rollout: Rollout, at: float) -> list[tuple[Role, str]]:
    """Beside the first canary and never again: one that is younger tells nothing."""
    begun = any(i.role is Role.BASELINE and rollout.owns(i) for i in node.instances.values())
    first = at - rollout.started_at < FIRST and rollout.stage is Stage.PREPARING
    if begun or not first or not rollout.compares_memory:
        return []
    return [(Role.BASELINE, f"a fresh {rollout.from_version} to compare the canary's memory with")]


def _still_held(node: NodeState) -> int:
    """Places that are still taken: of a node that cannot run twice, until their old instance is gone."""
    if node.spec.serves is not None:
        return len(condemned(node))
    wanted = wanted_stable(node)
    return sum(1 for i in node.instances.values() if i not in wanted and i.role not in BESIDE)


def _best_spare(node: NodeState) -> Instance | None:
    spares = [i for i in node.of(Role.SPARE) if i.digest == node.release.digest]
    return min(spares, key=lambda i: (not i.serves, i.created_at), default=None)


def _promote(node: NodeState, spare: Instance, reason: str, actions: list[Action]) -> NodeState:
    if spare.serves:
        actions.append(ActivateInstance(node.name, spare.id, reason))
    return node.having(replace(spare, role=Role.STABLE))


def _start(
    node: NodeState, state: HostState, role: Role, reason: str, actions: list[Action], at: float
) -> NodeState:
    if events.waiting(node):
        return node
    spec, release = _of_role(node, role)
    node, prepared = preparing.ready(node, spec, release, actions)
    if not prepared:
        return node
    name = f"{node.name}.{node.serial + 1}"
    listen, address = places(spec, state.holding(node), name)
    if spec.serves is not None and not listen:
        return crashes.wait(node, "no port of [nodes] ports in noded.toml is free", at)
    instance = Instance(name, release.digest, release.version, role, Phase.STARTING, at, at, listen, address)
    active = role is Role.STABLE
    start = StartInstance(node.name, name, release.digest, release.version, listen, active, reason, role)
    actions.append(start)
    return replace(node.having(instance), serial=node.serial + 1)


def _of_role(node: NodeState, role: Role) -> tuple[NodeSpec, Release]:
    if role is Role.CANARY and node.rollout is not None:
        return node.rollout.spec, node.rollout.release
    return node.spec, node.release


def places(spec: NodeSpec, state: HostState, name: str) -> tuple[str, str]:
    """Where it listens, and where it is reached."""
    if spec.serves is None:
        return "", ""
    if spec.serves.listen is Listen.FD:
        return HELD_SOCKET, ""
    if spec.serves.listen is Listen.UNIX:
        return f"unix:{state.host.run}/{name}/http.sock", f"unix:{state.host.run}/.listen/{name}.sock"
    taken = {i.address for n in state.nodes.values() for i in n.instances.values()}
    first, last = state.host.instance_ports
    # Start where the name points, so that a port is not reused the moment it is free.
    span = last - first + 1
    start = crc32(name.encode()) % span
    ports = (first + (start + step) % span for step in range(span))
    free = next((a for a in (f"127.0.0.1:{port}" for port in ports) if a not in taken), "")
    return free, free
