"""What ends a rollout without any statistics?

None of it can be met by chance by a version that is as good as stable; what could be is left to
`policy/verdict.py`.
"""

from dataclasses import replace

from noded.model.instance import HUNG, Instance, Phase, Role
from noded.model.rollout import Growth, Rollout, Stage
from noded.model.state import NodeState
from noded.policy import growth, trend

PREPARE = 5.0
"""Seconds beyond the start timeout after which a canary that never became ready is given up."""
UNREACHABLE = 1.0
"""Seconds for which the proxy holds a canary down that gave no wrong answer."""
GREEDY = 15.0
"""Seconds of too much CPU; warming up takes less."""
TIMES = 3.0
"""Of the CPU that all of stable used at most; half a core more is allowed besides."""
SPARE_CORES = 0.5
NEAR = 900.0
"""Seconds to the limit of memory at which nobody waits for a comparison."""


def fault(node: NodeState, rollout: Rollout, at: float) -> str:
    """Why the canary loses its share now; empty when nothing is known against it."""
    gone = [i for i in node.instances.values() if rollout.deals_to(i) and i.phase is Phase.STOPPING]
    if gone and not rollout.frozen:
        return gone[0].condemned or f"its canary {gone[0].id} is stopping"
    return _hung(node) or _unreachable(node, at) or _late(node, rollout, at) or _hungry(node, rollout, at)


def unprepared(node: NodeState, rollout: Rollout, when: str) -> str:
    """What the first step still waits for; empty when nothing."""
    if sum(1 for i in node.of(Role.CANARY) if i.serves) < rollout.canaries:
        return f"no canary was ready {when}"
    pushed = rollout.direct or rollout.hurry or rollout.finish
    if not pushed and not any(i.serves for i in node.of(Role.STABLE)):
        return f"no stable instance to compare with was ready {when}"
    return ""


def watched(node: NodeState, rollout: Rollout, at: float) -> Rollout:
    """The rollout with what the newest readings say about CPU and memory."""
    canaries = [i for i in node.of(Role.CANARY) if i.serves]
    stable = sum(i.vitals.cpu for i in node.instances.values() if i.role is not Role.CANARY)
    if 0.0 < rollout.share < 1.0:
        rollout = replace(rollout, busy=max(rollout.busy, stable))
    used = sum(i.vitals.cpu for i in canaries)
    greedy = rollout.now is not None and used > TIMES * rollout.busy + SPARE_CORES
    if greedy != bool(rollout.greedy_since):
        rollout = replace(rollout, greedy_since=at if greedy else 0.0)
    return _compared(node, rollout, at)


def _compared(node: NodeState, rollout: Rollout, at: float) -> Rollout:
    held = rollout.growth or _paired(node, rollout, at)
    if held is None:
        return rollout
    canary, baseline = (node.instances.get(name) for name in (held.canary, held.baseline))
    if canary is None or baseline is None or not (canary.serves and baseline.serves):
        return replace(rollout, growth=None)
    return replace(
        rollout, growth=growth.on_read(held, canary.vitals.memory, baseline.vitals.memory, at, rollout.share)
    )


def _paired(node: NodeState, rollout: Rollout, at: float) -> Growth | None:
    """From the first step on, when both are up."""
    baseline, canary = (next(iter(node.of(role)), None) for role in (Role.BASELINE, Role.CANARY))
    if rollout.at_step or not rollout.compares_memory or baseline is None or canary is None:
        return None
    return Growth(canary.id, baseline.id, at) if baseline.serves and canary.serves else None


def _hung(node: NodeState) -> str:
    """Its event loop stands still while stable's turns: requests wait there for nothing."""
    if any(i.vitals.still > HUNG / 2 for i in node.of(Role.STABLE)):
        return ""
    still = next((i for i in node.of(Role.CANARY) if i.serves and i.vitals.still > HUNG), None)
    return f"the event loop of {still.id} has stood still for {still.vitals.still:.0f} s" if still else ""


def _unreachable(node: NodeState, at: float) -> str:
    """The proxy's own questions go unanswered: it is no fuse that wrong answers have blown."""
    if not any(i.serves and i.load.up for i in node.of(Role.STABLE)):
        return ""
    down = next((i for i in node.of(Role.CANARY) if _is_down(i, at)), None)
    return f"the proxy has not reached {down.id} for {at - down.load.down_since:.0f} s" if down else ""


def _is_down(instance: Instance, at: float) -> bool:
    load = instance.load
    quiet = load.bad == instance.raised_bad
    return instance.serves and not load.up and quiet and at - load.down_since >= UNREACHABLE


def _late(node: NodeState, rollout: Rollout, at: float) -> str:
    late = at - rollout.since > rollout.spec.start_timeout + PREPARE
    if rollout.stage is Stage.PREPARING and late and node.preparing != rollout.release.digest:
        return unprepared(node, rollout, f"within {at - rollout.since:.0f} s")
    return ""


def _hungry(node: NodeState, rollout: Rollout, at: float) -> str:
    """It takes memory or CPU that stable, with the same work, does not."""
    if rollout.greedy_since and at - rollout.greedy_since >= GREEDY:
        used = sum(i.vitals.cpu for i in node.of(Role.CANARY))
        return (
            f"its canary uses {used:.1f} cores for {GREEDY:.0f} s, all of stable {rollout.busy:.1f} at most"
        )
    leak = _leaking(node)
    if leak:
        return leak
    limit = rollout.spec.resources.memory
    return growth.finding(rollout.growth, limit) if rollout.growth is not None else ""


def _leaking(node: NodeState) -> str:
    """A limit that is hours away is left to the paired slopes: a program that warms up grows too."""
    if any(trend.finding(i.trend) for role in (Role.STABLE, Role.BASELINE) for i in node.of(role)):
        return ""
    for canary in node.of(Role.CANARY):
        found = trend.finding(canary.trend) if canary.serves else None
        if found is not None and found.seconds_to_limit < NEAR:
            speed = f"{found.slope * 60 / 1_048_576:.1f} MB/min"
            left = f"{found.seconds_to_limit / 60:.0f} min"
            return f"memory of {canary.id} grows by {speed}, limit in {left}; stable's does not"
    return ""
