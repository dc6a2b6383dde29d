"""How often has each healing step and each rollout ended in which way, ever?

What a node remembers of incidents and rollouts is bounded; a counter must never fall.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from noded.model.incident import Tried, Verdict
from noded.model.state import NodeState

ROLLOUT = "rollout"


def counted(before: NodeState | None, after: NodeState) -> NodeState:
    """`after` with what ended since `before` added to its totals."""
    ended = tuple(_ended(before, after))
    if not ended:
        return after
    totals: Mapping[str, int] = after.totals
    for key in ended:
        totals = {**totals, key: totals.get(key, 0) + 1}
    return replace(after, totals=totals)


def _ended(before: NodeState | None, after: NodeState) -> Iterator[str]:
    known = _tried(before) if before else {}
    for incident, steps in _tried(after).items():
        fresh = steps[len(known.get(incident, ())) :]
        yield from (f"{t.rung}/{t.verdict}" for t in fresh if t.verdict is not Verdict.SKIPPED)
    newest = after.past_rollouts[-1] if after.past_rollouts else None
    seen = {rollout.id for rollout in before.past_rollouts} if before else set()
    if newest is not None and newest.id not in seen:
        yield f"{ROLLOUT}/{newest.stage}"


def _tried(node: NodeState) -> Mapping[str, tuple[Tried, ...]]:
    held = (*node.healing.past[-1:], *((node.healing.now,) if node.healing.now else ()))
    return {incident.id: incident.tried for incident in held}
