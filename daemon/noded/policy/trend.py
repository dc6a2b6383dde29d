"""Does this memory grow without end, and when does it reach its limit?

Minima of short, longer and long buckets (a garbage collector's sawtooth vanishes in a minimum), a
Theil-Sen line with its confidence bounds, and the question whether the growth slows down: what would
settle below the limit, a cache warming up, is no finding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

WIDTHS: Final = (2.0, 10.0, 30.0, 120.0)  # seconds a bucket covers, per scale
REACH: Final = (5.0, 5.0, 5.0, 12.0)  # time to the limit that matters, in windows: per scale
STEADY_REACH: Final = 1.4  # the same for growth whose beginning was not seen
KEPT: Final = 30  # closed buckets per scale
ENOUGH: Final = 15  # buckets of a window
AGREEING: Final = 3  # assessments in a row that make a finding
CONFIDENCE: Final = 1.96  # 95 %, both sides
NOISE: Final = 4.0  # growth over the window, in residuals
ONSET: Final = 0.25  # rate before the window, in rates of the window: less is a beginning
SETTLED: Final = 0.3  # share of the former slope below which a rung has held

Settled = Literal["wait", "holds", "resumes", "worse"]


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes and seconds; `low` is the lower 95 % bound of the slope, `window` what it was seen over."""

    slope: float
    low: float
    seconds_to_limit: float
    window: float
    used: int


@dataclass(frozen=True, slots=True)
class Scale:
    """Bucket numbers since the first sample and the least use in each; the last bucket is still open."""

    marks: tuple[int, ...] = ()
    lows: tuple[int, ...] = ()
    streak: int = 0
    found: Growth | None = None


@dataclass(frozen=True, slots=True)
class Trend:
    """The memory of one instance. Begin a new one with each instance."""

    since: float | None = None
    last: float = -math.inf
    scales: tuple[Scale, ...] = (Scale(),) * len(WIDTHS)


@dataclass(frozen=True, slots=True)
class Line:
    slope: float
    low: float
    high: float
    end: float  # level at the last point
    noise: float  # median distance from the line


def observe(trend: Trend, at: float, used: int) -> Trend:
    """Take in one sample; one from before the latest is ignored."""
    if not math.isfinite(at) or used < 0:
        raise ValueError(f"sample of {used} bytes at {at}, expected 0 or more bytes at a finite time")
    if at < trend.last:
        return trend
    since = at if trend.since is None else trend.since
    scales = tuple([_put(s, int((at - since) // w), used) for s, w in zip(trend.scales, WIDTHS, strict=True)])
    return Trend(since, at, scales)


def _put(scale: Scale, mark: int, used: int) -> Scale:
    marks, lows = scale.marks, scale.lows
    if marks and marks[-1] == mark:
        return scale if lows[-1] <= used else replace(scale, lows=(*lows[:-1], used))
    return replace(scale, marks=(*marks[-KEPT:], mark), lows=(*lows[-KEPT:], used))


def step(trend: Trend, at: float, used: int, limit: int) -> tuple[Trend, Growth | None]:
    """Take in one sample and judge. The finding stands until a later assessment denies it.

    limit: bytes; 0 or less means none, and then nothing is ever found.
    """
    before = trend.scales
    trend = observe(trend, at, used)
    scales = tuple(
        [
            new if not old.marks or new.marks[-1] == old.marks[-1] else _assess(new, width, reach, limit)
            for old, new, width, reach in zip(before, trend.scales, WIDTHS, REACH, strict=True)
        ]
    )
    trend = replace(trend, scales=scales)
    return trend, finding(trend)


def finding(trend: Trend) -> Growth | None:
    """The most urgent standing finding."""
    standing = [s.found for s in trend.scales if s.found is not None]
    return min(standing, key=lambda growth: growth.seconds_to_limit, default=None)


def _assess(scale: Scale, width: float, reach: float, limit: int) -> Scale:
    growth = _growth(scale, width, reach, limit) if limit > 0 else None
    if growth is None:
        return scale if scale.streak == 0 else replace(scale, streak=0, found=None)
    streak = min(AGREEING, scale.streak + 1)
    return replace(scale, streak=streak, found=growth if streak >= AGREEING else None)


def _growth(scale: Scale, width: float, reach: float, limit: int) -> Growth | None:
    """The closed buckets as: since the start, after an onset, or steady over all that is kept."""
    marks, lows = scale.marks[:-1], scale.lows[:-1]
    if len(marks) < ENOUGH:
        return None
    if marks[0] == 0:
        return _endless(marks, lows, width, reach, limit)
    cut = next(i for i, mark in enumerate(marks) if mark > marks[-1] - ENOUGH)
    if cut < ENOUGH // 2:
        return None
    recent = _endless(marks[cut:], lows[cut:], width, reach, limit)
    if recent is not None:
        former = _line(marks[:cut], lows[:cut], width)
        if former.slope < ONSET * recent.slope and max(lows[:cut]) < min(lows[-3:]):
            return recent
    return _endless(marks, lows, width, STEADY_REACH, limit)


def _endless(
    marks: tuple[int, ...], lows: tuple[int, ...], width: float, reach: float, limit: int
) -> Growth | None:
    window, ahead = (marks[-1] - marks[0] + 1) * width, limit - lows[-1]
    if len(marks) < ENOUGH or (lows[-1] - lows[0]) * reach < ahead * 0.5:
        return None
    line = _line(marks, lows, width)
    if line.low <= 0.0 or line.low * window < NOISE * line.noise:
        return None
    seconds = max(0.0, ahead / line.slope)
    if seconds > reach * window:
        return None
    if _plateau(marks, lows, width) <= limit:
        return None
    return Growth(line.slope, line.low, seconds, window, lows[-1])


def _plateau(marks: tuple[int, ...], lows: tuple[int, ...], width: float) -> float:
    """Where the growth would settle if it went on slowing down as it did from one half to the other."""
    middle = len(marks) // 2
    first, second = _line(marks[:middle], lows[:middle], width), _line(marks[middle:], lows[middle:], width)
    if first.slope <= 0.0 or second.slope <= 0.0:
        return 0.0
    error = CONFIDENCE * math.hypot(_error(first) / first.slope, _error(second) / second.slope)
    ratio = second.slope / first.slope * (1.0 - error)
    if ratio >= 1.0:
        return math.inf
    if ratio <= 0.0:
        return 0.0
    half = (marks[-1] - marks[0] + 1) * width / 2.0
    return second.end + second.slope * half * ratio / (1.0 - ratio)


def _error(line: Line) -> float:
    return (line.high - line.low) / (2.0 * CONFIDENCE)


def _line(marks: tuple[int, ...], lows: tuple[int, ...], width: float) -> Line:
    """Theil-Sen: the median of all pairwise slopes, bounds by the variance of Kendall's S (Sen 1968)."""
    count = len(marks)
    slopes = sorted(
        [
            (low - lows[i]) / (mark - marks[i])
            for j, (mark, low) in enumerate(zip(marks, lows, strict=True))
            for i in range(j)
        ]
    )
    slope = _median(slopes)
    spread = CONFIDENCE * math.sqrt(count * (count - 1) * (2 * count + 5) / 18.0)
    lower = max(0, math.floor((len(slopes) - spread) / 2.0))
    rests = sorted([low - slope * (mark - marks[-1]) for mark, low in zip(marks, lows, strict=True)])
    end = _median(rests)
    noise = _median(sorted([abs(rest - end) for rest in rests]))
    return Line(slope / width, slopes[lower] / width, slopes[-1 - lower] / width, end, noise)


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2.0


def slope_over(trend: Trend, seconds: float) -> float | None:
    """Theil-Sen slope in bytes/s over the last `seconds`; None with fewer than 5 buckets in them."""
    line = _line_since(trend, trend.last - seconds, 5)
    return None if line is None else line.slope


def settle(before: float, trend: Trend, since: float) -> Settled:
    """How memory goes on after a healing rung at `since`, against the slope before it in bytes/s.

    "holds": surely below a third of the former slope; "resumes": surely above that; "worse": surely above
    the former slope by a fifth. "wait" until one of them is sure; the caller sets the deadline.
    """
    line = _line_since(trend, since, 8)
    if line is None:
        return "wait"
    if line.low > 1.2 * before and line.low > 0.0:
        return "worse"
    if line.low > SETTLED * before and line.low > 0.0:
        return "resumes"
    return "holds" if line.high < SETTLED * before else "wait"


def _line_since(trend: Trend, start: float, enough: int) -> Line | None:
    """A line through the closed buckets of the finest scale that reaches back to `start`."""
    if trend.since is None:
        return None
    for scale, width in zip(trend.scales, WIDTHS, strict=True):
        first = math.ceil((start - trend.since) / width)
        marks = [mark for mark in scale.marks[:-1] if mark >= first]
        whole = bool(scale.marks) and scale.marks[0] <= max(first, 0)
        if whole:
            if len(marks) < enough:
                return None
            return _line(tuple(marks), scale.lows[-1 - len(marks) : -1], width)
    return None
