"""Which rung comes next, and may it be climbed?"""

from dataclasses import replace

from noded.model.actions import Action, CollectGarbage, Regenerate, ShrinkCaches
from noded.model.incident import Attempt, Incident, Spent, Stage, Tried, Verdict
from noded.model.instance import Instance
from noded.model.release import next_healed
from noded.model.state import HostState, NodeState
from nodespec.manifest import Autonomy, Rung

Outcome = tuple[NodeState, tuple[Action, ...]]

DAY = 86_400.0
SHRINK_TO = 0.5
"""Registered caches keep this part of their entries: enough to see an effect, not to start from nothing."""


def choose(node: NodeState, state: HostState, now: Incident, at: float) -> Outcome:
    """Climb the next rung of the ladder, or say why not."""
    rung = _next(node, now)
    if rung is None:
        return _nothing_left(node, now, at), ()
    if rung is not Rung.REGENERATE and _gone(node, now):
        outcome = f"{now.instance} is gone: its successors are watched"
        return _keep(node, replace(now, stage=Stage.HOLDING, since=at, approved=False, outcome=outcome)), ()
    level = _level(node, rung)
    if level is Autonomy.OFF:
        return _passed(node, now, rung, Verdict.SKIPPED, "autonomy is off", at), ()
    if level is Autonomy.OBSERVE:
        return _passed(node, now, rung, Verdict.OBSERVED, "autonomy is observe: noted only", at), ()
    if level is Autonomy.ADVISE:
        return _passed(node, now, rung, Verdict.ADVISED, _advice(node, now, rung), at), ()
    hindrance = _hindrance(node, now, rung, at)
    if hindrance:
        return _passed(node, now, rung, Verdict.SKIPPED, hindrance, at), ()
    if level is Autonomy.APPROVE and not (now.stage is Stage.WAITING and now.approved):
        waiting = replace(
            now, stage=Stage.WAITING, since=at, approved=False, outcome=f"{rung} waits for approval"
        )
        return _keep(node, waiting), ()
    return _climb(node, state, now, rung, at)


def spent_today(node: NodeState, rung: Rung, at: float) -> int:
    return sum(1 for s in node.healing.spent if s.rung is rung and at - s.at < DAY)


def may_go_on(node: NodeState, now: Incident, instance: Instance, at: float) -> bool:
    """True when there is something left to do about growth that came back."""
    if _untried(node, now) is not None:
        return now.stage is Stage.HOLDING
    if _level(node, Rung.REPLACE) not in (Autonomy.APPROVE, Autonomy.ACT):
        return False
    left = node.spec.healing.budget.replace - spent_today(node, Rung.REPLACE, at)
    return _bought_time(now) and instance.id != now.instance and left > 0


def _next(node: NodeState, now: Incident) -> Rung | None:
    return _untried(node, now) or (Rung.REPLACE if now.recurred and _bought_time(now) else None)


def _untried(node: NodeState, now: Incident) -> Rung | None:
    tried = {t.rung for t in now.tried}
    return next((rung for rung in node.spec.healing.ladder if rung not in tried), None)


def _bought_time(now: Incident) -> bool:
    return any(t.rung is Rung.REPLACE and t.verdict is Verdict.BOUGHT_TIME for t in now.tried)


def _level(node: NodeState, rung: Rung) -> Autonomy:
    levels = node.autonomy
    return {
        Rung.COLLECT: levels.tune,
        Rung.SHRINK: levels.tune,
        Rung.REPLACE: levels.replace,
        Rung.REGENERATE: levels.regenerate,
    }[rung]


def _hindrance(node: NodeState, now: Incident, rung: Rung, at: float) -> str:
    """Why a rung that is allowed cannot be climbed now."""
    budget = node.spec.healing.budget
    if rung is Rung.REPLACE and spent_today(node, rung, at) >= budget.replace:
        return f"its budget of {budget.replace} replacements a day is spent"
    if rung is Rung.REGENERATE and spent_today(node, rung, at) >= budget.regenerate:
        return f"its budget of {budget.regenerate} regenerations a day is spent"
    if rung is Rung.REGENERATE and not node.spec.proxied:
        return "it takes no requests: two versions of it cannot be compared"
    if rung is Rung.REGENERATE and not now.sites:
        return "the evidence names no line of code: the memory profile was not available"
    return ""


def _gone(node: NodeState, now: Incident) -> bool:
    """The instance that showed the trouble is not there any more; no other has shown it yet."""
    held = node.instances.get(now.instance)
    return held is None or held.leaving


def _climb(node: NodeState, state: HostState, now: Incident, rung: Rung, at: float) -> Outcome:
    instance = now.instance
    attempt = Attempt(rung, instance, at, now.slope)
    now = replace(
        now,
        attempt=attempt,
        stage=Stage.ACTING,
        since=at,
        approved=False,
        # One finding, one replacement.
        recurred=now.recurred and rung is not Rung.REPLACE,
        outcome="",
    )
    node = _spend(_keep(node, now), rung, at)
    if rung is Rung.COLLECT:
        return node, (CollectGarbage(node.name, instance, f"{now.id}: the cheapest step first"),)
    if rung is Rung.SHRINK:
        return node, (ShrinkCaches(node.name, instance, SHRINK_TO, f"{now.id}: {_so_far(now)}"),)
    if rung is Rung.REPLACE:
        return _condemn(node, instance, f"{now.id}: its memory grows towards the limit"), ()
    return node, (_regenerate(node, state, now),)


def _condemn(node: NodeState, instance: str, reason: str) -> NodeState:
    held = node.instances.get(instance)
    return node if held is None else node.having(replace(held, condemned=reason))


def _regenerate(node: NodeState, state: HostState, now: Incident) -> Regenerate:
    version = next_healed(node.release.version)
    taken = {release.version for release in node.releases}
    while version in taken:
        version = next_healed(version)
    return Regenerate(
        node=node.name,
        incident=now.id,
        signature=now.signature,
        digest=node.release.digest,
        version=node.release.version,
        next_version=version,
        slope=now.slope,
        limit=node.spec.resources.memory or state.host.memory,
        sites=now.sites,
        tried=tuple(f"{t.rung}: {t.verdict}" for t in now.tried),
        reason=f"{now.id}: only new code can cure it ({_so_far(now)})",
    )


def _so_far(now: Incident) -> str:
    return "; ".join(f"{t.rung} {t.verdict}" for t in now.tried) or "nothing was tried before"


def _advice(node: NodeState, now: Incident, rung: Rung) -> str:
    words = {
        Rung.COLLECT: "collect garbage",
        Rung.SHRINK: "shrink the registered caches",
        Rung.REPLACE: f"replace {now.instance}: nodectl restart {node.name}",
        Rung.REGENERATE: "write a new version without the leak",
    }
    key = "tune" if rung in (Rung.COLLECT, Rung.SHRINK) else rung.value
    return f"advised: {words[rung]} (autonomy {key} is advise)"


def _nothing_left(node: NodeState, now: Incident, at: float) -> NodeState:
    now = replace(now, recurred=False)
    if now.tried and now.tried[-1].verdict is Verdict.BOUGHT_TIME:
        # Freshly replaced: nothing to do until the successor shows the same growth.
        return _keep(
            node, replace(now, stage=Stage.HOLDING, since=at, outcome="time was bought, the cause remains")
        )
    why = "; ".join(f"{t.rung} {t.verdict}" for t in now.tried) or "the ladder is empty"
    return _keep(node, replace(now, stage=Stage.NEEDS_PERSON, since=at, outcome=f"no step is left: {why}"))


def _passed(node: NodeState, now: Incident, rung: Rung, verdict: Verdict, why: str, at: float) -> NodeState:
    tried = (*now.tried, Tried(rung, verdict, at, 0.0, 0, 0.0, why))
    recurred = now.recurred and rung is not Rung.REPLACE
    passed = replace(now, tried=tried, stage=Stage.CHOOSING, since=at, approved=False, recurred=recurred)
    return _keep(node, passed)


def _spend(node: NodeState, rung: Rung, at: float) -> NodeState:
    recent = tuple(s for s in node.healing.spent if at - s.at < DAY)
    return replace(node, healing=replace(node.healing, spent=(*recent, Spent(rung, at))))


def _keep(node: NodeState, now: Incident) -> NodeState:
    return replace(node, healing=replace(node.healing, now=now))
