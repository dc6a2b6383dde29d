"""How does a new version get its traffic, step by step, and when does it lose it again?

A canary of each wanted instance starts beside the stable version, which keeps its full capacity
until the soak after the last step has passed. Rolling back is one write to the proxy.
"""

from dataclasses import replace

from noded.model.actions import Action, ActivateInstance, RecordNode
from noded.model.inputs import ActionFailed, InstanceExited
from noded.model.instance import Instance, Role
from noded.model.release import Release
from noded.model.rollout import Question, Rollout, Stage, Step, Tally, Transition, percent, splits_events
from noded.model.state import Backoff, HostState, NodeState
from noded.policy import counting, guards, verdict
from nodespec.manifest import Autonomy, Canary, NodeSpec, OnFailure, OnInconclusive

Outcome = tuple[NodeState, tuple[Action, ...]]

KEPT = 10
"""Past rollouts a node remembers; the journal has them all."""
MOST_TRANSITIONS = 100
PREPARED = 10.0
"""Seconds of life below which its own end is a canary's own fault, whatever else ends."""
TOGETHER = 5.0
"""Seconds between two ends that may have one cause."""


def begin(
    node: NodeState,
    spec: NodeSpec,
    release: Release,
    origin: str,
    at: float,
    *,
    forced: str = "",
    direct: bool = False,
) -> NodeState:
    """`forced` is what was known to speak against it; `direct` returns to a release that has run before."""
    number = node.rollouts + 1
    reason = "waiting for the canary to be ready"
    rollout = Rollout(
        id=f"{node.name}-r{number}",
        origin=origin,
        release=release,
        spec=spec,
        from_version=node.release.version,
        stage=Stage.PREPARING,
        started_at=at,
        since=at,
        reason=reason,
        from_spec=node.spec,
        from_release=node.release,
        direct=direct,
        forced=forced,
        after=node.serial,
        history=(Transition(at, Stage.PREPARING, 0.0, reason, origin),),
    )
    return replace(node, rollout=rollout, rollouts=number)


def replaced(before: NodeSpec, after: NodeSpec) -> str:
    """Why the versions cannot run side by side; empty when they can."""
    if before.proxied and after.proxied and before.serves and after.serves:
        old, new = before.serves, after.serves
        if (old.port, old.hosts) != (new.port, new.hosts):
            return "changes its port or host names"
        return f"changes its protocol to {new.protocol}" if old.protocol is not new.protocol else ""
    if splits_events(before, after):
        return ""
    return "takes no requests through the proxy"


def on_exited(node: NodeState, fact: InstanceExited) -> Outcome:
    instance = node.instances.get(fact.instance)
    if instance is not None and _is_canary(node, instance):
        lived = fact.at - instance.created_at > PREPARED
        if not instance.condemned and lived and _stable_ended(node, fact.at):
            return node, ()
        # One that we killed, for not being ready in time, may end before the next look at it.
        reason = instance.condemned or f"its canary {instance.id} exited: {fact.status}"
        return failed(node, reason, fact.at)
    return node, ()


def _stable_ended(node: NodeState, at: float) -> bool:
    """Stable has just ended unasked as well: what ended both is not the canary's fault."""
    return node.backoff.failures > 0 and at - node.backoff.at <= TOGETHER


def on_start_failed(node: NodeState, fact: ActionFailed) -> Outcome:
    instance = node.instances.get(fact.instance)
    canary = instance is not None and _is_canary(node, instance)
    if canary and fact.kind != "Unavailable":
        return roll_back(node, f"its canary could not be started: {fact.cause}", fact.at)
    return node, ()


def _is_canary(node: NodeState, instance: Instance) -> bool:
    rollout = node.rollout
    return rollout is not None and not rollout.ended and rollout.deals_to(instance)


def advance(node: NodeState, state: HostState, at: float) -> Outcome:
    """The next step, the end, or nothing yet. Held, only harm and a person's word move it."""
    rollout = node.rollout
    if rollout is None or rollout.ended:
        return node, ()
    rollout = guards.watched(node, rollout, at)
    node = replace(node, rollout=rollout)
    found = guards.fault(node, rollout, at)
    if found and not rollout.frozen:
        return failed(node, found, at)
    held = node.paused or state.limited or rollout.paused
    if rollout.stage is Stage.PREPARING:
        # A person who returns to a release, or pushes one, knows that the node is paused.
        goes = not held or (rollout.direct and not rollout.paused) or rollout.hurry or rollout.finish
        return _acting(_first_step(node, rollout, at) if goes else node)
    node, actions = _judge(node, rollout, at, held)
    node, told = _acting(node)
    return node, (*actions, *told)


def _acting(node: NodeState) -> Outcome:
    """Canaries that fetch their work themselves are told to, from the first step on."""
    actions: list[Action] = []
    rollout = node.rollout
    if rollout and rollout.spec.rollout.canary is Canary.INSTANCES and rollout.now is not None:
        for canary in node.of(Role.CANARY):
            if canary.serves and not canary.acts:
                why = f"it is {rollout.release.version} at work beside {rollout.from_version}"
                actions.append(ActivateInstance(node.name, canary.id, why))
                node = node.having(replace(canary, acts=True))
    return node, tuple(actions)


def roll_back(node: NodeState, reason: str, at: float, by: str = "") -> Outcome:
    """Give the canary's share back to stable. What runs is what the registry says: nothing to undo there."""
    rollout = node.rollout
    if rollout is None or rollout.ended:
        return node, ()
    return _ended(node, rollout, Stage.ROLLED_BACK, reason, at, by), ()


def failed(node: NodeState, reason: str, at: float) -> Outcome:
    """The canary does harm: it goes, or stays for a person where its plan says so."""
    rollout = node.rollout
    if rollout is None or rollout.ended:
        return node, ()
    share_taken = rollout.stage is not Stage.PREPARING
    if rollout.spec.rollout.on_failure is OnFailure.FREEZE and share_taken:
        return (node if rollout.frozen else _frozen(node, rollout, reason, at)), ()
    return roll_back(node, reason, at)


def moved(rollout: Rollout, at: float, reason: str, by: str = "") -> Rollout:
    """The rollout with its present place in the history."""
    entry = Transition(at, rollout.stage, rollout.share, reason, by)
    history = (*rollout.history, entry)[-MOST_TRANSITIONS:]
    return replace(rollout, reason=reason, question=None, history=history)


def _frozen(node: NodeState, rollout: Rollout, reason: str, at: float) -> NodeState:
    name = node.name
    advice = f"frozen: {reason}; nodectl rollout abort {name}, or nodectl rollout promote {name}"
    return replace(node, rollout=moved(replace(rollout, frozen=reason), at, advice))


def _first_step(node: NodeState, rollout: Rollout, at: float) -> NodeState:
    if guards.unprepared(node, rollout, "yet"):
        return node
    limits = counting.thresholds(node, rollout)
    rollout = replace(rollout, thresholds=limits)
    return _next_step(node, rollout, at, "the canary is ready")


def _next_step(node: NodeState, rollout: Rollout, at: float, why: str, by: str = "") -> NodeState:
    number = rollout.at_step + 1
    share = rollout.plan[number]
    last = number == len(rollout.plan) - 1
    entered = replace(
        rollout,
        stage=Stage.SOAK if last else Stage.STEP,
        since=at,
        at_step=number,
        done=_closed(rollout, at),
        now=Step(share, at, dealt=_dealt(node, rollout, share)),
        seen=counting.seen(node),
        usable=counting.usable(node),
        settles_at=at + min(counting.SETTLE, rollout.spec.rollout.dwell) if number else at,
        hurry="",
        frozen="",
    )
    return replace(node, rollout=moved(entered, at, f"{percent(share)}: {why}", by))


def _dealt(node: NodeState, rollout: Rollout, share: float) -> float:
    """Canaries that fetch their work elsewhere get as much as each other instance does."""
    if rollout.spec.rollout.canary is Canary.SHARE or node.spec.proxied or rollout.direct:
        return 0.0
    canaries = replace(rollout, now=Step(share, 0.0)).canaries
    return canaries / (canaries + node.spec.instances)


def _judge(node: NodeState, rollout: Rollout, at: float, held: bool) -> Outcome:
    judged = verdict.weigh(case_of(rollout), verdict.standard_of(rollout.spec))
    rollout = replace(
        rollout,
        rollback_evidence=judged.e_rollback,
        promotion_evidence=judged.e_promote,
        evidence=judged.evidence,
        requests_needed=judged.requests_needed or 0,
    )
    node = replace(node, rollout=rollout)
    if rollout.finish:
        return _promote(node, rollout, "a person asked to finish now", at, rollout.finish)
    if rollout.frozen and not rollout.hurry:
        return node, ()
    if judged.kind == verdict.ROLL_BACK and not rollout.hurry:
        return _worse(node, rollout, judged.reason, at)
    node = _raised(node)
    if rollout.stage is Stage.SOAK:
        return _soaked(node, rollout, at, held)
    if rollout.hurry:
        return _next_step(node, rollout, at, "a person asked for the next step", rollout.hurry), ()
    lasted = at - rollout.since
    if held or lasted < rollout.spec.rollout.dwell:
        return node, ()
    if judged.kind == verdict.PROMOTE and at >= rollout.settles_at:
        return _next_step(node, rollout, at, judged.reason), ()
    if lasted >= rollout.spec.rollout.max_dwell:
        return _inconclusive(node, rollout, judged.reason, at), ()
    return node, ()


def case_of(rollout: Rollout) -> verdict.Case:
    """All that was counted, as the verdict wants it: stage by stage for each signal."""
    steps = rollout.steps
    others = [(verdict.STATUS, tuple(_counts(s, s.status) for s in steps))]
    others += [
        (name, tuple(_counts(s, s.slow[place]) for s in steps if s.slow))
        for place, name in enumerate(verdict.SLOW)
    ]
    now, early = steps[-1].errors, steps[-1].early
    settled = Tally(
        now.canary - early.canary,
        now.canary_bad - early.canary_bad,
        now.stable - early.stable,
        now.stable_bad - early.stable_bad,
    )
    return verdict.Case(
        errors=tuple(_counts(s, s.errors) for s in steps),
        others=tuple((name, stages) for name, stages in others if any(map(_told, stages))),
        settled=_counts(steps[-1], settled),
    )


def _told(counts: verdict.Counts) -> bool:
    return bool(counts.canary_requests or counts.stable_requests)


def _counts(step: Step, tally: Tally) -> verdict.Counts:
    share = step.dealt or step.share
    return verdict.Counts(share, tally.canary, tally.canary_bad, tally.stable, tally.stable_bad)


def _raised(node: NodeState) -> NodeState:
    """A fuse that wrong answers have blown is put back where the figures do not speak against the canary."""
    for canary in node.of(Role.CANARY):
        if canary.serves and not canary.load.up and canary.load.bad > canary.raised_bad:
            # It is up again as soon as the proxy is told; the next count says whether it stays so.
            up = replace(canary.load, up=True, down_since=0.0)
            raised = replace(canary, raised=canary.raised + 1, raised_bad=canary.load.bad, load=up)
            node = node.having(raised)
    return node


def _soaked(node: NodeState, rollout: Rollout, at: float, held: bool) -> Outcome:
    lasted = at - rollout.since
    if rollout.hurry or (not held and lasted >= rollout.spec.rollout.soak):
        return _promote(node, rollout, f"no harm seen in {lasted:.0f} s at 100%", at, rollout.hurry)
    return node, ()


def _inconclusive(node: NodeState, rollout: Rollout, reason: str, at: float) -> NodeState:
    plan, lasted = rollout.spec.rollout, f"inconclusive after {at - rollout.since:.0f} s"
    more = rollout.at_step + 1 < len(rollout.plan) - 1
    if plan.on_inconclusive is OnInconclusive.PROMOTE or (
        plan.on_inconclusive is OnInconclusive.WIDEN and more
    ):
        return _next_step(node, rollout, at, f"{lasted}, on_inconclusive is {plan.on_inconclusive}: {reason}")
    advice = f"{lasted}: {reason}; nodectl rollout promote {node.name}, or nodectl rollout abort {node.name}"
    return _asked(node, rollout, Question.INCONCLUSIVE, advice, at)


def _worse(node: NodeState, rollout: Rollout, reason: str, at: float) -> Outcome:
    """The figures speak against the canary: take its share, or say so where only a person may."""
    level = node.autonomy.rollback
    if level is Autonomy.ACT:
        return failed(node, reason, at)
    advice = f"advised: nodectl rollout abort {node.name} (autonomy rollback is {level}): {reason}"
    return _asked(node, rollout, Question.WORSE, advice, at), ()


def _asked(node: NodeState, rollout: Rollout, question: Question, advice: str, at: float) -> NodeState:
    """A person is told once what waits for them, and again when something else was told meanwhile."""
    if rollout.question is question:
        return node
    return replace(node, rollout=replace(moved(rollout, at, advice), question=question))


def _promote(node: NodeState, rollout: Rollout, reason: str, at: float, by: str = "") -> Outcome:
    """The canaries become stable in place; the old version drains once they hold its capacity."""
    canaries = node.of(Role.CANARY)
    node = _ended(node, rollout, Stage.PROMOTED, reason, at, by)
    for canary in canaries:
        node = node.having(replace(canary, role=Role.STABLE))
    for spare in node.of(Role.SPARE):
        node = node.having(replace(spare, role=Role.STABLE, condemned=f"it is of {rollout.from_version}"))
    # How often the old version crashed says nothing of the new one.
    node = replace(node, spec=rollout.spec, release=rollout.release, backoff=Backoff())
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


def _ended(
    node: NodeState, rollout: Rollout, stage: Stage, reason: str, at: float, by: str = ""
) -> NodeState:
    ended = replace(rollout, stage=stage, since=at, ended_at=at, done=_closed(rollout, at), now=None)
    ended = moved(ended, at, reason, by)
    return replace(node, rollout=ended, past_rollouts=(*node.past_rollouts, ended)[-KEPT:])


def _closed(rollout: Rollout, at: float) -> tuple[Step, ...]:
    if rollout.now is None:
        return rollout.done
    return (*rollout.done, replace(rollout.now, seconds=at - rollout.now.started_at))
