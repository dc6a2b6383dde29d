"""What does Prometheus see of rollouts? Counts are those of the rollout under way, and begin with it."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from noded.model.rollout import Rollout, Stage, Step
from noded.model.state import NodeState

ROLLOUT = "rollout"
Rolling = list[tuple[str, Rollout]]


def of_rollouts(nodes: list[NodeState]) -> Iterator[Metric]:
    share = GaugeMetricFamily(
        "noded_rollout_share_ratio", "Share of requests the canary takes.", labels=["node"]
    )
    events = GaugeMetricFamily(
        "noded_rollout_events_share_ratio",
        "Share of events the canary is to get, as the mesh was last told.",
        labels=["node"],
    )
    ended = CounterMetricFamily("noded_rollouts", "Rollouts that ended.", labels=["node", "outcome"])
    for node in nodes:
        share.add_metric([node.name], node.rollout.share if node.rollout and node.rolling_out else 0.0)
        if node.part is not None and node.part.subscriptions:
            events.add_metric([node.name], node.part.share)
        for how in (Stage.PROMOTED, Stage.ROLLED_BACK):
            count = node.totals.get(f"{ROLLOUT}/{how}", 0)
            ended.add_metric([node.name, how.replace(" ", "_")], count)
    yield from (share, events, ended)
    rolling = [(node.name, node.rollout) for node in nodes if node.rollout and node.rolling_out]
    yield from _progress(rolling)
    yield from _evidence(nodes, rolling)
    yield from _counts(rolling)


def _progress(rolling: Rolling) -> Iterator[Metric]:
    stage = GaugeMetricFamily(
        "noded_rollout_stage", "1 for the stage a rollout is in.", labels=["node", "stage"]
    )
    step = GaugeMetricFamily(
        "noded_rollout_step", "Its step, the first is 1; 0 while the canary prepares.", labels=["node"]
    )
    held = GaugeMetricFamily(
        "noded_rollout_held", "1 while a person holds it, or has to decide.", labels=["node"]
    )
    for name, rollout in rolling:
        stage.add_metric([name, rollout.stage.replace(" ", "_")], 1.0)
        step.add_metric([name], rollout.at_step + 1)
        held.add_metric([name], float(rollout.paused or bool(rollout.frozen)))
    yield from (stage, step, held)


def _evidence(nodes: list[NodeState], rolling: Rolling) -> Iterator[Metric]:
    worse = GaugeMetricFamily(
        "noded_rollout_rollback_evidence",
        "Evidence that the canary is worse; 100 rolls back.",
        labels=["node"],
    )
    good = GaugeMetricFamily(
        "noded_rollout_promotion_evidence",
        "Evidence that the canary is good enough; 20 leads to the next step.",
        labels=["node"],
    )
    needed = GaugeMetricFamily(
        "noded_rollout_requests_needed", "Requests to the canary that the next step needs.", labels=["node"]
    )
    single = GaugeMetricFamily(
        "noded_rollout_evidence",
        "Evidence of one signal that the canary is worse, before it is weighed.",
        labels=["node", "signal"],
    )
    now = dict(rolling)
    for node in nodes:
        worse.add_metric([node.name], now[node.name].rollback_evidence if node.name in now else 0.0)
    for name, rollout in rolling:
        good.add_metric([name], rollout.promotion_evidence)
        needed.add_metric([name], rollout.requests_needed)
        for each in rollout.evidence:
            single.add_metric([name, each.signal], each.value)
    yield from (worse, good, needed, single)


def _counts(rolling: Rolling) -> Iterator[Metric]:
    labels = ["node", "version"]
    told = (
        CounterMetricFamily("noded_rollout_requests", "Requests each version was given.", labels=labels),
        CounterMetricFamily("noded_rollout_bad_requests", "Those that failed.", labels=labels),
        CounterMetricFamily(
            "noded_rollout_events", "Events each version tried first, or keys in order.", labels=labels
        ),
        CounterMetricFamily("noded_rollout_bad_events", "Those that failed.", labels=labels),
    )
    for name, rollout in rolling:
        for version, of in ((rollout.release.version, _canary), (rollout.from_version, _stable)):
            for metric, counts in zip(told, zip(*map(of, rollout.steps), strict=True), strict=False):
                metric.add_metric([name, version], sum(counts))
    yield from told


def _canary(step: Step) -> tuple[int, int, int, int]:
    return step.canary_requests, step.canary_bad, step.events.canary, step.events.canary_bad


def _stable(step: Step) -> tuple[int, int, int, int]:
    return step.stable_requests, step.stable_bad, step.events.stable, step.events.stable_bad
