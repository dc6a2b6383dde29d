"""What do the newest readings say about each instance?"""

from dataclasses import replace

from noded.model.actions import Action
from noded.model.inputs import Reading, Sampled, TrafficCounted
from noded.model.instance import Instance, Load, Phase, Role
from noded.model.route import Traffic
from noded.model.state import HostState, NodeState
from noded.policy import healing, rollout, trend


def on_sampled(state: HostState, fact: Sampled) -> tuple[HostState, tuple[Action, ...]]:
    actions: list[Action] = []
    nodes = dict(state.nodes)
    for reading in fact.readings:
        node = nodes.get(reading.node)
        if node is not None and reading.instance in node.instances:
            limit = node.spec.resources.memory or state.host.memory
            paused = node.paused or state.limited
            nodes[node.name] = _read(node, reading, limit, paused, fact.at, actions)
    return replace(state, nodes=nodes), tuple(actions)


def on_counted(state: HostState, fact: TrafficCounted) -> HostState:
    counts = {count.instance: count for count in fact.counts}
    nodes = dict(state.nodes)
    for node in state.nodes.values():
        if any(name in counts for name in node.instances):
            nodes[node.name] = rollout.on_counted(_counted(node, counts, fact.at))
    return replace(state, nodes=nodes)


def _read(
    node: NodeState, reading: Reading, limit: int, paused: bool, at: float, actions: list[Action]
) -> NodeState:
    instance = replace(node.instances[reading.instance], vitals=reading.vitals)
    if instance.phase is not Phase.READY:
        # Memory of a start or of an end says nothing about the life between them.
        return node.having(instance)
    grown, growth = trend.step(instance.trend, at, reading.vitals.memory, limit)
    instance = replace(instance, trend=grown)
    node = node.having(instance)
    if growth is None or instance.role is not Role.STABLE or node.rolling_out or paused:
        return node
    node, more = healing.on_growth(node, instance, growth, limit, at)
    actions += more
    return node


def _counted(node: NodeState, counts: dict[str, Traffic], at: float) -> NodeState:
    held: dict[str, Instance] = {}
    for name, instance in node.instances.items():
        count = counts.get(name)
        if count is None:
            held[name] = instance
            continue
        load = Load(count.requests, count.bad, count.sessions, count.up, at)
        held[name] = replace(instance, load=load)
    return replace(node, instances=held)
