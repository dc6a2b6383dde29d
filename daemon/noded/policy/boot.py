"""noded has started: what of the world is still as it was, and what has changed meanwhile?

Nothing remembered is done again. What runs is compared with what is remembered; the rest is left
to the ordinary comparison of what is with what is wanted.
"""

from dataclasses import replace

from noded.model.actions import Action, ActivateInstance, AdoptInstance, KillInstance, RemoveInstance
from noded.model.incident import Stage
from noded.model.inputs import Booted, InstanceExited, InstanceStarted, Observed
from noded.model.instance import Instance, Phase, Role
from noded.model.state import Desired, HostState, NodeState
from noded.policy import healing, lifecycle, rollout
from nodespec.manifest import Rung


def on_booted(state: HostState, fact: Booted) -> tuple[HostState, tuple[Action, ...]]:
    state = replace(state, host=fact.host, proxy="", booted_at=fact.at)
    state = _with_registry(state, fact)
    alive = {o.instance: o for o in fact.observed}
    actions: list[Action] = []
    for node in tuple(state.nodes.values()):
        node = replace(node, route=None, wake_at=0.0)
        for instance in tuple(node.instances.values()):
            node = _compare(node, instance, alive.pop(instance.id, None), fact.at, actions)
        state = state.holding(_healing_again(node, fact.at))
    for stray in alive.values():
        name = stray.instance.rpartition(".")[0]
        actions.append(
            KillInstance(name, stray.instance, "noded does not know it: nobody may run what nobody watches")
        )
        actions.append(RemoveInstance(name, stray.instance, "it was unknown"))
    return _beyond_strays(state, fact), tuple(actions)


def _with_registry(state: HostState, fact: Booted) -> HostState:
    """Nodes that the registry knows and we do not: our memory was lost, or they came while we were away."""
    for known in fact.known:
        name = known.spec.name
        if name in state.removed and name not in state.nodes:
            # We removed it and the registry was not told.
            numbers = replace(state.removed[name], recorded=False)
            state = replace(state, removed={**state.removed, name: numbers})
        elif name not in state.nodes and known.desired != Desired.REMOVED:
            node = NodeState(
                spec=known.spec,
                release=known.release,
                desired=Desired(known.desired),
                releases=(known.release,),
            )
            state = state.holding(node)
    return state


def _compare(
    node: NodeState, instance: Instance, found: Observed | None, at: float, actions: list[Action]
) -> NodeState:
    same = found is not None and (
        instance.process is None
        or (found.process.pid, found.process.start_time)
        == (instance.process.pid, instance.process.start_time)
    )
    if found is not None and same:
        ready = instance.phase is not Phase.STARTING
        actions.append(
            AdoptInstance(
                node.name,
                instance.id,
                instance.digest,
                found.process,
                instance.address,
                ready,
                "it lived on without noded",
            )
        )
        if instance.role is Role.STABLE and ready:
            # The order may have been under way when noded ended; being told twice is harmless.
            actions.append(ActivateInstance(node.name, instance.id, "it is stable"))
        node, more = lifecycle.on_started(node, InstanceStarted(at, node.name, instance.id, found.process))
        actions += more
        return node
    if found is not None:
        actions.append(KillInstance(node.name, instance.id, "another process has its name"))
    gone = InstanceExited(at, node.name, instance.id, "while noded was away")
    node, undone = rollout.on_exited(node, gone)
    node = healing.on_exited(node, gone)
    node, clear = lifecycle.on_exited(node, gone)
    actions += (*undone, *clear)
    return node


def _healing_again(node: NodeState, at: float) -> NodeState:
    """An order that was under way may or may not have been done: choose again, budgets are kept.

    A replacement is no order: it goes on by what is. A profile that runs is asked to end.
    """
    now = node.healing.now
    if now is None or now.stage not in (Stage.EVIDENCE, Stage.ACTING):
        return node
    if now.attempt is not None and now.attempt.rung is Rung.REPLACE:
        return node
    stage = Stage.EVIDENCE if now.stage is Stage.EVIDENCE else Stage.CHOOSING
    again = replace(now, stage=stage, attempt=None, since=at, profiled=False)
    return replace(node, healing=replace(node.healing, now=again))


def _beyond_strays(state: HostState, fact: Booted) -> HostState:
    """Never give a new instance the name of one that was seen."""
    for observed in fact.observed:
        name, _, number = observed.instance.rpartition(".")
        node = state.nodes.get(name)
        if node is not None and number.isdigit() and int(number) > node.serial:
            state = state.holding(replace(node, serial=int(number)))
    return state
