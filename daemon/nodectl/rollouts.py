"""How does a rollout look: its page, its one line, its place in the history?"""

from collections.abc import Iterable

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.screen import columns, pairs, styled
from nodectl.text import ago, count, duration, ratio, share

ENDED = ("promoted", "rolled back", "aborted")
ROLLBACK_AT = 100.0
PROMOTION_AT = 20.0
STYLES = {"promoted": "green", "rolled back": "red", "aborted": "red", "soak": "cyan", "step": "cyan"}


def versions(rollout: pb.RolloutStatus) -> str:
    return f"{rollout.from_version} -> {rollout.to_version}"


def where(rollout: pb.RolloutStatus) -> str:
    """Its phase, and the share of traffic that the new version gets while it is under way."""
    if rollout.phase in ENDED:
        return rollout.phase
    steps = f"step {rollout.step + 1} of {len(rollout.steps)}"
    return f"{steps if rollout.phase == 'step' else rollout.phase}, share {share(rollout.share)}"


def rollout_line(node: str, rollout: pb.RolloutStatus) -> str:
    """All of it on one line, for output that is appended."""
    parts = [
        f"{node} {versions(rollout)}",
        where(rollout),
        f"new {count(rollout.canary_requests)} requests {count(rollout.canary_bad)} bad",
        f"old {count(rollout.stable_requests)} requests {count(rollout.stable_bad)} bad",
    ]
    if rollout.phase == "step":
        parts += [_against(rollout), _for(rollout), *_needed(rollout)]
    if rollout.reason:
        parts.append(rollout.reason)
    return "  ".join(parts)


def rollout_page(node: str, rollout: pb.RolloutStatus, indent: int = 0, since: float = 0.0) -> list[Text]:
    """`since` is how many seconds ago this was told: countdowns go on without news."""
    head = Text(" " * indent).append_text(styled(f"{node}  {versions(rollout)}", "bold")).append("  ")
    head.append_text(styled(where(rollout), STYLES.get(rollout.phase, "")))
    left = max(0.0, rollout.dwell_left - since)
    if rollout.phase in ("step", "soak") and left:
        head.append(f"  {duration(left)} to go at least")
    counts = columns(
        ("", "VERSION", "REQUESTS", "ERRORS", "ERROR RATIO"),
        [
            _counts("old", rollout.from_version, rollout.stable_requests, rollout.stable_bad),
            _counts("new", rollout.to_version, rollout.canary_requests, rollout.canary_bad),
        ],
        indent + 2,
    )
    rows = [
        ("evidence", f"{_against(rollout)}; {_for(rollout)}" if rollout.phase == "step" else ""),
        ("needed", "".join(_needed(rollout))),
        ("steps", _steps(rollout)),
        (
            "begun",
            f"{ago(rollout.started_at)}, by {rollout.origin or 'unknown'}" if rollout.started_at else "",
        ),
        ("reason", rollout.reason),
    ]
    return [head, *counts, *pairs(rows, indent + 2)]


def rollout_rows(rollouts: Iterable[pb.RolloutStatus], indent: int = 0) -> list[Text]:
    head = ("ID", "FROM", "TO", "VERDICT", "BEGUN", "TOOK", "REQUESTS", "ERRORS", "REASON")
    return columns(head, [_row(one) for one in rollouts], indent)


def _row(one: pb.RolloutStatus) -> list[str | Text]:
    return [
        one.id,
        one.from_version,
        one.to_version,
        styled(one.phase, STYLES.get(one.phase, "")),
        ago(one.started_at),
        duration(one.ended_at - one.started_at) if one.ended_at and one.started_at else "-",
        count(one.canary_requests),
        count(one.canary_bad),
        one.reason,
    ]


def _counts(name: str, version: str, requests: int, bad: int) -> list[str | Text]:
    failed: str | Text = styled(count(bad), "red") if bad else "0"
    return [name, version, count(requests), failed, ratio(bad, requests)]


def _against(rollout: pb.RolloutStatus) -> str:
    return f"against {rollout.rollback_evidence:.3g} of {ROLLBACK_AT:g}"


def _for(rollout: pb.RolloutStatus) -> str:
    return f"for {rollout.promotion_evidence:.3g} of {PROMOTION_AT:g}"


def _needed(rollout: pb.RolloutStatus) -> list[str]:
    needed = rollout.requests_needed if rollout.phase == "step" else 0
    return [f"about {count(needed)} more requests to the new version"] if needed else []


def _steps(rollout: pb.RolloutStatus) -> str:
    """Done ones with their counts, the present one in brackets."""
    words = [f"{share(one.share)} ({_step(one)})" for one in rollout.done]
    rest = [share(one) for one in rollout.steps[len(rollout.done) :]]
    if rest and rollout.phase == "step":
        rest[0] = f"[{rest[0]}]"
    return "; ".join(words + rest)


def _step(one: pb.StepStatus) -> str:
    return f"{duration(one.seconds)}, {count(one.canary_requests)} requests, {count(one.canary_bad)} bad"
