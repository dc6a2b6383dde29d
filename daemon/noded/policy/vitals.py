"""What do the newest readings say about each instance?"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from itertools import groupby
from operator import attrgetter

from noded.model.actions import Action
from noded.model.inputs import Reading, Sampled, SignalsTold, TrafficCounted
from noded.model.instance import Instance, Load, Phase, Role, Vitals
from noded.model.route import Traffic
from noded.model.state import HostState, NodeState
from noded.model.trend import Trend
from noded.policy import counting, healing, pace, trend

_NODE_FIELDS = [field.name for field in fields(NodeState)]
_INSTANCE_FIELDS = [field.name for field in fields(Instance)]
_OF_NODE = attrgetter(*_NODE_FIELDS)
_OF_INSTANCE = attrgetter(*_INSTANCE_FIELDS)
_INSTANCES = _NODE_FIELDS.index("instances")
_VITALS, _TREND = _INSTANCE_FIELDS.index("vitals"), _INSTANCE_FIELDS.index("trend")


def on_sampled(state: HostState, fact: Sampled) -> tuple[HostState, tuple[Action, ...]]:
    actions: list[Action] = []
    nodes = dict(state.nodes)
    for name, readings in groupby(fact.readings, key=attrgetter("node")):
        node = nodes.get(name)
        if node is not None:
            limit = node.spec.resources.memory or state.host.memory
            paused = node.paused or state.limited
            nodes[name] = _read(node, readings, limit, paused, fact.at, actions)
    return replace(state, nodes=nodes), tuple(actions)


def on_counted(state: HostState, fact: TrafficCounted) -> HostState:
    counts = {count.instance: count for count in fact.counts}
    nodes = dict(state.nodes)
    for node in state.nodes.values():
        if any(name in counts for name in node.instances):
            read = _counted(node, counts, fact.at)
            nodes[node.name] = pace.kept(node, counting.on_counted(read, fact.at), fact.at)
    return replace(state, nodes=nodes)


def on_told(state: HostState, fact: SignalsTold) -> HostState:
    for node in state.nodes.values():
        if node.rolling_out:
            state = state.holding(pace.kept(node, counting.on_told(node, fact), fact.at))
    return state


def _read(
    node: NodeState, readings: Iterable[Reading], limit: int, paused: bool, at: float, actions: list[Action]
) -> NodeState:
    held = dict(node.instances)
    for reading in readings:
        instance = held.get(reading.instance)
        if instance is None:
            continue
        if instance.phase is not Phase.READY:
            # Memory of a start or of an end says nothing about the life between them.
            held[instance.id] = replace(instance, vitals=reading.vitals)
            continue
        grown, growth = trend.step(instance.trend, at, reading.vitals.memory, limit)
        held[instance.id] = instance = _known(instance, reading.vitals, grown)
        if growth is None or instance.role is not Role.STABLE or node.rolling_out or paused:
            continue
        node, more = healing.on_growth(replace(node, instances=held), instance, growth, limit, at)
        held = dict(node.instances)
        actions += more
    return _holding(node, held)


# Every instance of the host is read every second, and `replace` would take three times as long.


def _holding(node: NodeState, instances: Mapping[str, Instance]) -> NodeState:
    values = [*_OF_NODE(node)]
    values[_INSTANCES] = instances
    return NodeState(*values)


def _known(instance: Instance, vitals: Vitals, grown: Trend) -> Instance:
    values = [*_OF_INSTANCE(instance)]
    values[_VITALS], values[_TREND] = vitals, grown
    return Instance(*values)


def _counted(node: NodeState, counts: dict[str, Traffic], at: float) -> NodeState:
    held: dict[str, Instance] = {}
    for name, instance in node.instances.items():
        count = counts.get(name)
        if count is None:
            held[name] = instance
            continue
        down_since = 0.0 if count.up else instance.load.down_since or at
        again = count.again, count.again_bad
        load = Load(count.requests, count.bad, count.sessions, count.up, at, count.moved, down_since, *again)
        held[name] = replace(instance, load=load)
    return replace(node, instances=held)
