"""What is done about a node that is getting worse, in which order, and did it help?

Every rung: evidence first, then act, then watch, then compare. A rung that did not help is undone
where it can be, and the next, dearer one follows. While a rollout runs the ladder waits: the
canary's faults belong to the rollout.
"""

from dataclasses import replace

from noded.model.actions import Action, BeginProfile, CancelRegeneration, EndProfile, RestoreCaches
from noded.model.incident import Incident, Record, Stage, Tried, Verdict
from noded.model.inputs import ActionFailed, CachesShrunk, GarbageCollected, InstanceExited, MemoryProfiled
from noded.model.instance import Instance, Role
from noded.model.state import Desired, HostState, NodeState
from noded.model.trend import Growth, Trend
from noded.policy import rungs, trend
from nodespec.manifest import Rung

Outcome = tuple[NodeState, tuple[Action, ...]]

GROWTH = "memory-growth"
PROFILE = 5.0
"""Seconds the memory profile runs: long enough for a leak that matters to name its line."""
PATIENCE = 15.0
"""Seconds an order to a node may take before it counts as failed."""
VERIFY = 20.0
"""Seconds, at least, over which a cured version's memory must be flat."""
HOLD = 10.0
"""A cured incident is closed after this many times the length it was watched for."""
KEPT = 10
ORDERS = {"CollectGarbage": Rung.COLLECT, "ShrinkCaches": Rung.SHRINK, "Regenerate": Rung.REGENERATE}
"""What a rung asks of the world. An answer to an earlier rung that comes late says nothing of this one."""


def on_growth(node: NodeState, instance: Instance, growth: Growth, limit: int, at: float) -> Outcome:
    """A detector has found memory that grows without end."""
    record = node.healing
    now = record.now
    if now is not None:
        same = now.signature == GROWTH
        return _again(node, now, instance, growth, at) if same else node, ()
    incident = Incident(
        id=f"{node.name}-{record.serial + 1}",
        signature=GROWTH,
        instance=instance.id,
        finding=_finding(instance, growth, limit),
        opened_at=at,
        slope=growth.slope,
        window=growth.window,
        seconds_to_limit=growth.seconds_to_limit,
        detected_after=at - (instance.ready_at or instance.created_at),
        stage=Stage.EVIDENCE,
        since=at,
        digest=instance.digest,
    )
    begin = BeginProfile(node.name, instance.id, f"evidence for {incident.id} before anything changes it")
    return _with(node, replace(record, now=incident, serial=record.serial + 1)), (begin,)


def on_profiled(node: NodeState, fact: MemoryProfiled) -> NodeState:
    now = node.healing.now
    if now is None or now.stage is not Stage.EVIDENCE:
        return node
    return _now(node, replace(now, sites=fact.sites, stage=Stage.CHOOSING, since=fact.at))


def on_collected(node: NodeState, fact: GarbageCollected) -> NodeState:
    detail = f"{fact.objects} objects found unreachable"
    return _acted(node, Rung.COLLECT, fact.instance, fact.before - fact.after, detail, fact.at)


def on_shrunk(node: NodeState, fact: CachesShrunk) -> NodeState:
    return _acted(node, Rung.SHRINK, fact.instance, fact.before - fact.after, fact.detail, fact.at)


def on_action_failed(node: NodeState, fact: ActionFailed) -> NodeState:
    now = node.healing.now
    if now is None:
        return node
    if now.stage is Stage.EVIDENCE and fact.action in ("BeginProfile", "EndProfile"):
        # No evidence is a pity and no reason to leave the node alone.
        return _now(node, replace(now, stage=Stage.CHOOSING, since=fact.at))
    if now.attempt is not None and now.stage is Stage.ACTING and ORDERS.get(fact.action) is now.attempt.rung:
        return close_rung(node, Verdict.FAILED, fact.cause, fact.at)
    return node


def on_exited(node: NodeState, fact: InstanceExited) -> NodeState:
    """The patient is gone: a rung that acted on it has nothing left to judge."""
    now = node.healing.now
    if now is None or now.instance != fact.instance:
        return node
    if now.attempt is not None and now.attempt.rung in (Rung.COLLECT, Rung.SHRINK):
        node = close_rung(node, Verdict.FAILED, f"{fact.instance} exited: {fact.status}", fact.at)
    elif now.stage is Stage.EVIDENCE:
        node = _now(node, replace(now, stage=Stage.CHOOSING, since=fact.at))
    return node


def on_rollout_ended(node: NodeState, at: float) -> NodeState:
    """The candidate of this incident was promoted or rolled back."""
    now, rollout = node.healing.now, node.rollout
    if now is None or rollout is None or not rollout.ended or now.stage is not Stage.ROLLING_OUT:
        return node
    if rollout.release.digest == node.release.digest:
        return _now(node, replace(now, stage=Stage.VERIFYING, since=at, digest=node.release.digest))
    outcome = f"{rollout.release.version} was rolled back: {rollout.reason}"
    return _now(node, replace(now, stage=Stage.NEEDS_PERSON, since=at, outcome=outcome))


def advance(node: NodeState, state: HostState, at: float) -> Outcome:
    now = node.healing.now
    if now is None:
        return node, ()
    moot = _moot(node, now)
    if moot:
        return closed(node, moot, at), _abandoned(node, now, moot)
    if (node.paused or state.limited) and now.stage is not Stage.EVIDENCE:
        # A profile costs the node something: it is ended all the same.
        return node, ()
    match now.stage:
        case Stage.EVIDENCE:
            return _evidence(node, now, at)
        case Stage.CHOOSING | Stage.WAITING:
            return _choosing(node, state, now, at)
        case Stage.ACTING:
            return _acting(node, now, at)
        case Stage.WATCHING:
            return _watching(node, now, at)
        case Stage.HOLDING | Stage.ROLLING_OUT | Stage.VERIFYING | Stage.NEEDS_PERSON | Stage.RESOLVED:
            return _afterwards(node, now, at), ()


def _afterwards(node: NodeState, now: Incident, at: float) -> NodeState:
    """What was to be done is done, or a person has to: time and the memory tell."""
    match now.stage:
        case Stage.HOLDING:
            return _holding(node, now, at)
        case Stage.ROLLING_OUT:
            return on_rollout_ended(node, at)
        case Stage.VERIFYING:
            return _verifying(node, now, at)
        case _:
            return node


def _moot(node: NodeState, now: Incident) -> str:
    """Why nothing is left to heal; empty while there is."""
    if node.desired is not Desired.RUNNING:
        return f"{node.name} is to be {node.desired}"
    if now.stage is not Stage.ROLLING_OUT and now.digest and now.digest != node.release.digest:
        # Whether the other version has the same trouble is a new question.
        return f"version {node.release.version} has taken over"
    return ""


def _abandoned(node: NodeState, now: Incident, why: str) -> tuple[Action, ...]:
    if now.attempt is None or now.attempt.rung is not Rung.REGENERATE:
        return ()
    return (CancelRegeneration(node.name, now.id, why),)


def close_rung(node: NodeState, verdict: Verdict, detail: str, at: float, slope: float = 0.0) -> NodeState:
    """Write down how the present rung ended and look for the next one, or hold when it helped."""
    now = node.healing.now
    if now is None or now.attempt is None:
        return node
    attempt = now.attempt
    tried = Tried(attempt.rung, verdict, at, at - attempt.started_at, attempt.freed, slope, detail)
    stage = Stage.HOLDING if verdict is Verdict.HELD else Stage.CHOOSING
    return _now(node, replace(now, attempt=None, tried=(*now.tried, tried), stage=stage, since=at))


def rate(slope: float) -> str:
    return f"{slope * 60 / 1_048_576:.1f} MiB/min"


def _evidence(node: NodeState, now: Incident, at: float) -> Outcome:
    waited = at - now.since
    if waited >= PROFILE + PATIENCE:
        return _now(node, replace(now, stage=Stage.CHOOSING, since=at)), ()
    if waited >= PROFILE and not now.profiled:
        return _now(node, replace(now, profiled=True)), (
            EndProfile(node.name, now.instance, f"{PROFILE:.0f} s of evidence for {now.id}"),
        )
    return node, ()


def _choosing(node: NodeState, state: HostState, now: Incident, at: float) -> Outcome:
    if node.rolling_out or (now.stage is Stage.WAITING and not now.approved):
        return node, ()
    return rungs.choose(node, state, now, at)


def _acting(node: NodeState, now: Incident, at: float) -> Outcome:
    attempt = now.attempt
    if attempt is None:
        return _now(node, replace(now, stage=Stage.CHOOSING, since=at)), ()
    if attempt.rung is Rung.REPLACE:
        return _replacing(node, now, at), ()
    if attempt.rung is not Rung.REGENERATE and at - attempt.started_at > PATIENCE:
        return close_rung(node, Verdict.FAILED, f"{now.instance} did not answer in {PATIENCE:.0f} s", at), ()
    return node, ()


def _replacing(node: NodeState, now: Incident, at: float) -> NodeState:
    old = node.instances.get(now.instance)
    if old is not None and not old.leaving:
        return node
    left = (
        f"{now.seconds_to_limit:.0f} s"
        if now.seconds_to_limit < 600
        else f"{now.seconds_to_limit / 60:.0f} min"
    )
    return close_rung(
        node, Verdict.BOUGHT_TIME, f"a spare took over; the leak goes on and has about {left}", at
    )


def _watching(node: NodeState, now: Incident, at: float) -> Outcome:
    attempt, instance = now.attempt, node.instances.get(now.instance)
    if attempt is None or instance is None:
        return _now(node, replace(now, stage=Stage.CHOOSING, since=at)), ()
    told = trend.settle(attempt.slope_before, instance.trend, attempt.acted_at)
    if told == "wait" and at - now.since < node.spec.healing.settle:
        return node, ()
    slope = trend.slope_over(instance.trend, at - attempt.acted_at) or 0.0
    freed = f"{attempt.freed / 1_048_576:.1f} MiB freed"
    if told == "holds" or (told == "wait" and slope < trend.SETTLED * attempt.slope_before):
        return close_rung(node, Verdict.HELD, f"{freed}; memory grows {rate(slope)} now", at, slope), ()
    detail = f"{freed}; memory still grows {rate(slope)}"
    undo: tuple[Action, ...] = ()
    if attempt.rung is Rung.SHRINK:
        undo = (RestoreCaches(node.name, instance.id, "smaller caches did not help"),)
    return close_rung(node, Verdict.DID_NOT_HOLD, detail, at, slope), undo


def _verifying(node: NodeState, now: Incident, at: float) -> NodeState:
    """The new version must be seen not to grow for as long as the old one was seen to grow.

    A bounded cache fills before it is flat, so the look goes along with time for a while.
    """
    version, window = node.release.version, max(now.window, VERIFY)
    told = [trend.settle(now.slope, i.trend, at - window) for i in node.of(Role.STABLE)]
    slopes = [s for i in node.of(Role.STABLE) if (s := trend.slope_over(i.trend, window)) is not None]
    change = f"memory grows {rate(max(slopes, default=0.0))}, before it grew {rate(now.slope)}"
    if told and all(t == "holds" for t in told):
        return closed(node, f"cured by {version}: {change}", at)
    if at - now.since > HOLD * window:
        outcome = f"{version} did not cure it: {change}"
        return _now(node, replace(now, stage=Stage.NEEDS_PERSON, since=at, outcome=outcome))
    return node


def _holding(node: NodeState, now: Incident, at: float) -> NodeState:
    watched = max(
        (t.seconds for t in now.tried if t.verdict is Verdict.HELD), default=node.spec.healing.settle
    )
    if at - now.since < HOLD * watched:
        return node
    last = next((t for t in reversed(now.tried) if t.verdict in (Verdict.HELD, Verdict.BOUGHT_TIME)), None)
    return closed(
        node, f"{last.rung} {last.verdict}: {last.detail}" if last else "it went away by itself", at
    )


def _again(node: NodeState, now: Incident, instance: Instance, growth: Growth, at: float) -> NodeState:
    """What seemed held grows again, or a successor shows what its predecessor did: go on up the ladder."""
    if now.stage not in (Stage.HOLDING, Stage.NEEDS_PERSON):
        return node
    if not rungs.may_go_on(node, now, instance, at):
        return _handed_over(node, now, instance, growth, at)
    grown = replace(
        now,
        instance=instance.id,
        slope=growth.slope,
        seconds_to_limit=growth.seconds_to_limit,
        stage=Stage.CHOOSING,
        since=at,
        recurred=True,
    )
    return _now(node, grown)


def _handed_over(node: NodeState, now: Incident, instance: Instance, growth: Growth, at: float) -> NodeState:
    """It comes back and there is nothing left that may be done."""
    if now.stage is Stage.NEEDS_PERSON:
        return node
    outcome = f"{instance.id} grows {rate(growth.slope)} and no step is left that may be taken"
    return _now(node, replace(now, stage=Stage.NEEDS_PERSON, since=at, outcome=outcome))


def _acted(node: NodeState, rung: Rung, instance: str, freed: int, detail: str, at: float) -> NodeState:
    now = node.healing.now
    if now is None or now.attempt is None or now.stage is not Stage.ACTING:
        return node
    if (now.attempt.rung, now.attempt.instance) != (rung, instance):
        return node
    attempt = replace(now.attempt, acted_at=at, freed=freed, detail=detail)
    held = node.instances.get(instance)
    if held is not None:
        # What was concluded from the memory before would stand beside what it does now.
        node = node.having(replace(held, trend=Trend()))
    return _now(node, replace(now, attempt=attempt, stage=Stage.WATCHING, since=at))


def _finding(instance: Instance, growth: Growth, limit: int) -> str:
    return (
        f"{instance.id} grows {rate(growth.slope)}: {growth.used / 1_048_576:.0f} of "
        f"{limit / 1_048_576:.0f} MiB used, the limit is {growth.seconds_to_limit:.0f} s away"
    )


def closed(node: NodeState, outcome: str, at: float) -> NodeState:
    record = node.healing
    if record.now is None:
        return node
    ended = replace(record.now, stage=Stage.RESOLVED, since=at, closed_at=at, outcome=outcome, attempt=None)
    return _with(node, replace(record, now=None, past=(*record.past, ended)[-KEPT:]))


def _now(node: NodeState, incident: Incident) -> NodeState:
    return _with(node, replace(node.healing, now=incident))


def _with(node: NodeState, record: Record) -> NodeState:
    return replace(node, healing=record)
