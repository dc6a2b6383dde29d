"""What follows from an administrator's order, and when is it refused?"""

from dataclasses import replace

from noded.model.actions import Action, Answer, RecordNode, ReloadInstance
from noded.model.incident import Stage
from noded.model.inputs import CommandRequested
from noded.model.instance import Role
from noded.model.state import Backoff, Desired, HostState, NodeState
from noded.policy import capacity, ordered, rollout, starting, storage
from noded.policy.ordered import Conflicted, Outcome, Refusal


def on_command(state: HostState, fact: CommandRequested) -> tuple[HostState, tuple[Action, ...]]:
    if not state.journaled and fact.verb not in ("pause", "resume"):
        told = storage.refusal(state, f"cannot {fact.verb} {fact.node}")
        return state, (Answer(fact.request, fact.node, "refused", told),)
    if not fact.node:
        return _host(state, fact)
    node = state.nodes.get(fact.node)
    if node is None:
        return state, (Answer(fact.request, fact.node, "not found", f"no such node: {fact.node}"),)
    try:
        node, actions, text = _order(node, state, fact)
    except Conflicted as found:
        text = str(found)
        return state, (
            Answer(fact.request, fact.node, "conflict", text, "", f"refused: {text}", found.known),
        )
    except Refusal as refusal:
        return state, (Answer(fact.request, fact.node, "refused", str(refusal)),)
    answer = Answer(fact.request, fact.node, "", text, reason=f"{fact.by} ordered {fact.verb}")
    return state.holding(node), (*actions, answer)


def _host(state: HostState, fact: CommandRequested) -> tuple[HostState, tuple[Action, ...]]:
    if fact.verb not in ("pause", "resume"):
        return state, (Answer(fact.request, "", "refused", f"{fact.verb} needs a node"),)
    paused = fact.verb == "pause"
    text = "the host is paused: restarts go on, nothing else" if paused else "the host is no longer paused"
    return replace(state, paused=paused), (Answer(fact.request, "", "", text),)


def _order(node: NodeState, state: HostState, fact: CommandRequested) -> Outcome:
    match fact.verb:
        case "start":
            return _start(node, state, fact)
        case "stop":
            return _stop(node, fact, Desired.STOPPED, "stops")
        case "remove":
            return _stop(node, fact, Desired.REMOVED, "is being removed; its releases and data stay on disk")
        case "restart":
            return _restart(node, fact)
        case "reload":
            return _reload(node, fact)
        case "pause":
            return replace(node, paused=True), (), f"{node.name} is paused: restarts go on, nothing else"
        case "resume":
            return replace(node, paused=False), (), f"{node.name} is no longer paused"
        case "abort" | "promote" | "finish" | "hold" | "continue" | "retry" | "rollback":
            return ordered.on_order(node, state, fact)
        case "approve":
            return _approve(node)
        case _:
            raise Refusal(f"unknown order: {fact.verb}")


def _start(node: NodeState, state: HostState, fact: CommandRequested) -> Outcome:
    if node.desired is Desired.REMOVED:
        raise Refusal(f"{node.name} is being removed: apply it again when it is gone")
    down = fact.at < node.backoff.until or len(node.of(Role.STABLE)) < node.spec.instances
    if node.desired is Desired.RUNNING and not down:
        return node, (), f"{node.name} is to run already"
    short = capacity.refusal(state, node.spec) if node.desired is Desired.STOPPED else ""
    if short:
        raise Refusal(short)
    node = replace(node, desired=Desired.RUNNING, backoff=Backoff())
    return node, (_recorded(node, fact),), f"{node.name} starts"


def _stop(node: NodeState, fact: CommandRequested, desired: Desired, text: str) -> Outcome:
    if node.desired is desired:
        return node, (), f"{node.name} is to be {desired} already"
    if node.desired is Desired.REMOVED:
        raise Refusal(f"{node.name} is being removed: nothing is left to stop")
    node, actions = rollout.roll_back(node, f"{fact.by} ordered {fact.verb}", fact.at, fact.by)
    node = replace(node, desired=desired)
    return node, (*actions, _recorded(node, fact)), f"{node.name} {text}"


def _restart(node: NodeState, fact: CommandRequested) -> Outcome:
    if node.desired is not Desired.RUNNING:
        raise Refusal(f"{node.name} is to be {node.desired}: nodectl start {node.name}")
    for instance in node.of(Role.STABLE):
        if not instance.condemned:
            node = node.having(replace(instance, condemned=f"{fact.by} ordered restart"))
    return replace(node, backoff=Backoff()), (), f"{node.name} restarts, one instance at a time"


def _reload(node: NodeState, fact: CommandRequested) -> Outcome:
    actions: list[Action] = []
    for instance in node.instances.values():
        signal = starting.spec_of(node, instance).reload
        if instance.serves and signal:
            actions.append(ReloadInstance(node.name, instance.id, signal, f"{fact.by} ordered reload"))
    if not node.spec.reload:
        raise Refusal(f"{node.name} has no [node] reload in its manifest: nodectl restart {node.name}")
    if not actions:
        raise Refusal(f"no instance of {node.name} is ready: nodectl status {node.name}")
    told = ", ".join(action.instance for action in actions if isinstance(action, ReloadInstance))
    return node, tuple(actions), f"{node.spec.reload} goes to {told}"


def _approve(node: NodeState) -> Outcome:
    incident = node.healing.now
    if incident is None or incident.stage is not Stage.WAITING:
        raise Refusal(f"nothing of {node.name} waits for approval: nodectl incidents {node.name}")
    approved = replace(node.healing, now=replace(incident, approved=True))
    return replace(node, healing=approved), (), f"approved: {incident.outcome}"


def _recorded(node: NodeState, fact: CommandRequested) -> RecordNode:
    why = f"{fact.by} ordered {fact.verb}"
    return RecordNode(node.name, node.release.version, node.release.digest, node.desired, why)
