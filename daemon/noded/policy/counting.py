"""What did both versions of a rollout do since the last look, and what of it counts?

Work is dealt to the versions by chance, so a bad outcome hits the canary with the probability of its share,
as long as both can be reached: while either has no usable server nothing counts, and while a fuse cuts the
canary no more of stable's than belongs to what the canary had. What was begun under the last, smaller share
and fails now only makes the canary look better (docs/adr/0030): it counts against stable at once, and nothing
that promotion rests on.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from noded.model.inputs import SignalsTold
from noded.model.instance import BESIDE, Instance, Role
from noded.model.rollout import THRESHOLDS, Rollout, Seen, Step, Tally
from noded.model.signals import Answers, Handled
from noded.model.state import NodeState

SETTLE = 60.0
"""Seconds the proxy waits for an answer at most: older requests of another share there are none."""
QUANTILES = (0.5, 0.9, 0.99)
LEAST = 100
"""Answers of stable from which its quantiles are taken."""
QUICK = 0.005
"""Seconds below which answer times are not compared: who gets a tenth of the requests sleeps more between
them and is slower by parts of a millisecond, whatever its version (ADR 0034)."""


def on_counted(node: NodeState, at: float) -> NodeState:
    """Add the requests that the proxy counted since the last look to the present step."""
    rollout = node.rollout
    if rollout is None or rollout.ended:
        return node
    before = {s.instance: s for s in rollout.seen}
    step = rollout.now
    if step is not None and (rollout.usable or rollout.share >= 1.0):
        step = _counted(step, node, rollout, before, at < rollout.settles_at)
    return replace(
        node, rollout=replace(rollout, now=step, seen=seen(node), usable=usable(node), cut=is_cut(node))
    )


def _counted(step: Step, node: NodeState, rollout: Rollout, before: Mapping[str, Seen], early: bool) -> Step:
    """Of requests that the canary failed at and stable was asked instead only the first attempt counts."""
    moved = again = 0
    canary, stable = [0, 0], [0, 0]
    for instance in node.instances.values():
        more = _more(before.get(instance.id), instance)
        moved += more.moved if rollout.deals_to(instance) else 0
        tally = canary if rollout.deals_to(instance) else stable
        tally[0] += more.requests
        tally[1] += more.bad - more.again_bad
        again += more.again
    step = _requests(step, True, canary[0], canary[1], early)
    asked, bad = max(stable[0] - max(moved, again), stable[1], 0), stable[1]
    if rollout.cut or is_cut(node):
        return _beside(step, canary[0], asked, bad, early)
    return _requests(step, False, asked, bad, early)


def _beside(step: Step, canary: int, asked: int, bad: int, early: bool) -> Step:
    """Of stable's requests as many as belong to the canary's: the rest came while the fuse had cut it.

    A mean in place of a count that varies makes both kinds of evidence weaker, never stronger (Jensen), and
    of the part of a bad request that is left over each is told what favours it least.
    """
    part = min(1.0, canary * (1.0 - step.share) / step.share / asked) if asked else 0.0
    most = math.ceil(bad * part)
    doubtful = most - math.floor(bad * part)
    step = _requests(step, False, max(math.floor(asked * part), most), most, early)
    return step if early else replace(step, early=_added(step.early, False, doubtful, doubtful))


def on_told(node: NodeState, fact: SignalsTold) -> NodeState:
    """Add what nodes and the mesh told of their work since the last word to the present step."""
    rollout = node.rollout
    if rollout is None or rollout.ended:
        return node
    answers = tuple(a for a in fact.answers if a.instance in node.instances)
    handled = tuple(h for h in fact.handled if h.node == node.name)
    step = rollout.now
    if step is not None:
        step = _handled(step, rollout, handled)
    known = {a.instance: a for a in rollout.answers if a.instance in node.instances}
    now = {a.instance: a for a in answers}
    fresh = _fresh(node, rollout, known, now)
    before = {a.instance: a for a in rollout.counted if a.instance in node.instances}
    compares = (rollout.usable and not rollout.cut) or rollout.share >= 1.0
    if step is not None and compares:
        step = _answered(step, rollout, node, before, fresh)
    told = {h.version: h for h in (*rollout.handled, *handled)}
    after = replace(
        rollout,
        now=step,
        answers=tuple((known | now).values()),
        counted=tuple((before | fresh).values()),
        handled=tuple(told.values()),
    )
    return replace(node, rollout=after)


def _fresh(
    node: NodeState, rollout: Rollout, known: Mapping[str, Answers], now: Mapping[str, Answers]
) -> dict[str, Answers]:
    """What is to be counted of what was told: of the canary what it told before, and only when all of stable
    have spoken since. A canary whose word is fresher than stable's would be seen to fail first in an outage
    of both."""
    fresh = {name: told for name, told in now.items() if not _of_canary(node, rollout, name)}
    speaking = (i.id for i in node.of(Role.STABLE) if i.serves and i.id in known)
    if all(name in now for name in speaking):
        fresh |= {name: known[name] for name in now if name in known and name not in fresh}
    return fresh


def thresholds(node: NodeState, rollout: Rollout) -> tuple[float, ...]:
    """Answer times from `QUICK` on that half, nine tenths and 99 hundredths of stable's answers kept so far.

    Where nearly all are quicker only the last is left: who is slower than `QUICK` then is seen all the same.
    """
    told = [a for a in rollout.answers if not _of_canary(node, rollout, a.instance)]
    edges = told[0].edges if told else ()
    told = [a for a in told if a.edges == edges and len(a.within) == len(edges)]
    total = sum(a.total for a in told)
    if not edges or total < LEAST:
        return ()
    within = [sum(a.within[place] for a in told) for place in range(len(edges))]
    counted = list(zip(edges, within, strict=True))
    found = [next((edge for edge, count in counted if count >= q * total), 0.0) for q in QUANTILES]
    if found[-1]:
        found[-1] = next((edge for edge in edges if edge >= max(found[-1], QUICK)), 0.0)
    return tuple(0.0 if edge < QUICK or edge in found[:place] else edge for place, edge in enumerate(found))


def usable(node: NodeState) -> bool:
    """Whether either version has an instance that requests may reach, as a canary's that its fuse has cut."""
    there = [i for i in node.instances.values() if i.serves]
    canary = any(i.role is Role.CANARY for i in there)
    return canary and any(i.role is Role.STABLE and i.load.up for i in there)


def is_cut(node: NodeState) -> bool:
    """Whether a canary gets less than its share."""
    return any(i.role is Role.CANARY and not i.load.up for i in node.instances.values())


def seen(node: NodeState) -> tuple[Seen, ...]:
    return tuple(_all(i) for i in node.instances.values())


def _all(instance: Instance) -> Seen:
    load = instance.load
    return Seen(instance.id, load.requests, load.bad, load.moved, load.again, load.again_bad)


def _more(before: Seen | None, instance: Instance) -> Seen:
    load = instance.load
    if before is None or load.requests < before.requests or load.bad < before.bad:
        # The first look at it, or the proxy was restarted and counts from nothing again.
        return _all(instance)
    return Seen(
        instance.id,
        load.requests - before.requests,
        load.bad - before.bad,
        max(0, load.moved - before.moved),
        max(0, load.again - before.again),
        min(max(0, load.again_bad - before.again_bad), load.bad - before.bad),
    )


def _requests(step: Step, canary: bool, asked: int, bad: int, early: bool) -> Step:
    if early:
        step = replace(step, early=_added(step.early, canary, asked, bad))
    if canary:
        return replace(step, canary_requests=step.canary_requests + asked, canary_bad=step.canary_bad + bad)
    return replace(step, stable_requests=step.stable_requests + asked, stable_bad=step.stable_bad + bad)


def _added(tally: Tally, canary: bool, count: int, bad: int) -> Tally:
    if canary:
        return replace(tally, canary=tally.canary + count, canary_bad=tally.canary_bad + bad)
    return replace(tally, stable=tally.stable + count, stable_bad=tally.stable_bad + bad)


def _answered(
    step: Step,
    rollout: Rollout,
    node: NodeState,
    before: Mapping[str, Answers],
    fresh: Mapping[str, Answers],
) -> Step:
    status, slow = step.status, list(step.slow or (Tally(),) * THRESHOLDS)
    for now in fresh.values():
        canary = _of_canary(node, rollout, now.instance)
        old = before.get(now.instance)
        if old is None and _was_there(node.instances[now.instance], rollout):
            continue  # It tells for the first time of all its life.
        if old is None or old.total > now.total or old.bad > now.bad:
            old = Answers(now.instance, 0, 0, now.edges, (0,) * len(now.edges))
        total = now.total - old.total
        status = _added(status, canary, total, now.bad - old.bad)
        for place, threshold in enumerate(rollout.thresholds):
            late = _later(old, now, threshold)
            if late is not None:
                slow[place] = _added(slow[place], canary, total, late)
    return replace(step, status=status, slow=tuple(slow) if rollout.thresholds else ())


def _was_there(instance: Instance, rollout: Rollout) -> bool:
    """Before the rollout began."""
    return instance.role not in BESIDE and instance.created_at <= rollout.started_at


def _later(old: Answers, now: Answers, threshold: float) -> int | None:
    """Answers that took longer; None when it cannot be told, as of a version with other bounds."""
    if not threshold or threshold not in now.edges or old.edges != now.edges:
        return None
    place = now.edges.index(threshold)
    within = now.within[place] - old.within[place]
    return max(0, now.total - old.total - within)


def _handled(step: Step, rollout: Rollout, handled: Iterable[Handled]) -> Step:
    """The mesh leaves out itself what was dealt under another share."""
    before = {h.version: h for h in rollout.handled}
    for now in handled:
        old = before.get(now.version)
        if old is None:
            continue
        again = old.total > now.total or old.bad > now.bad
        count, bad = (now.total, now.bad) if again else (now.total - old.total, now.bad - old.bad)
        step = replace(step, events=_added(step.events, now.version == rollout.release.version, count, bad))
    return step


def _of_canary(node: NodeState, rollout: Rollout, name: str) -> bool:
    instance = node.instances.get(name)
    return instance is not None and rollout.deals_to(instance)
