"""How much have both versions of a rollout to do of late, and how fast do they answer?

Nothing is decided by it: it is for the person who watches.
"""

from collections.abc import Iterator
from dataclasses import replace

from noded.model.pace import Pace
from noded.model.rollout import Rollout, Step
from noded.model.signals import Answers
from noded.model.state import NodeState


def kept(before: NodeState, after: NodeState, at: float) -> NodeState:
    """`after`, with what was counted since `before` added to the paces of its rollout."""
    old, new = before.rollout, after.rollout
    if old is None or new is None or new.ended or old.id != new.id:
        return after
    stable, canary = new.paces or (Pace(), Pace())
    more_stable, more_canary = _work(old, new)
    stable, canary = stable.adding(at, more_stable), canary.adding(at, more_canary)
    for answers in _answers(old, new):
        instance = after.instances.get(answers.instance)
        if instance is not None and new.deals_to(instance):
            canary = canary.adding(at, 0, answers)
        else:
            stable = stable.adding(at, 0, answers)
    return replace(after, rollout=replace(new, paces=(stable, canary)))


def _work(old: Rollout, new: Rollout) -> tuple[int, int]:
    """Of stable and of the canary, at the present step."""
    if new.now is None:
        return 0, 0
    same = old.now is not None and old.now.started_at == new.now.started_at
    before = (old.now if same and old.now else Step(0.0, 0.0)).errors
    now = new.now.errors
    return now.stable - before.stable, now.canary - before.canary


def _answers(old: Rollout, new: Rollout) -> Iterator[Answers]:
    """What each instance answered meanwhile; of one seen for the first time nobody knows since when."""
    before = {told.instance: told for told in old.answers}
    for now in new.answers:
        then = before.get(now.instance)
        if then is None or then.edges != now.edges or then.total > now.total:
            continue
        if then.total < now.total and len(then.within) == len(now.within) == len(now.edges):
            within = tuple(b - a for a, b in zip(then.within, now.within, strict=True))
            yield replace(now, total=now.total - then.total, within=within)
