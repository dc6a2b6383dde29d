"""What does Prometheus see of the mesh? Everything is read off the broker's map when it is asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from nodeapi.v1 import mesh_pb2
from nodemesh.ports import LATENCIES


@dataclass(frozen=True, slots=True)
class Facts:
    flows: mesh_pb2.MapReply
    commits: Sequence[int]
    """By how long they took: those within each of LATENCIES, then the longer ones."""
    commit_seconds: float
    waiting: bool
    """Nothing can be written at present."""
    lost: int
    """Frames that damaged files have lost."""


def text(facts: Facts) -> bytes:
    """As Prometheus reads it."""
    registry = CollectorRegistry()
    registry.register(_Mesh(facts))
    return generate_latest(registry)


class _Mesh(Collector):
    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        facts, flows = self._facts, self._facts.flows
        yield GaugeMetricFamily("noded_mesh_log_bytes", "Bytes of events on disk.", float(flows.log_bytes))
        yield GaugeMetricFamily(
            "noded_mesh_log_limit_bytes", "The most there may be.", float(flows.log_limit)
        )
        full = "1 while publishers wait because nothing can be written."
        yield GaugeMetricFamily("noded_mesh_waiting", full, float(facts.waiting))
        yield CounterMetricFamily(
            "noded_mesh_lost_frames", "Frames that damaged files have lost.", float(facts.lost)
        )
        limits = [*map(str, LATENCIES), "+Inf"]
        yield HistogramMetricFamily(
            "noded_mesh_commit_seconds",
            "Time to bring a group of events to disk.",
            [(limit, float(sum(facts.commits[: n + 1]))) for n, limit in enumerate(limits)],
            facts.commit_seconds,
        )
        yield from _peers(flows)
        yield from _published(flows)
        yield from _consumed(flows)


def _peers(flows: mesh_pb2.MapReply) -> Iterator[Metric]:
    up = GaugeMetricFamily("noded_mesh_peer_up", "Whether a peer answers.", labels=["peer"])
    sent = CounterMetricFamily("noded_mesh_peer_sent_events", "Events given to a peer.", labels=["peer"])
    received = CounterMetricFamily("noded_mesh_peer_received_events", "Events of a peer.", labels=["peer"])
    for peer in flows.peers:
        up.add_metric([peer.name], float(peer.connected))
        sent.add_metric([peer.name], float(peer.sent))
        received.add_metric([peer.name], float(peer.received))
    yield from (up, sent, received)


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
        # Of its types one may be left behind, because nobody who is there handles it.
        lag.add_metric([node], max(each.lag for each in flows.flows if each.consumer == node))
        dead.add_metric([node], flow.dead)
        retried.add_metric([node], flow.retried)
        for count in flow.versions:
            delivered.add_metric([node, count.version], count.delivered)
            acked.add_metric([node, count.version], count.acked)
            failed.add_metric([node, count.version], count.failed)
    yield from (lag, dead, retried, delivered, acked, failed)
