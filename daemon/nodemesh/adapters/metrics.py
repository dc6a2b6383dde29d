"""What does Prometheus see of the mesh? Everything is read off the broker's map when it is asked for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from nodeapi.v1 import mesh_pb2
from nodemesh.ports import Refused


@dataclass(frozen=True, slots=True)
class Facts:
    flows: mesh_pb2.MapReply
    commits: int
    commit_seconds: float
    waiting: bool
    """Nothing can be written at present."""


def serve(facts: Callable[[], Facts], listen: str) -> tuple[WSGIServer, Thread] | None:
    """Serve /metrics from a thread; None when switched off. Raises Refused when the address cannot be had."""
    if listen == "off":
        return None
    host, _, port = listen.rpartition(":")
    registry = CollectorRegistry()
    registry.register(_Mesh(facts))
    try:
        return start_http_server(int(port), host, registry)
    except OSError as error:
        text = f"cannot serve metrics on {listen}: {error.strerror}: choose another in [mesh] listen"
        raise Refused(text) from error


class _Mesh(Collector):
    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        facts = self._facts()
        flows = facts.flows
        yield GaugeMetricFamily("noded_mesh_log_bytes", "Bytes of events on disk.", float(flows.log_bytes))
        yield GaugeMetricFamily(
            "noded_mesh_log_limit_bytes", "The most there may be.", float(flows.log_limit)
        )
        full = "1 while publishers wait because nothing can be written."
        yield GaugeMetricFamily("noded_mesh_waiting", full, float(facts.waiting))
        yield SummaryMetricFamily(
            "noded_mesh_commit_seconds",
            "Time to bring a group of events to disk.",
            facts.commits,
            facts.commit_seconds,
        )
        up = GaugeMetricFamily("noded_mesh_peer_up", "Whether a peer answers.", labels=["peer"])
        for peer in flows.peers:
            up.add_metric([peer.name], float(peer.connected))
        yield up
        yield from _published(flows)
        yield from _consumed(flows)


def _published(flows: mesh_pb2.MapReply) -> Iterator[Metric]:
    published = CounterMetricFamily(
        "noded_mesh_published_events", "Events on disk since the mesh started.", labels=["type", "node"]
    )
    for type, node, count in sorted({(f.type, f.publisher, f.published) for f in flows.flows if f.publisher}):
        published.add_metric([type, node], count)
    yield published


def _consumed(flows: mesh_pb2.MapReply) -> Iterator[Metric]:
    by_node = {flow.consumer: flow for flow in flows.flows if flow.consumer}
    lag = GaugeMetricFamily("noded_mesh_lag_events", "Events a node has not handled yet.", labels=["node"])
    dead = GaugeMetricFamily("noded_mesh_dead_events", "Events set aside for a person.", labels=["node"])
    retried = CounterMetricFamily("noded_mesh_retried_events", "Tries after the first.", labels=["node"])
    labels = ["node", "version"]
    delivered = CounterMetricFamily(
        "noded_mesh_delivered_events", "Events given to instances.", labels=labels
    )
    acked = CounterMetricFamily("noded_mesh_acked_events", "Events handled.", labels=labels)
    failed = CounterMetricFamily("noded_mesh_failed_events", "Tries that failed.", labels=labels)
    for node, flow in sorted(by_node.items()):
        lag.add_metric([node], flow.lag)
        dead.add_metric([node], flow.dead)
        retried.add_metric([node], flow.retried)
        for count in flow.versions:
            delivered.add_metric([node, count.version], count.delivered)
            acked.add_metric([node, count.version], count.acked)
            failed.add_metric([node, count.version], count.failed)
    yield from (lag, dead, retried, delivered, acked, failed)
