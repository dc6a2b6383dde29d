"""How strongly do counts speak against a claim about them?

Every answer is an e-value: its mean is at most 1 while the claim is true, at whatever moment one looks, so it
ever reaches 1/a with probability at most a (Ville). A weighted mean of e-values is one again.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

LARGEST_LOG: Final = 690.0  # exp() of more leaves the floats; JSON knows no infinity
MOST_REQUESTS: Final = 1 << 40  # beyond this an estimate says nothing to a person

Prior = tuple[tuple[float, float], ...]
"""Ratios of rates, in tolerances, and how much of the wager lies on each."""


def _spread(least: float, most: float, points: int, weight: float) -> Prior:
    step = (most / least) ** (1.0 / points)
    return tuple((least * step ** (i + 0.5), weight / points) for i in range(points))


# What goes wrong in a release rarely doubles a rate: it makes it ten times as large, or everything fails. So
# laid, three errors at a tenth of the traffic are enough with half of the weight, and ten times as many are
# found soon.
BREAKS: Final = (
    *_spread(1.4, 3.5, 4, 0.04),
    *_spread(3.5, 5.5, 4, 0.12),
    *_spread(11.0, 17.0, 4, 0.65),
    *_spread(120.0, 300.0, 4, 0.19),
)
# Half of all answers are slower than the median already: no version can have more than twice as many.
SHADES: Final = _spread(1.1, 80.0, 16, 1.0)
# Half of the stakes evenly spread (fast when nothing fails), half spread over two decades (when much does).
STAKES: Final = tuple((i + 0.5) / 20 for i in range(20)) + tuple(0.95 * 100 ** (-i / 19) for i in range(20))
LIMITS: Final = 16
"""Points between a limit and 1 on which the wager lies that it is exceeded."""


class Bad(NamedTuple):
    """Bad events while the canary had one share."""

    share: float
    canary: int
    stable: int


@lru_cache(256)
def comparison(stages: tuple[Bad, ...], tolerance: float, prior: Prior = BREAKS) -> float:
    """Against "the canary's rate of bad events is at most tolerance times stable's".

    Given a bad event, a version of equal quality is hit with the probability of its share, whatever the load,
    the time of day or what both suffer (Lindon & Malek, arXiv 2011.03567). Other shares than those between 0
    and 1 carry no comparison.
    """
    logs = _laid(prior)
    for stage in stages:
        if 0.0 < stage.share < 1.0 and (stage.canary or stage.stable):
            logs = [a + b for a, b in zip(logs, _compared(stage, tolerance, prior), strict=True)]
    return math.exp(min(_log_sum(logs), LARGEST_LOG))


@lru_cache(8)
def _laid(prior: Prior) -> list[float]:
    return [math.log(weight) for _, weight in prior]


@lru_cache(256)
def _compared(stage: Bad, tolerance: float, prior: Prior) -> list[float]:
    canary, stable = stage.canary, stage.stable
    return [canary * gain + stable * loss for gain, loss in _factors(stage.share, tolerance, prior)]


@lru_cache(64)
def _factors(share: float, tolerance: float, prior: Prior) -> list[tuple[float, float]]:
    """Logarithms of what one bad event of the canary and one of stable multiply the evidence by."""
    rest, found = 1.0 - share, []
    for times, _ in prior:
        scale = math.log(share * tolerance + rest) - math.log(share * tolerance * times + rest)
        found.append((math.log(times) + scale, scale))
    return found


@lru_cache(256)
def excess(limit: float, good: int, bad: int) -> float:
    """Against "at most `limit` of a version's own requests are bad"; there is no excess over 0 or 1."""
    if not 0.0 < limit < 1.0:
        return 1.0
    logs = []
    for point in range(LIMITS):
        ratio = limit ** (1.0 - (point + 0.5) / LIMITS)
        logs.append(bad * math.log(ratio / limit) + good * (math.log1p(-ratio) - math.log1p(-limit)))
    return math.exp(min(_log_sum(logs) - math.log(LIMITS), LARGEST_LOG))


@lru_cache(64)
def upper_bound(bad: int, total: int, doubt: float) -> float:
    """What the true ratio lies above with probability `doubt` at most, at whatever moment one stops to count.

    The largest ratio that an even wager on all ratios (a beta integral) has not refuted.
    """
    bad = min(bad, total)
    if total in (0, bad):
        return 1.0
    wager = math.lgamma(bad + 1) + math.lgamma(total - bad + 1) - math.lgamma(total + 2) + math.log(doubt)
    low, high = bad / total, 1.0
    for _ in range(40):
        middle = (low + high) / 2.0
        if bad * math.log(middle) + (total - bad) * math.log1p(-middle) > wager:
            low = middle
        else:
            high = middle
    return high


class Bets(NamedTuple):
    """A gambler's record at one share: what is good enough earns, what is bad on the canary costs."""

    share: float
    margin: float
    good: float
    """Requests of both versions."""
    canary_bad: float
    stable_bad: float


@lru_cache(16)
def wealth(bets: Bets) -> float:
    """Against "the canary's bad ratio is `margin` or more above stable's".

    A bad event weighs 1/share on the canary and 1/(1-share) on stable, which makes the difference unbiased
    under any drift (after Waudby-Smith & Ramdas, arXiv 2010.09686).
    """
    return math.exp(min(_log_sum(_logs(bets)) - math.log(len(STAKES)), LARGEST_LOG))


def requests_until(bets: Bets, wanted: float) -> int | None:
    """About how many more canary requests until the wealth, when both versions go on with their pooled bad
    ratio; None when no number would do.

    The logarithm of the wealth is convex in the requests: Newton's steps from a point above come down to it.
    """
    total = bets.good + bets.canary_bad + bets.stable_bad
    ratio = (bets.canary_bad + bets.stable_bad) / total if total else 0.0
    others = (1.0 - bets.share) / bets.share
    now = _logs(bets)
    each = _logs(Bets(bets.share, bets.margin, (1.0 - ratio) * (1.0 + others), ratio, ratio * others))
    enough = math.log(wanted * len(STAKES))
    more = min(((enough - a) / b for a, b in zip(now, each, strict=True) if b > 0.0), default=math.inf)
    if more > MOST_REQUESTS:
        return None
    for _ in range(30):
        logs = [a + more * b for a, b in zip(now, each, strict=True)]
        top = max(logs)
        parts = [math.exp(value - top) for value in logs]
        slope = sum(part * b for part, b in zip(parts, each, strict=True)) / sum(parts)
        surplus = top + math.log(sum(parts)) - enough
        if surplus <= 0.0 or slope <= 0.0:
            break
        more -= surplus / slope
        if surplus < 0.1 * slope:
            break
    return max(1, math.ceil(more - 1e-6))


def _logs(bets: Bets) -> list[float]:
    good, canary, stable = bets.good, bets.canary_bad, bets.stable_bad
    return [good * a + canary * b + stable * c for a, b, c in _odds(bets.share, bets.margin)]


@lru_cache(64)
def _odds(share: float, margin: float) -> list[tuple[float, float, float]]:
    """Per stake the logarithms of what a good request and a bad one of either version multiply it by. A full
    stake would be ruined by one canary error, so stakes stay below it."""
    ruin, repay = margin - 1.0 / share, margin + 1.0 / (1.0 - share)
    stakes = [part / -ruin for part in STAKES]
    return [(math.log1p(s * margin), math.log1p(s * ruin), math.log1p(s * repay)) for s in stakes]


def _log_sum(logs: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(sum([math.exp(value - top) for value in logs]))
