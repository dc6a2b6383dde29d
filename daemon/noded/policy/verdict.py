"""Is the canary worse, good enough, or is it too early to say?

Two always-valid tests on counted bad events, so that looking after every request costs nothing:
an e-process for "worse than stable" (Lindon & Malek, arXiv 2011.03567) and a betting test for
"not worse by more than a margin" (Waudby-Smith & Ramdas, arXiv 2010.09686).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from noded.model.rollout import Evidence
from nodespec.manifest import NodeSpec

Kind = Literal["roll_back", "promote", "wait"]
ROLL_BACK: Final = "roll_back"
PROMOTE: Final = "promote"
WAIT: Final = "wait"

LARGEST_LOG: Final = 690.0  # exp() of more leaves the floats; JSON knows no infinity
POINTS: Final = 40
MOST_REQUESTS: Final = 1 << 40  # beyond this an estimate says nothing to a person


@dataclass(frozen=True, slots=True)
class Counts:
    """What both versions did while the canary had one share. Counts are of the whole stage, not of one look.

    A request that was retried may be counted bad more than once, so bad may exceed requests.
    """

    share: float
    canary_requests: int
    canary_bad: int
    stable_requests: int
    stable_bad: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share is {self.share}, expected a number from 0 to 1 (0.1 is ten percent)")
        for name in ("canary_requests", "canary_bad", "stable_requests", "stable_bad"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a count of 0 or more")

    @property
    def comparable(self) -> bool:
        """Both versions had traffic. At a share of 0 or 1 an error says nothing about the difference."""
        return 0.0 < self.share < 1.0

    @property
    def good(self) -> int:
        """Requests of both versions that were not bad."""
        canary = max(0, self.canary_requests - self.canary_bad)
        return canary + max(0, self.stable_requests - self.stable_bad)


@dataclass(frozen=True, slots=True)
class Standard:
    """What a canary is held to.

    false_rollback: most often an equally good version is rolled back, per rollout, over all looks.
    false_promotion: most often a version worse by `margin` earns a step.
    tolerance: the rate ratio canary/stable that still counts as equal. At 1.2, three errors at a
        tenth of the traffic roll back while stable has none; at 1.5 too, at 2.0 no longer.
    margin: the difference of bad ratios (0.01 is one percentage point) that still counts as good enough.
    bad_limit: at full share, where stable has no traffic to compare with, the bad ratio that is not borne.
    """

    false_rollback: float = 0.01
    false_promotion: float = 0.05
    tolerance: float = 1.2
    margin: float = 0.01
    bad_limit: float = 0.1

    def __post_init__(self) -> None:
        for name in ("false_rollback", "false_promotion", "margin", "bad_limit"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number between 0 and 1")
        if not (math.isfinite(self.tolerance) and self.tolerance >= 1.0):
            raise ValueError(f"tolerance is {self.tolerance}, expected a ratio of 1 or more")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`requests_needed`: about how many more canary requests until promotion when quality stays as it is:
    0 when decided, None when no number would do."""

    kind: Kind
    reason: str
    e_rollback: float
    e_promote: float
    rollback_at: float
    promote_at: float
    requests_needed: int | None
    evidence: tuple[Evidence, ...] = ()


DEFAULT: Final = Standard()


def judge(stages: tuple[Counts, ...], standard: Standard = DEFAULT) -> Verdict:
    """Rollback rests on all stages, promotion on the last one: each step earns its own promotion.

    At full share both rest on the canary's own bad ratio against `standard.bad_limit`.
    """
    if not stages:
        raise ValueError("no stage to judge, expected at least the present one")
    now = stages[-1]
    rollback_at, promote_at = 1.0 / standard.false_rollback, 1.0 / standard.false_promotion
    worse, better = rollback_evidence(stages, standard), promotion_evidence(now, standard)
    if now.share >= 1.0:
        worse = max(worse, excess_evidence(now, standard))
    kind: Kind = ROLL_BACK if worse >= rollback_at else PROMOTE if better >= promote_at else WAIT
    needed = _requests_needed(now, standard) if kind == WAIT else 0
    verdict = Verdict(kind, "", worse, better, rollback_at, promote_at, needed)
    return replace(verdict, reason=_reason(verdict, now))


def rollback_evidence(stages: tuple[Counts, ...], standard: Standard = DEFAULT) -> float:
    """E-value against "the canary's bad rate is at most tolerance times stable's".

    Mean at most 1 while that holds, so it ever reaches 1/a with probability at most a (Ville).
    Given a bad event, it hits the canary with probability theta(ratio), whatever the load.
    """
    tolerance, logs = standard.tolerance, []
    for step in range(POINTS):
        ratio = tolerance * 1.05 * (1000.0 / 1.05) ** (step / (POINTS - 1))
        total = 0.0
        for stage in stages:
            if stage.comparable:
                gain, loss = _factors(stage.share, ratio, tolerance)
                total += stage.canary_bad * gain + stage.stable_bad * loss
        logs.append(total)
    return _mean_exp(logs)


def _factors(share: float, ratio: float, tolerance: float) -> tuple[float, float]:
    """Logarithms of what one bad event of the canary and one of stable multiply the evidence by."""
    rest = 1.0 - share
    scale = math.log(share * tolerance + rest) - math.log(share * ratio + rest)
    return math.log(ratio / tolerance) + scale, scale


def promotion_evidence(stage: Counts, standard: Standard = DEFAULT) -> float:
    """E-value against "the canary's bad ratio is `margin` or more above stable's" (at full share: above
    `bad_limit` or equal to it)."""
    return _promotion(stage, stage.good, stage.canary_bad, stage.stable_bad, standard)


def _promotion(stage: Counts, good: float, canary_bad: float, stable_bad: float, standard: Standard) -> float:
    """Wealth of a gambler who bets on each request, averaged over fixed stakes.

    A bad event weighs 1/share on the canary and 1/(1-share) on stable, which makes the difference
    unbiased under any drift. A full stake would be ruined by one canary error, so stakes stay below it.
    """
    if stage.share <= 0.0:
        return 1.0
    if stage.share >= 1.0:
        win, ruin, repay = standard.bad_limit, standard.bad_limit - 1.0, 0.0
    else:
        win, ruin = standard.margin, standard.margin - 1.0 / stage.share
        repay = standard.margin + 1.0 / (1.0 - stage.share)
    logs = []
    for part in STAKES:
        stake = part / -ruin
        logs.append(
            good * math.log1p(stake * win)
            + canary_bad * math.log1p(stake * ruin)
            + stable_bad * math.log1p(stake * repay)
        )
    return _mean_exp(logs)


# Half of the stakes evenly spread (fast when nothing fails), half spread over two decades (when much does).
STAKES: Final = tuple((i + 0.5) / 20 for i in range(20)) + tuple(0.95 * 100 ** (-i / 19) for i in range(20))


def excess_evidence(stage: Counts, standard: Standard = DEFAULT) -> float:
    """E-value against "the canary's own bad ratio is at most `bad_limit`": the guard at full share."""
    limit, logs = standard.bad_limit, []
    good = max(0, stage.canary_requests - stage.canary_bad)
    for step in range(POINTS):
        ratio = limit + (1.0 - limit) * (step + 0.5) / POINTS
        logs.append(
            stage.canary_bad * math.log(ratio / limit) + good * (math.log1p(-ratio) - math.log1p(-limit))
        )
    return _mean_exp(logs)


def _mean_exp(logs: list[float]) -> float:
    top = max(logs)
    mean = top + math.log(math.fsum(math.exp(value - top) for value in logs) / len(logs))
    return math.exp(min(mean, LARGEST_LOG))


def _requests_needed(stage: Counts, standard: Standard) -> int | None:
    """Goes on with the pooled bad ratio seen so far on both versions, and bisects."""
    if stage.share <= 0.0:
        return None
    seen = stage.canary_requests + stage.stable_requests
    ratio = min(1.0, (stage.canary_bad + stage.stable_bad) / seen) if seen else 0.0

    def enough(more: int) -> bool:
        others = more * (1.0 - stage.share) / stage.share
        value = _promotion(
            stage,
            stage.good + (more + others) * (1.0 - ratio),
            stage.canary_bad + more * ratio,
            stage.stable_bad + others * ratio,
            standard,
        )
        return value >= 1.0 / standard.false_promotion

    return _first(enough)


def _first(enough: Callable[[int], bool]) -> int | None:
    high = 1
    while not enough(high):
        high *= 2
        if high > MOST_REQUESTS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _reason(verdict: Verdict, now: Counts) -> str:
    rollback = f"evidence for rollback {verdict.e_rollback:.3g} of {verdict.rollback_at:.3g}"
    promote = f"evidence for promotion {verdict.e_promote:.3g} of {verdict.promote_at:.3g}"
    opening = {
        ROLL_BACK: f"the canary is worse: {rollback}",
        PROMOTE: f"the canary is good enough: {promote}",
        WAIT: f"too early to say: {rollback}, {promote}",
    }[verdict.kind]
    ending = (
        ""
        if verdict.kind != WAIT
        else (
            "; no number of requests would do at this bad ratio"
            if verdict.requests_needed is None
            else f"; about {verdict.requests_needed} more canary requests"
        )
    )
    return (
        f"{opening}; at {now.share * 100:.4g} % of the traffic canary {now.canary_bad} bad of "
        f"{now.canary_requests}, stable {now.stable_bad} bad of {now.stable_requests}{ending}"
    )


@dataclass(frozen=True, slots=True)
class Case:
    """All that speaks for and against one rollout, stage by stage, the present one last."""

    errors: tuple[Counts, ...]
    others: tuple[tuple[str, tuple[Counts, ...]], ...] = ()
    settled: Counts | None = None
    """Of the present stage, what promotion may rest on; all of it when not given."""


def standard_of(spec: NodeSpec) -> Standard:
    return DEFAULT


def weigh(case: Case, standard: Standard = DEFAULT) -> Verdict:
    return judge(case.errors, standard)
