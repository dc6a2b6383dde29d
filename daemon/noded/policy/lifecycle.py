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
from noded.model.instance import BESIDE, HUNG, Instance, Phase, Role
from noded.model.state import Desired, HostState, NodeState
from noded.policy import crashes, starting
from nodespec.manifest import Probe

Outcome = tuple[NodeState, tuple[Action, ...]]

ASKED = (Probe.HTTP, Probe.TCP, Probe.EXEC)
"""Readiness that is told by an answer to noded's question."""
OWED = {
    Probe.SDK: "its SDK did not say that it is",
    Probe.NOTIFY: "READY=1 did not come",
    Probe.HTTP: "GET {path} was not answered with 2xx",
    Probe.TCP: "it took no connection",
    Probe.EXEC: "health.command did not end with 0",
}
"""What was waited for in vain."""
KILL_AGAIN = 5.0
"""A kill that has not emptied the tree after this long is sent again."""


def on_started(node: NodeState, fact: InstanceStarted) -> Outcome:
    instance = node.instances.get(fact.instance)
    if instance is None:
        return node, ()
    node = node.having(replace(instance, process=fact.process))
    if starting.spec_of(node, instance).health.readiness is Probe.NONE:
        return on_ready(node, InstanceReady(fact.at, fact.node, fact.instance, "it runs"))
    return node, ()


def on_ready(node: NodeState, fact: InstanceReady) -> Outcome:
    instance = node.instances.get(fact.instance)
    if instance is None or instance.phase is not Phase.STARTING:
        return node, ()
    if fact.spoken and starting.spec_of(node, instance).health.readiness in ASKED:
        # The manifest wants an answer from outside; that the program has come up is not enough.
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
    if instance.leaving or instance.role in BESIDE:
        return node, (clear,)
    what = f"{instance.id} exited: {fact.status}"
    return crashes.count(node, instance, what, fact.at), (clear,)


def on_start_failed(node: NodeState, fact: ActionFailed) -> Outcome:
    instance = node.instances.get(fact.instance)
    if instance is None or instance.phase is not Phase.STARTING or instance.process is not None:
        return node, ()
    actions: list[Action] = []
    if fact.kind == "TimedOut":
        # It may run all the same: it is known until a kill has found it, or nothing.
        node = _stop(node, instance, f"it may have started: {fact.cause}", actions, fact.at)
    else:
        node = node.without(instance.id)
    if fact.kind == "Unavailable":
        node = crashes.wait(node, fact.cause, fact.at)
    elif instance.role not in BESIDE:
        node = crashes.count(node, instance, fact.cause, fact.at)
    return node, tuple(actions)


def on_unreachable(node: NodeState, fact: ActionFailed) -> Outcome:
    """Where it should listen lies something else: nobody may be sent there, so it cannot stay."""
    instance = node.instances.get(fact.instance)
    if instance is None or instance.leaving:
        return node, ()
    kill = KillInstance(node.name, instance.id, fact.cause)
    gone = replace(instance, phase=Phase.STOPPING, since=fact.at, killed_at=fact.at, condemned=fact.cause)
    node = node.having(gone)
    return node if instance.role in BESIDE else crashes.count(node, instance, fact.cause, fact.at), (kill,)


def on_activate_failed(node: NodeState, fact: ActionFailed) -> tuple[Action, ...]:
    """An instance that never heard that it may act would serve and not work: tell it again."""
    instance = node.instances.get(fact.instance)
    if instance is None or not instance.serves or fact.kind != "TimedOut":
        return ()
    if instance.role is not Role.STABLE and not instance.acts:
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


def _ready(node: NodeState, name: str, at: float) -> NodeState:
    return node.having(replace(node.instances[name], phase=Phase.READY, since=at, ready_at=at))


def _retire(node: NodeState, actions: list[Action], at: float) -> NodeState:
    """Send those away that are no longer wanted, never below the capacity that is."""
    for instance in tuple(node.instances.values()):
        reason = _unwanted(node, instance, at)
        if reason and not instance.leaving:
            node = dismiss(node, instance, reason, actions, at)
    return node


def _unwanted(node: NodeState, instance: Instance, at: float) -> str:
    """Why an instance is to go; empty while it is wanted."""
    if node.desired is not Desired.RUNNING:
        return f"the node is to be {node.desired}"
    if instance.role in BESIDE:
        return "" if node.rolling_out else "its rollout has ended"
    if instance.digest != node.release.digest:
        return f"version {node.release.version} has taken over" if _can_go(node, instance) else ""
    if instance.role is Role.SPARE:
        # One of another version can take nobody's place: it makes none of this version superfluous.
        spares = tuple(i for i in node.of(Role.SPARE) if i.digest == node.release.digest)
        surplus = len(spares) - crashes.wanted_spares(node, at) - len(starting.condemned(node))
        return "it is one spare too many" if _least(spares, surplus) is instance else ""
    if instance.condemned:
        return instance.condemned if _can_go(node, instance) else ""
    wanted = starting.wanted_stable(node)
    surplus = len(wanted) - node.spec.instances
    return "it is one instance too many" if _least(wanted, surplus) is instance else ""


def _can_go(node: NodeState, instance: Instance) -> bool:
    """Whether what is to be replaced may leave now.

    An instance that serves stays until its successors have the whole capacity. A node without
    requests cannot run twice: it loses one instance at a time, the next when all run again.
    """
    if node.spec.serves is None:
        held = node.instances.values()
        return not instance.serves or (len(held) >= node.spec.instances and all(i.serves for i in held))
    return sum(1 for i in starting.wanted_stable(node) if i.serves) >= node.spec.instances


def _least(instances: tuple[Instance, ...], surplus: int) -> Instance | None:
    """Who of too many is needed least: one that is not ready yet, else the newest."""
    return max(instances, key=lambda i: (not i.serves, i.created_at)) if surplus > 0 else None


def dismiss(node: NodeState, instance: Instance, reason: str, actions: list[Action], at: float) -> NodeState:
    """Begin the way out: drain first when requests may be running, otherwise stop at once.

    A hung canary is killed: the proxy then sends what waits there to stable, where it can be done again.
    """
    if instance.role is Role.CANARY and instance.vitals.still > HUNG:
        actions.append(KillInstance(node.name, instance.id, reason))
        return node.having(replace(instance, phase=Phase.STOPPING, since=at, condemned=reason, killed_at=at))
    if instance.phase is Phase.READY and node.spec.proxied:
        return node.having(replace(instance, phase=Phase.DRAINING, since=at, condemned=reason))
    return _stop(node, instance, reason, actions, at)


def _stop(node: NodeState, instance: Instance, reason: str, actions: list[Action], at: float) -> NodeState:
    if instance.process is None and instance.phase is Phase.STARTING:
        # The start may be under way: a kill finds either the process or nothing.
        actions.append(KillInstance(node.name, instance.id, reason))
        return node.having(replace(instance, phase=Phase.STOPPING, since=at, condemned=reason, killed_at=at))
    signal = starting.spec_of(node, instance).stop.signal
    actions.append(StopInstance(node.name, instance.id, signal, reason))
    return node.having(replace(instance, phase=Phase.STOPPING, since=at, condemned=reason))


def _advance(node: NodeState, actions: list[Action], at: float) -> NodeState:
    for instance in tuple(node.instances.values()):
        timeout = starting.spec_of(node, instance).start_timeout
        if instance.phase is Phase.STARTING and at - instance.since > timeout:
            node = _start_timed_out(node, instance, timeout, actions, at)
        elif instance.phase is Phase.DRAINING and _drained(node, instance, at):
            node = _stop(node, instance, instance.condemned, actions, at)
        elif instance.phase is Phase.STOPPING and _deaf(node, instance, at):
            late = f"still there {at - instance.since:.0f} s after it was told to stop"
            actions.append(KillInstance(node.name, instance.id, late))
            node = node.having(replace(instance, killed_at=at))
    return node


def _start_timed_out(
    node: NodeState, instance: Instance, timeout: float, actions: list[Action], at: float
) -> NodeState:
    health = starting.spec_of(node, instance).health
    owed = OWED.get(health.readiness, "it was not reported to run").format(path=health.path)
    what = f"{instance.id} was not ready within {timeout:.0f} s of its start ({owed})"
    actions.append(KillInstance(node.name, instance.id, what))
    node = node.having(replace(instance, phase=Phase.STOPPING, since=at, killed_at=at, condemned=what))
    return node if instance.role in BESIDE else crashes.count(node, instance, what, at)


def _drained(node: NodeState, instance: Instance, at: float) -> bool:
    """No request in flight by a count that was taken after the proxy stopped sending, or time is up."""
    if at - instance.since >= starting.spec_of(node, instance).stop.timeout:
        return True
    return instance.load.counted_at > instance.since + 0.3 and instance.load.sessions == 0


def _deaf(node: NodeState, instance: Instance, at: float) -> bool:
    if instance.killed_at:
        return at - instance.killed_at >= KILL_AGAIN
    return at - instance.since >= starting.spec_of(node, instance).stop.timeout
