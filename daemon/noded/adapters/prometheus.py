"""What does Prometheus see of this host? Everything is read off the state when it is asked for."""

from collections.abc import Callable, Iterator
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from noded.adapters.control_status import Facts, host_status
from noded.adapters.rollout_metrics import ROLLOUT, of_rollouts
from noded.model.instance import Role
from noded.model.state import HostState, NodeState
from noded.ports import Refused

View = Callable[[], HostState]


def serve(
    view: View, version: str, listen: str, facts: Callable[[], Facts]
) -> tuple[WSGIServer, Thread] | None:
    """Serve /metrics from a thread; None when switched off. Raises Refused when the address cannot be had."""
    if listen == "off":
        return None
    host, _, port = listen.rpartition(":")
    registry = CollectorRegistry()
    registry.register(StateCollector(view, version, facts))
    try:
        return start_http_server(int(port), host, registry)
    except OSError as error:
        text = f"cannot serve metrics on {listen}: {error.strerror}: choose another in [metrics] listen"
        raise Refused(text) from error


class StateCollector(Collector):
    def __init__(self, view: View, version: str, facts: Callable[[], Facts]) -> None:
        self._view = view
        self._version = version
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        state = self._view()
        nodes = [node for _, node in sorted(state.nodes.items())]
        info = GaugeMetricFamily("noded_build_info", "Version of noded; always 1.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info
        yield GaugeMetricFamily("noded_proxy_up", "1 while the proxy answers.", float(bool(state.proxy)))
        answers = float(bool(state.mesh.generation))
        yield GaugeMetricFamily("noded_mesh_up", "1 while noded-mesh answers.", answers)
        held = float(state.paused or state.held)
        yield GaugeMetricFamily("noded_paused", "1 while the whole host is paused.", held)
        yield from _of_host(state, self._facts())
        yield from _of_instances(nodes)
        yield from _of_nodes(nodes)
        yield from of_rollouts(nodes)


def _of_host(state: HostState, facts: Facts) -> Iterator[Metric]:
    waits = GaugeMetricFamily(
        "noded_host_pressure_ratio",
        "Share of the last 10 s in which some work waited; absent where the kernel does not tell.",
        labels=["resource"],
    )
    told = {"cpu": facts.pressure.cpu, "memory": facts.pressure.memory, "io": facts.pressure.io}
    for resource, share in told.items():
        if share >= 0:
            waits.add_metric([resource], share)
    yield waits
    yield GaugeMetricFamily("noded_launcher_up", "1 while the launcher answers.", float(facts.launcher_up))
    alarms = float(len(host_status(state, facts).alarms))
    yield GaugeMetricFamily("noded_alarms", "What is wrong with the host itself and goes on.", alarms)
    full = float(bool(state.full))
    yield GaugeMetricFamily("noded_disk_full", "1 while the state folder's disk has no room.", full)


def _of_instances(nodes: list[NodeState]) -> Iterator[Metric]:
    labels = ["node", "instance", "role"]
    memory = GaugeMetricFamily(
        "noded_instance_memory_bytes", "Anonymous memory of an instance.", labels=labels
    )
    cpu = GaugeMetricFamily("noded_instance_cpu_cores", "Cores an instance uses.", labels=labels)
    lag = GaugeMetricFamily("noded_instance_loop_lag_seconds", "Lateness of its event loop.", labels=labels)
    requests = CounterMetricFamily("noded_instance_requests", "Requests the proxy sent.", labels=labels)
    bad = CounterMetricFamily("noded_instance_bad_requests", "Those that failed.", labels=labels)
    for node in nodes:
        for instance in node.instances.values():
            values = [node.name, instance.id, str(instance.role)]
            memory.add_metric(values, instance.vitals.memory)
            cpu.add_metric(values, instance.vitals.cpu)
            lag.add_metric(values, instance.vitals.loop_lag)
            requests.add_metric(values, instance.load.requests)
            bad.add_metric(values, instance.load.bad)
    yield from (memory, cpu, lag, requests, bad)


def _of_nodes(nodes: list[NodeState]) -> Iterator[Metric]:
    wanted = GaugeMetricFamily(
        "noded_node_instances_wanted", "Stable instances a node is to have.", labels=["node"]
    )
    ready = GaugeMetricFamily(
        "noded_node_instances_ready", "Stable instances that are ready.", labels=["node"]
    )
    restarts = CounterMetricFamily(
        "noded_node_restarts", "Instances that ended without being told to.", labels=["node"]
    )
    failed = GaugeMetricFamily(
        "noded_node_failed", "1 for a node that crashed so often that it was given up.", labels=["node"]
    )
    open_ = GaugeMetricFamily("noded_node_incidents_open", "Open incidents.", labels=["node"])
    limit = GaugeMetricFamily(
        "noded_node_memory_limit_bytes", "Memory limit of one instance; 0 for none.", labels=["node"]
    )
    rungs = CounterMetricFamily(
        "noded_healing_steps", "Healing steps by outcome.", labels=["node", "step", "verdict"]
    )
    for node in nodes:
        wanted.add_metric([node.name], node.spec.instances)
        ready.add_metric([node.name], sum(1 for i in node.of(Role.STABLE) if i.serves))
        restarts.add_metric([node.name], node.restarts)
        failed.add_metric([node.name], float(node.failed))
        open_.add_metric([node.name], float(node.healing.now is not None))
        limit.add_metric([node.name], node.spec.resources.memory)
        for what, how, count in _ends(node):
            if what != ROLLOUT:
                rungs.add_metric([node.name, what, how], count)
    yield from (wanted, ready, restarts, failed, open_, limit, rungs)


def _ends(node: NodeState) -> Iterator[tuple[str, str, int]]:
    """What ended, how, and how often."""
    for key, count in sorted(node.totals.items()):
        what, _, how = key.partition("/")
        yield what, how.replace(" ", "_"), count
