"""How does a new version get its traffic, step by step, and when does it lose it again?

A canary of each wanted instance starts beside the stable version, which keeps its full capacity
until the soak after the last step has passed. Rolling back is one write to the proxy.
"""

from dataclasses import replace

from noded.model.actions import Action, ActivateInstance, RecordNode
from noded.model.inputs import ActionFailed, InstanceExited
from noded.model.instance import HUNG, Instance, Phase, Role
from noded.model.release import Release
from noded.model.rollout import Rollout, Seen, Stage, Step
from noded.model.state import HostState, NodeState
from noded.policy import verdict
from nodespec.manifest import Autonomy, NodeSpec

Outcome = tuple[NodeState, tuple[Action, ...]]

KEPT = 10
"""Past rollouts a node remembers; the journal has them all."""
PREPARE = 5.0
"""Seconds beyond the start timeout after which a canary that never became ready is given up."""


def begin(node: NodeState, spec: NodeSpec, release: Release, origin: str, at: float) -> NodeState:
    number = node.rollouts + 1
    rollout = Rollout(
        id=f"{node.name}-r{number}",
        origin=origin,
        release=release,
        spec=spec,
        from_version=node.release.version,
        stage=Stage.PREPARING,
        started_at=at,
        since=at,
        reason="waiting for the canary to be ready",
    )
    return replace(node, rollout=rollout, rollouts=number)


def on_counted(node: NodeState) -> NodeState:
    """Add what was counted since the last look to the present step."""
    rollout = node.rollout
    if rollout is None or rollout.now is None or rollout.ended:
        return node
    seen = {s.source: s.values for s in rollout.seen}
    step = rollout.now
    for instance in node.instances.values():
        step = _counted(step, instance, seen.get(instance.id), rollout.release.digest)
    return replace(node, rollout=replace(rollout, now=step, seen=_seen(node)))


def on_exited(node: NodeState, fact: InstanceExited) -> Outcome:
    instance = node.instances.get(fact.instance)
    if node.rolling_out and instance is not None and instance.role is Role.CANARY:
        # One that we killed, for not being ready in time, may end before the next look at it.
        reason = instance.condemned or f"its canary {instance.id} exited: {fact.status}"
        return roll_back(node, reason, fact.at)
    return node, ()


def on_start_failed(node: NodeState, fact: ActionFailed) -> Outcome:
    instance = node.instances.get(fact.instance)
    canary = node.rolling_out and instance is not None and instance.role is Role.CANARY
    if canary and fact.kind != "Unavailable":
        return roll_back(node, f"its canary could not be started: {fact.cause}", fact.at)
    return node, ()


def advance(node: NodeState, state: HostState, at: float) -> Outcome:
    """The next step, the end, or nothing yet. Paused, only harm and a person's word move it."""
    rollout = node.rollout
    if rollout is None or rollout.ended:
        return node, ()
    fault = _fault(node, rollout, at)
    if fault:
        return roll_back(node, fault, at)
    held = node.paused or state.limited
    if rollout.stage is Stage.PREPARING:
        return node if held else _first_step(node, rollout, at), ()
    return _judge(node, rollout, at, held)


def roll_back(node: NodeState, reason: str, at: float) -> Outcome:
    """Give the canary's share back to stable. What runs is what the registry says: nothing to undo there."""
    rollout = node.rollout
    if rollout is None or rollout.ended:
        return node, ()
    return _ended(node, rollout, Stage.ROLLED_BACK, reason, at), ()


def _fault(node: NodeState, rollout: Rollout, at: float) -> str:
    """What ends the rollout without any statistics."""
    canaries = node.of(Role.CANARY)
    cut = next((i for i in canaries if i.serves and not i.load.up and i.load.bad), None)
    if cut is not None:
        return f"the proxy holds {cut.id} down after {cut.load.bad} failed requests"
    hung = _hung(node)
    if hung:
        return hung
    gone = [i for i in node.instances.values() if i.role is Role.CANARY and i.phase is Phase.STOPPING]
    if gone:
        return gone[0].condemned or f"its canary {gone[0].id} is stopping"
    late = at - rollout.since > rollout.spec.start_timeout + PREPARE
    if rollout.stage is Stage.PREPARING and late and node.preparing != rollout.release.digest:
        return _unprepared(node, rollout, f"within {at - rollout.since:.0f} s")
    return ""


def _hung(node: NodeState) -> str:
    """Its event loop stands still while stable's turns: requests wait there for nothing."""
    if any(i.vitals.still > HUNG / 2 for i in node.of(Role.STABLE)):
        return ""
    still = next((i for i in node.of(Role.CANARY) if i.serves and i.vitals.still > HUNG), None)
    return f"the event loop of {still.id} has stood still for {still.vitals.still:.0f} s" if still else ""


def _unprepared(node: NodeState, rollout: Rollout, when: str) -> str:
    """What the first step still waits for; empty when nothing."""
    if sum(1 for i in node.of(Role.CANARY) if i.serves) < rollout.spec.instances:
        return f"no canary was ready {when}"
    if not any(i.serves for i in node.of(Role.STABLE)):
        return f"no stable instance to compare with was ready {when}"
    return ""


def _first_step(node: NodeState, rollout: Rollout, at: float) -> NodeState:
    if _unprepared(node, rollout, "yet"):
        return node
    return _next_step(node, rollout, at, "the canary is ready")


def _next_step(node: NodeState, rollout: Rollout, at: float, why: str) -> NodeState:
    number = rollout.at_step + 1
    share = rollout.spec.rollout.steps[number]
    last = number == len(rollout.spec.rollout.steps) - 1
    return replace(
        node,
        rollout=replace(
            rollout,
            stage=Stage.SOAK if last else Stage.STEP,
            since=at,
            at_step=number,
            done=_closed(rollout, at),
            now=Step(share, at),
            seen=_seen(node),
            hurry="",
            reason=f"{share:.0%}: {why}",
        ),
    )


def _judge(node: NodeState, rollout: Rollout, at: float, held: bool) -> Outcome:
    judged = verdict.judge(tuple(_counts(step) for step in rollout.steps))
    rollout = replace(
        rollout,
        rollback_evidence=judged.e_rollback,
        promotion_evidence=judged.e_promote,
        requests_needed=judged.requests_needed or 0,
    )
    node = replace(node, rollout=rollout)
    if judged.kind == verdict.ROLL_BACK:
        return _worse(node, rollout, judged.reason, at)
    plan = rollout.spec.rollout
    if rollout.finish:
        return _promote(node, rollout, "a person asked to finish now", at)
    if rollout.stage is Stage.SOAK:
        if rollout.hurry or (not held and at - rollout.since >= plan.soak):
            return _promote(node, rollout, f"no harm seen in {at - rollout.since:.0f} s at 100%", at)
        return node, ()
    if rollout.hurry:
        return _next_step(node, rollout, at, "a person asked for the next step"), ()
    if held or judged.kind != verdict.PROMOTE or at - rollout.since < plan.dwell:
        return node, ()
    return _next_step(node, rollout, at, judged.reason), ()


def _worse(node: NodeState, rollout: Rollout, reason: str, at: float) -> Outcome:
    """The figures speak against the canary: take its share, or say so where only a person may."""
    level = node.autonomy.rollback
    if level is Autonomy.ACT:
        return roll_back(node, reason, at)
    advice = f"advised: nodectl rollout abort {node.name} (autonomy rollback is {level}): {reason}"
    if rollout.finish:
        return _promote(node, rollout, "a person asked to finish now", at)
    return replace(node, rollout=replace(rollout, reason=advice)), ()


def _promote(node: NodeState, rollout: Rollout, reason: str, at: float) -> Outcome:
    """The canaries become stable in place; the old version drains once they hold its capacity."""
    canaries = node.of(Role.CANARY)
    node = _ended(node, rollout, Stage.PROMOTED, reason, at)
    for canary in canaries:
        node = node.having(replace(canary, role=Role.STABLE))
    for spare in node.of(Role.SPARE):
        node = node.having(replace(spare, role=Role.STABLE, condemned=f"it is of {rollout.from_version}"))
    node = replace(node, spec=rollout.spec, release=rollout.release)
    actions: list[Action] = [
        ActivateInstance(node.name, i.id, "its version was promoted") for i in canaries if i.serves
    ]
    release = rollout.release
    actions.append(
        RecordNode(
            node.name, release.version, release.digest, node.desired, f"{rollout.id} was promoted: {reason}"
        )
    )
    return node, tuple(actions)


def _ended(node: NodeState, rollout: Rollout, stage: Stage, reason: str, at: float) -> NodeState:
    ended = replace(
        rollout, stage=stage, since=at, ended_at=at, done=_closed(rollout, at), now=None, reason=reason
    )
    return replace(node, rollout=ended, past_rollouts=(*node.past_rollouts, ended)[-KEPT:])


def _closed(rollout: Rollout, at: float) -> tuple[Step, ...]:
    if rollout.now is None:
        return rollout.done
    return (*rollout.done, replace(rollout.now, seconds=at - rollout.now.started_at))


def _seen(node: NodeState) -> tuple[Seen, ...]:
    return tuple(Seen(i.id, (i.load.requests, i.load.bad)) for i in node.instances.values())


def _counted(step: Step, instance: Instance, before: tuple[int, ...] | None, digest: str) -> Step:
    requests = instance.load.requests - (before[0] if before else 0)
    bad = instance.load.bad - (before[1] if before else 0)
    if requests < 0 or bad < 0:
        # The proxy was restarted and counts from nothing again.
        requests, bad = instance.load.requests, instance.load.bad
    if instance.role is Role.CANARY and instance.digest == digest:
        return replace(
            step, canary_requests=step.canary_requests + requests, canary_bad=step.canary_bad + bad
        )
    return replace(step, stable_requests=step.stable_requests + requests, stable_bad=step.stable_bad + bad)


def _counts(step: Step) -> verdict.Counts:
    return verdict.Counts(
        step.share, step.canary_requests, step.canary_bad, step.stable_requests, step.stable_bad
    )
