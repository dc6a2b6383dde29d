"""How does a rollout look: its page, its one line, its place in the history?"""

from collections.abc import Iterable

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.rollout_figures import PROMOTION_AT, ROLLBACK_AT, figures, needed, signals
from nodectl.screen import Cell, columns, pairs, styled
from nodectl.text import ago, clock, count, duration, share

ENDED = ("promoted", "rolled back", "aborted")
STYLES = {"promoted": "green", "rolled back": "red", "aborted": "red", "soak": "cyan", "step": "cyan"}
BAR = 40
LATEST = 3
"""Transitions shown beside the figures; `rollout history NODE ID` has all."""


def under_way(found: pb.NodeStatus | None) -> pb.RolloutStatus | None:
    if found is None or not found.HasField("rollout") or found.rollout.phase in ENDED:
        return None
    return found.rollout


def all_of(found: pb.NodeStatus) -> list[pb.RolloutStatus]:
    """Newest first, the one under way among them."""
    known = list(found.past_rollouts)
    if found.HasField("rollout") and found.rollout.id not in [one.id for one in known]:
        known.append(found.rollout)
    return sorted(known, key=lambda one: -one.started_at)


def last_of(found: pb.NodeStatus) -> pb.RolloutStatus | None:
    """The newest that has ended."""
    return next((one for one in all_of(found) if one.phase in ENDED), None)


def versions(rollout: pb.RolloutStatus) -> str:
    return f"{rollout.from_version} -> {rollout.to_version}"


def where(rollout: pb.RolloutStatus) -> str:
    """Its phase, and the share of traffic that the new version gets while it is under way."""
    if rollout.phase in ENDED:
        return rollout.phase
    steps = f"step {rollout.step + 1} of {len(rollout.steps)}"
    words = [steps if rollout.phase == "step" else rollout.phase, f"share {share(rollout.share)}"]
    words += ["held"] if rollout.held else []
    return ", ".join([*words, *(["frozen"] if rollout.frozen else [])])


def rollout_line(node: str, rollout: pb.RolloutStatus, why: bool = True) -> str:
    """All of it on one line, for output that is appended; with the reason of the last move only if `why`."""
    parts = [
        f"{node} {versions(rollout)}",
        where(rollout),
        f"new {count(rollout.canary_requests)} requests {count(rollout.canary_bad)} bad",
        f"old {count(rollout.stable_requests)} requests {count(rollout.stable_bad)} bad",
    ]
    if rollout.phase in ("step", "soak"):
        parts += _evidence(rollout)
        left = 0.0 if rollout.frozen else rollout.dwell_left
        parts += [f"{duration(left)} to go at least"] if left else []
    parts += needed(rollout)
    if rollout.reason and why:
        parts.append(rollout.reason)
    return "  ".join(parts)


def rollout_page(node: str, rollout: pb.RolloutStatus, indent: int = 0, since: float = 0.0) -> list[Text]:
    """`since` is how many seconds ago this was told: countdowns go on without news."""
    head = Text(" " * indent).append_text(_head(node, rollout))
    left = max(0.0, rollout.dwell_left - since)
    if rollout.phase in ("step", "soak") and left and not rollout.frozen:
        head.append(f"  {duration(left)} to go at least")
    goes = rollout.phase not in ENDED
    inner = indent + 2
    rows: list[tuple[str, Cell]] = [
        ("evidence", "; ".join(_evidence(rollout)) if rollout.phase in ("step", "soak") else ""),
        ("needed", "; ".join(needed(rollout))),
        ("steps", _steps(rollout)),
        *_stopped(node, rollout),
        ("begun", f"{ago(rollout.started_at)}, by {rollout.origin or 'unknown'}" if goes else ""),
        ("forced", rollout.forced),
        ("reason", "" if _told(rollout) else rollout.reason),
    ]
    return [
        head,
        *(pairs([("share", bar(rollout.share))], inner) if goes else ()),
        *figures(rollout, inner),
        *(signals(rollout, inner) if goes else ()),
        *pairs(rows, inner),
        *transitions(rollout, inner, LATEST),
    ]


def bar(of_one: float) -> str:
    """ASCII, as not every terminal has blocks."""
    full = min(BAR, max(0, round(of_one * BAR)))
    return f"[{'#' * (full or int(of_one > 0))}".ljust(BAR + 1, ".") + f"]  {share(of_one)}"


def rollout_rows(rollouts: Iterable[pb.RolloutStatus], indent: int = 0) -> list[Text]:
    head = ("ID", "FROM", "TO", "VERDICT", "BEGUN", "TOOK", "REQUESTS", "ERRORS", "REASON")
    return columns(head, [_row(one) for one in rollouts], indent)


def story(node: str, rollout: pb.RolloutStatus) -> list[Text]:
    """One rollout from its beginning: what each step counted, every transition with its reason."""
    head = _head(node, rollout)
    took = rollout.ended_at - rollout.started_at
    rows: list[tuple[str, Cell]] = [
        ("id", rollout.id),
        ("release", rollout.digest),
        ("begun", f"{clock(rollout.started_at)}, by {rollout.origin or 'unknown'}"),
        ("took", duration(took) if rollout.ended_at and rollout.started_at else ""),
        *_stopped(node, rollout),
        ("forced", rollout.forced),
        ("reason", "" if _told(rollout) else rollout.reason),
    ]
    names = ("SHARE", "LASTED", "NEW", "NEW ERRORS", "OLD", "OLD ERRORS")
    steps = columns(names, [_step_row(one) for one in _counted(rollout)], 2)
    return [head, *pairs(rows), *(steps if len(steps) > 1 else ()), *transitions(rollout, 2)]


def transitions(rollout: pb.RolloutStatus, indent: int, latest: int = 0) -> list[Text]:
    """All of them with their dates, or the latest with their ages."""
    told = list(rollout.history)[-latest:]
    rows: list[list[Cell]] = [
        [
            ago(one.at) if latest else clock(one.at),
            styled(one.phase, STYLES.get(one.phase, "")),
            share(one.share),
            one.by or "noded",
            one.reason,
        ]
        for one in told
    ]
    return columns(("WHEN", "STAGE", "SHARE", "BY", "WHY"), rows, indent) if rows else []


def _head(node: str, rollout: pb.RolloutStatus) -> Text:
    head = styled(f"{node} {versions(rollout)}", "bold").append("  ")
    return head.append_text(styled(where(rollout), STYLES.get(rollout.phase, "")))


def _row(one: pb.RolloutStatus) -> list[str | Text]:
    return [
        one.id,
        one.from_version,
        one.to_version,
        styled(where(one), STYLES.get(one.phase, "")),
        ago(one.started_at),
        duration(one.ended_at - one.started_at) if one.ended_at and one.started_at else "-",
        count(one.canary_requests),
        count(one.canary_bad),
        one.reason,
    ]


def _step_row(one: pb.StepStatus) -> list[str | Text]:
    return [
        share(one.share),
        duration(one.seconds) if one.seconds else "so far",
        count(one.canary_requests),
        count(one.canary_bad),
        count(one.stable_requests),
        count(one.stable_bad),
    ]


def _counted(rollout: pb.RolloutStatus) -> list[pb.StepStatus]:
    """Also the step under way: what is counted in all and not in those that are done."""
    done = list(rollout.done)
    if rollout.phase not in ("step", "soak"):
        return done
    now = pb.StepStatus(
        share=rollout.share,
        canary_requests=max(0, rollout.canary_requests - sum(one.canary_requests for one in done)),
        canary_bad=max(0, rollout.canary_bad - sum(one.canary_bad for one in done)),
        stable_requests=max(0, rollout.stable_requests - sum(one.stable_requests for one in done)),
        stable_bad=max(0, rollout.stable_bad - sum(one.stable_bad for one in done)),
    )
    return [*done, now]


def _evidence(rollout: pb.RolloutStatus) -> list[str]:
    """Towards what is needed to go back, and to go on; the last step ends by time."""
    against = f"against {rollout.rollback_evidence:.3g} of {ROLLBACK_AT:g}"
    if rollout.phase == "soak":
        return [against]
    return [against, f"for {rollout.promotion_evidence:.3g} of {PROMOTION_AT:g}"]


def _stopped(node: str, rollout: pb.RolloutStatus) -> list[tuple[str, Cell]]:
    """Why it does not go on, and what would."""
    rows: list[tuple[str, Cell]] = []
    if rollout.frozen:
        known = any(rollout.frozen in one.reason for one in rollout.history)
        why = "" if known else f"{rollout.frozen}; "
        ways = f"nodectl rollout abort {node}, or nodectl rollout promote {node}"
        rows.append(("frozen", styled(f"{why}a person decides: {ways}", "yellow")))
    if rollout.held and not rollout.frozen:
        told = f"by a person, harm still ends it; go on with: nodectl rollout resume {node}"
        rows.append(("held", styled(told, "yellow")))
    return rows


def _told(rollout: pb.RolloutStatus) -> bool:
    """The last transition has the reason already."""
    return bool(rollout.history) and rollout.history[-1].reason == rollout.reason


def _steps(rollout: pb.RolloutStatus) -> str:
    """Done ones with their counts, the present one in brackets."""
    words = [f"{share(one.share)} ({_step(one)})" for one in rollout.done]
    rest = [share(one) for one in rollout.steps[len(rollout.done) :]]
    if rest and rollout.phase in ("step", "soak"):
        rest[0] = f"[{rest[0]}]"
    return "; ".join(words + rest)


def _step(one: pb.StepStatus) -> str:
    return f"{duration(one.seconds)}, {count(one.canary_requests)} requests, {count(one.canary_bad)} bad"
