"""What do the figures of a rollout say: the versions side by side, the evidence, what is still needed?"""

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.screen import columns, styled
from nodectl.text import count, duration, ratio, share, size

ROLLBACK_AT = 100.0
PROMOTION_AT = 20.0
MEANINGS = {
    "errors": "failed requests and events",
    "events": "failed events, part of errors",
    "status": "faults by the node's own word",
    "soak": "errors at 100 %",
}
SHORT = 5
"""Columns of a rollout that is over."""
SLOWEST = 7 * 86400.0
"""Seconds beyond which a time to wait says nothing to a person."""


def figures(rollout: pb.RolloutStatus, indent: int) -> list[Text]:
    """A row for each version; instances, speed and memory are known while the rollout is under way."""
    counted = (
        ("old", rollout.from_version, rollout.stable_requests, rollout.stable_bad),
        ("new", rollout.to_version, rollout.canary_requests, rollout.canary_bad),
    )
    head: tuple[str, ...] = ("", "VERSION", "REQUESTS", "ERRORS", "RATIO")
    rows = [_counts(*each) for each in counted]
    if len(rollout.versions) == len(rows):
        head += ("READY", "RATE", "P50", "P99", "MEMORY")
        counts = rollout.phase != "preparing"
        rows = [row + _state(one, counts) for row, one in zip(rows, rollout.versions, strict=True)]
    return columns(head, rows, indent, spare=("RATIO", "READY") if len(head) > SHORT else ())


def signals(rollout: pb.RolloutStatus, indent: int) -> list[Text]:
    """What is counted on both at the present step, and how near each comes to a rollback by itself."""
    head = ("SIGNAL", "AGAINST", "NEW", "OLD", "MEANS")
    return columns(head, [_signal(one) for one in rollout.signals], indent) if rollout.signals else []


def needed(rollout: pb.RolloutStatus) -> list[str]:
    """What the next step waits for, in words; nothing when it is not known."""
    if rollout.phase == "preparing":
        return [f"{one.version} ready: {one.ready} of {one.wanted} so far" for one in rollout.versions[1:]]
    if rollout.phase != "step" or rollout.frozen or not rollout.promotion_evidence:
        return []
    if rollout.promotion_evidence >= PROMOTION_AT:
        return ["no more requests"]
    if not rollout.requests_needed:
        return ["no number of requests would do while so many of them fail"]
    words = f"about {count(rollout.requests_needed)} more requests to the new version"
    return [words + _time(rollout)]


def _time(rollout: pb.RolloutStatus) -> str:
    """`, 21s at this rate`; nothing when the rate is not told."""
    if len(rollout.versions) != 2:
        return ""
    rate = rollout.versions[1].rate
    seconds = rollout.requests_needed / rate if rate > 0 else SLOWEST
    if seconds >= SLOWEST:
        return ", and hardly any come" if rate > 0 else ", and none come"
    return f", {duration(seconds)} at this rate"


def latency(seconds: float) -> str:
    if not seconds:
        return "-"
    if seconds >= 0.9995:
        return duration(seconds)
    return f"{seconds * 1000:.2g}ms" if seconds < 0.00995 else f"{seconds * 1000:.0f}ms"


def _counts(name: str, version: str, requests: int, bad: int) -> list[str | Text]:
    return [name, version, count(requests), _bad(bad), ratio(bad, requests)]


def _bad(bad: int) -> str | Text:
    return styled(count(bad), "red") if bad else "0"


def _state(one: pb.VersionStatus, counts: bool) -> list[str | Text]:
    ready = f"{one.ready}/{one.wanted}"
    rate = f"{one.rate:,.0f}/s" if one.rate >= 100 else f"{one.rate:.1f}/s"
    return [
        styled(ready, "yellow") if one.ready < one.wanted else ready,
        rate if counts else "-",
        latency(one.p50),
        latency(one.p99),
        size(one.memory) if one.memory else "-",
    ]


def _signal(one: pb.SignalStatus) -> list[str | Text]:
    return [one.signal, _against(one), *_sides(one), _meaning(one)]


def _against(one: pb.SignalStatus) -> str | Text:
    if not one.weight:
        return "-"
    limit = ROLLBACK_AT / one.weight
    text = f"{one.evidence:.3g} of {limit:.4g}"
    # Half of the way on a scale of factors: what a person should look at.
    return styled(text, "yellow") if one.evidence >= limit**0.5 else text


def _sides(one: pb.SignalStatus) -> list[str | Text]:
    if one.signal == "memory":
        return ["-", "-"]
    return [
        f"{count(bad)} of {count(all_)}" if all_ or bad else "-"
        for bad, all_ in ((one.canary_bad, one.canary), (one.stable_bad, one.stable))
    ]


def _meaning(one: pb.SignalStatus) -> str:
    """Short, so that the row fits into 80 columns."""
    if one.signal == "memory":
        held = f"{size(abs(one.limit))} {'more' if one.limit >= 0 else 'less'}"
        return f"holds {held} than a fresh old one"
    if one.signal == "objective" and one.limit:
        return f"promised are {share(one.limit)} at most"
    if one.signal.startswith("slow-") and one.limit:
        return f"answers slower than {latency(one.limit)}"
    return MEANINGS.get(one.signal, "")
