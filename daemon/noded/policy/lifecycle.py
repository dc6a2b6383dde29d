"""Which instances should a node have, and what follows when one starts, is ready or ends?

`reconcile` compares what is with what is wanted, whatever happened before; the `on_` functions
only note facts. An instance goes starting -> ready -> draining -> stopping -> gone, and may
leave that path at any point by exiting.
"""

from dataclasses import replace

from noded.model.actions import (
    Action,
    ActivateInstance,
    KillInstance,
    RemoveInstance,
    StopInstance,
)
from noded.model.inputs import ActionFailed, InstanceExited, InstanceReady, InstanceStarted
from noded.model.instance import Instance, Phase, Role
from noded.model.state import Backoff, Desired, HostState, NodeState
from noded.policy import starting
from nodespec.manifest import Probe

Outcome = tuple[NodeState, tuple[Action, ...]]

KILL_AGAIN = 5.0
"""A kill that has not emptied the tree after this long is sent again."""


def on_started(node: NodeState, fact: InstanceStarted) -> NodeState:
    instance = node.instances.get(fact.instance)
    if instance is None:
        return node
    node = node.having(replace(instance, process=fact.process))
    if instance.phase is Phase.STARTING and _spec_readiness(node, instance) is Probe.NONE:
        return _ready(node, instance.id, fact.at)
    return node


def on_ready(node: NodeState, fact: InstanceReady) -> Outcome:
    instance = node.instances.get(fact.instance)
    if instance is None or instance.phase is not Phase.STARTING:
        return node, ()
    node = _ready(node, instance.id, fact.at)
    if instance.role is Role.STABLE:
        return node, (ActivateInstance(node.name, instance.id, "it is ready and takes traffic"),)
    return node, ()


def on_exited(node: NodeState, fact: InstanceExited) -> Outcome:
    """Note an end. Expected ends cost nothing; others count towards the restart delay."""
    instance = node.instances.get(fact.instance)
    if instance is None:
        return node, ()
    clear = RemoveInstance(node.name, instance.id, f"it exited: {fact.status}")
    node = node.without(instance.id)
    if instance.leaving or instance.role is Role.CANARY:
        return node, (clear,)
    what = f"{instance.id} exited: {fact.status}"
    return _failed(node, instance, what, fact.at), (clear,)


def on_start_failed(node: NodeState, fact: ActionFailed) -> NodeState:
    instance = node.instances.get(fact.instance)
    if instance is None or instance.phase is not Phase.STARTING or instance.process is not None:
        return node
    node = node.without(instance.id)
    if instance.role is Role.CANARY:
        return node
    return _failed(node, instance, fact.cause, fact.at)


def on_activate_failed(node: NodeState, fact: ActionFailed) -> tuple[Action, ...]:
    """A stable instance that never heard that it may act would serve and not work: tell it again."""
    instance = node.instances.get(fact.instance)
    if instance is None or instance.role is not Role.STABLE or not instance.serves or fact.kind != "TimedOut":
        return ()
    return (ActivateInstance(node.name, instance.id, f"told again: {fact.cause}"),)


def reconcile(node: NodeState, state: HostState, at: float) -> Outcome:
    """Bring the node's instances nearer to what is wanted; safe to call at any time."""
    actions: list[Action] = []
    if node.desired is Desired.RUNNING:
        node = starting.promote_spares(node, actions)
        node = starting.replace_condemned(node, state, actions, at)
        node = starting.start_missing(node, state, actions, at)
    node = _retire(node, actions, at)
    node = _advance(node, actions, at)
    return node, tuple(actions)


def _spec_readiness(node: NodeState, instance: Instance) -> Probe:
    rollout = node.rollout
    if rollout and rollout.release.digest == instance.digest:
        return rollout.spec.health.readiness
    return node.spec.health.readiness


def _ready(node: NodeState, name: str, at: float) -> NodeState:
    return node.having(replace(node.instances[name], phase=Phase.READY, since=at, ready_at=at))


def _failed(node: NodeState, instance: Instance, what: str, at: float) -> NodeState:
    healthy = instance.ready_at > 0 and at - instance.ready_at >= starting.HEALTHY_RUN
    failures = 1 if healthy else node.backoff.failures + 1
    until = at + starting.restart_delay(node.name, failures)
    return replace(node, backoff=Backoff(failures, until, what), restarts=node.restarts + 1)


def _retire(node: NodeState, actions: list[Action], at: float) -> NodeState:
    """Send those away that are no longer wanted, never below the capacity that is."""
    for instance in tuple(node.instances.values()):
        reason = _unwanted(node, instance)
        if reason and not instance.leaving:
            node = dismiss(node, instance, reason, actions, at)
    return node


def _unwanted(node: NodeState, instance: Instance) -> str:
    """Why an instance is to go; empty while it is wanted."""
    if node.desired is not Desired.RUNNING:
        return f"the node is to be {node.desired}"
    if instance.role is Role.CANARY:
        return "" if node.rolling_out else "its rollout has ended"
    if instance.digest != node.release.digest:
        capacity = sum(1 for i in node.of(Role.STABLE) if i.serves and i.digest == node.release.digest)
        enough = capacity >= node.spec.instances or node.spec.serves is None
        return f"version {node.release.version} has taken over" if enough else ""
    return _surplus_spare(node, instance) if instance.role is Role.SPARE else _surplus_stable(node, instance)


def _surplus_spare(node: NodeState, instance: Instance) -> str:
    spares = node.of(Role.SPARE)
    surplus = len(spares) - node.spec.spares - len(starting.condemned(node))
    return "it is one spare too many" if surplus > 0 and spares[-1].id == instance.id else ""


def _surplus_stable(node: NodeState, instance: Instance) -> str:
    wanted = [i for i in node.of(Role.STABLE) if not i.condemned and i.digest == node.release.digest]
    if instance.condemned:
        replaced = sum(1 for i in wanted if i.serves) >= node.spec.instances
        return instance.condemned if replaced or node.spec.serves is None else ""
    surplus = len(wanted) - node.spec.instances
    return "it is one instance too many" if surplus > 0 and instance.id == wanted[-1].id else ""


def dismiss(node: NodeState, instance: Instance, reason: str, actions: list[Action], at: float) -> NodeState:
    """Begin the way out: drain first when requests may be running, otherwise stop at once."""
    if instance.phase is Phase.READY and node.spec.serves is not None:
        return node.having(replace(instance, phase=Phase.DRAINING, since=at, condemned=reason))
    return _stop(node, instance, reason, actions, at)


def _stop(node: NodeState, instance: Instance, reason: str, actions: list[Action], at: float) -> NodeState:
    if instance.process is None and instance.phase is Phase.STARTING:
        # The start may be under way: a kill finds either the process or nothing.
        actions.append(KillInstance(node.name, instance.id, reason))
        return node.having(replace(instance, phase=Phase.STOPPING, since=at, condemned=reason, killed_at=at))
    actions.append(StopInstance(node.name, instance.id, node.spec.stop.signal, reason))
    return node.having(replace(instance, phase=Phase.STOPPING, since=at, condemned=reason))


def _advance(node: NodeState, actions: list[Action], at: float) -> NodeState:
    for instance in tuple(node.instances.values()):
        if instance.phase is Phase.STARTING and at - instance.since > node.spec.start_timeout:
            node = _start_timed_out(node, instance, actions, at)
        elif instance.phase is Phase.DRAINING and _drained(node, instance, at):
            node = _stop(node, instance, instance.condemned, actions, at)
        elif instance.phase is Phase.STOPPING and _deaf(node, instance, at):
            late = f"still there {at - instance.since:.0f} s after it was told to stop"
            actions.append(KillInstance(node.name, instance.id, late))
            node = node.having(replace(instance, killed_at=at))
    return node


def _start_timed_out(node: NodeState, instance: Instance, actions: list[Action], at: float) -> NodeState:
    what = f"{instance.id} was not ready within {node.spec.start_timeout:.0f} s of its start"
    actions.append(KillInstance(node.name, instance.id, what))
    node = node.having(replace(instance, phase=Phase.STOPPING, since=at, killed_at=at, condemned=what))
    return node if instance.role is Role.CANARY else _failed(node, instance, what, at)


def _drained(node: NodeState, instance: Instance, at: float) -> bool:
    """No request in flight by a count that was taken after the proxy stopped sending, or time is up."""
    if at - instance.since >= node.spec.stop.timeout:
        return True
    return instance.load.counted_at > instance.since + 0.3 and instance.load.sessions == 0


def _deaf(node: NodeState, instance: Instance, at: float) -> bool:
    if instance.killed_at:
        return at - instance.killed_at >= KILL_AGAIN
    return at - instance.since >= node.spec.stop.timeout
