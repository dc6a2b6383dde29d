"""How does a rollout look to an administrator?"""

from collections.abc import Iterator

from nodeapi.v1 import control_pb2 as pb
from noded.model.instance import Instance, Role
from noded.model.pace import Pace
from noded.model.rollout import Rollout, Stage, Step, Tally
from noded.model.state import NodeState

SLOW = ("slow-50", "slow-90", "slow-99")
"""In the order of `Rollout.thresholds`."""


def rollout_status(rollout: Rollout, node: NodeState, at: float, whole: bool = True) -> pb.RolloutStatus:
    """`whole` has every transition with its reason: they may be many."""
    errors = [step.errors for step in rollout.steps]
    return pb.RolloutStatus(
        id=rollout.id,
        from_version=rollout.from_version,
        to_version=rollout.release.version,
        phase=rollout.stage,
        share=rollout.share,
        steps=rollout.plan,
        step=max(rollout.at_step, 0),
        started_at=rollout.started_at,
        ended_at=rollout.ended_at,
        canary_requests=sum(e.canary for e in errors),
        canary_bad=sum(e.canary_bad for e in errors),
        stable_requests=sum(e.stable for e in errors),
        stable_bad=sum(e.stable_bad for e in errors),
        rollback_evidence=rollout.rollback_evidence,
        promotion_evidence=rollout.promotion_evidence,
        requests_needed=0 if rollout.ended else rollout.requests_needed,
        reason=rollout.reason,
        origin=rollout.origin,
        done=[_done(step) for step in rollout.done],
        dwell_left=_left(rollout, at),
        held=rollout.paused,
        frozen=rollout.frozen,
        signals=_signals(rollout),
        history=[
            pb.TransitionStatus(at=t.at, phase=t.stage, share=t.share, reason=t.reason, by=t.by)
            for t in (rollout.history if whole else ())
        ],
        forced=rollout.forced,
        digest=rollout.release.digest,
        versions=() if rollout.ended else _versions(rollout, node, at),
    )


def _left(rollout: Rollout, at: float) -> float:
    """Until the step may end; a canary that prepares is waited for as long as it takes."""
    if rollout.now is None:
        return 0.0
    plan = rollout.spec.rollout
    waiting = plan.soak if rollout.stage is Stage.SOAK else plan.dwell
    return max(0.0, waiting - (at - rollout.since))


def _done(step: Step) -> pb.StepStatus:
    errors = step.errors
    return pb.StepStatus(
        share=step.share,
        seconds=step.seconds,
        canary_requests=errors.canary,
        canary_bad=errors.canary_bad,
        stable_requests=errors.stable,
        stable_bad=errors.stable_bad,
    )


def _versions(rollout: Rollout, node: NodeState, at: float) -> Iterator[pb.VersionStatus]:
    old, new = rollout.paces or (Pace(), Pace())
    instances = node.instances.values()
    stable = [i for i in instances if i.role is not Role.CANARY]
    serving = [i for i in stable if i.role is Role.STABLE]
    yield _version(rollout.from_version, stable, serving, node.spec.instances, old, at)
    canaries = [i for i in instances if i.role is Role.CANARY]
    yield _version(rollout.release.version, canaries, canaries, rollout.canaries, new, at)


def _version(
    name: str, all_: list[Instance], serving: list[Instance], wanted: int, pace: Pace, at: float
) -> pb.VersionStatus:
    return pb.VersionStatus(
        version=name,
        ready=sum(1 for i in serving if i.serves),
        wanted=wanted,
        memory=max((i.vitals.memory for i in all_), default=0),
        rate=pace.rate(at),
        p50=pace.quantile(0.5),
        p99=pace.quantile(0.99),
    )


def _signals(rollout: Rollout) -> Iterator[pb.SignalStatus]:
    """What is counted at the present step, and what was weighed; nothing of what nobody tells."""
    step = rollout.now
    if step is None:
        return
    weighed = {e.signal: e for e in rollout.evidence}
    told: dict[str, tuple[Tally, float]] = {"errors": (step.errors, 0.0)}
    if step.events != Tally():
        told["events"] = step.events, 0.0
    if step.status != Tally():
        told["status"] = step.status, 0.0
    for name, tally, limit in zip(SLOW, step.slow, rollout.thresholds, strict=False):
        if limit:
            told[name] = tally, limit
    promised = rollout.spec.objectives.error_ratio
    for name in weighed:
        # Guards look at the errors once more.
        told.setdefault(name, (step.errors, promised if name == "objective" else 0.0))
    for name, (tally, limit) in told.items():
        part = weighed.get(name)
        yield _signal(name, tally, limit, part.value if part else 0.0, part.weight if part else 0.0)
    if rollout.growth is not None and rollout.growth.blocks:
        yield _signal("memory", Tally(), rollout.growth.blocks[-1])


def _signal(
    name: str, tally: Tally, limit: float, evidence: float = 0.0, weight: float = 0.0
) -> pb.SignalStatus:
    return pb.SignalStatus(
        signal=name,
        canary=tally.canary,
        canary_bad=tally.canary_bad,
        stable=tally.stable,
        stable_bad=tally.stable_bad,
        evidence=evidence,
        weight=weight,
        limit=limit,
    )
