"""Does this memory grow without end, and when does it reach its limit?

Buckets of six lengths keep the least use in them, so that a collector's sawtooth vanishes. On each scale a
growth must be straight (Theil-Sen line, 95 % bounds), must not slow down towards a level below the limit as
a cache does that warms up, and its beginning must be seen: at the start or after a quiet stretch. A warm-up
looks straight in its middle; it has neither beginning.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

from noded.model.trend import Growth, Scale, Trend


@dataclass(frozen=True, slots=True)
class Demand:
    """What a window must show before its growth counts as endless."""

    reach: float  # the limit is at most so many windows away
    doubt: float  # standard errors taken off the slopes' ratio before the growth is projected
    crooked: float  # median distance from the line, in growths of the window: at most
    bent: float  # the same in distances of a bucket from its neighbours: more is a curve, not noise
    slower: float  # slope of the second half, in slopes of the first: at least
    faster: float  # the same: at most, give or take its error


@dataclass(frozen=True, slots=True)
class Grain:
    """One scale, and what a growth must show that begins within its memory."""

    span: int  # milliseconds a bucket covers
    onset: Demand
    leeway: float = 1.0  # standard errors by which the slope before the onset may miss being quiet
    trim: int = 0  # buckets without which the growth must still go on: a quiet front hides slowing down

    @property
    def width(self) -> float:
        """Seconds."""
        return self.span / 1000.0

    @property
    def farthest(self) -> float:
        """The longest reach of all demands that are made on this scale."""
        return max(demand.reach for demand in (self.onset, START, URGENT, STEADY, FULL))


# Short windows raise only urgent trouble and can afford doubt. Half an hour of a slow leak is hardly above
# the noise: there the projection is taken as measured, and the limit may be hours away.
SOON: Final = Demand(reach=4.0, doubt=2.0, crooked=0.055, bent=2.5, slower=0.6, faster=1.25)
GRAINS: Final = (
    Grain(2_000, SOON),
    Grain(6_000, SOON),
    Grain(20_000, SOON),
    Grain(60_000, Demand(5.0, doubt=0.0, crooked=0.055, bent=3.0, slower=0.6, faster=1.25), trim=2),
    Grain(120_000, Demand(17.0, doubt=0.0, crooked=0.075, bent=3.0, slower=0.6, faster=1.25), leeway=2.0),
    Grain(300_000, Demand(4.0, doubt=0.5, crooked=0.055, bent=2.5, slower=0.6, faster=1.25), leeway=2.0),
)
START: Final = Demand(reach=5.0, doubt=1.5, crooked=0.03, bent=2.5, slower=0.6, faster=1.1)
# A beginning was seen and two thirds of the room are gone: requests never come evenly, curves are forgiven.
URGENT: Final = Demand(reach=0.5, doubt=0.5, crooked=0.03, bent=math.inf, slower=0.7, faster=1.4)
# No beginning seen: only when the limit is close.
STEADY: Final = Demand(reach=0.4, doubt=2.0, crooked=0.015, bent=2.5, slower=0.85, faster=1.05)
# No room left for being careful.
FULL: Final = Demand(reach=1.0, doubt=0.0, crooked=0.25, bent=math.inf, slower=0.6, faster=math.inf)
FULL_FROM: Final = 0.93  # share of the limit

HORIZON: Final = 7 * 3600.0  # seconds to the limit that matter at all
KEPT: Final = 30  # closed buckets per scale
AT_START: Final = 15  # buckets before the first word on a scale
SETTING_UP: Final = (0, 5, 10)  # buckets of the finest scale that may be left out as the process setting up
LENGTHS: Final = (12, 14, 16, 18, 20, 22)  # buckets of the windows tried after an onset
BEFORE: Final = 5  # buckets needed before an onset
QUIET: Final = 0.05  # slope before an onset, in slopes after it: at most, give or take its error
PRESENT: Final = 0.75  # share of a window's buckets that got a sample
STRAIGHT: Final = 0.004  # in growths of the window: nobody asks for a straighter line
AGREEING: Final = 3  # assessments in a row that make a finding
LASTING: Final = 6  # buckets that show whether a found growth goes on
CONFIDENCE: Final = 1.96  # 95 %, both sides

SETTLED: Final = 0.3  # share of the former slope below which a rung has held
WORSE: Final = 1.2  # the same above which it did harm
Settled = Literal["wait", "holds", "resumes", "worse"]


@dataclass(frozen=True, slots=True)
class Line:
    slope: float  # bytes/s
    low: float
    high: float
    end: float  # bytes at the last bucket
    noise: float  # median distance of the buckets from the line

    @property
    def error(self) -> float:
        """Standard error of the slope."""
        return (self.high - self.low) / (2.0 * CONFIDENCE)


@dataclass(frozen=True, slots=True)
class Window:
    """Closed buckets, in order."""

    marks: tuple[int, ...]  # milliseconds
    lows: tuple[int, ...]
    width: float

    @property
    def seconds(self) -> float:
        return (self.marks[-1] - self.marks[0]) / 1000.0 + self.width

    def part(self, begin: int, end: int | None = None) -> "Window":
        return Window(self.marks[begin:end], self.lows[begin:end], self.width)


def observe(trend: Trend, at: float, used: int) -> Trend:
    """Take in one sample; one from before the latest is ignored. What another build kept begins anew."""
    if not math.isfinite(at) or used < 0:
        raise ValueError(f"sample of {used} bytes at {at}, expected 0 or more bytes at a finite time")
    if trend.since is None or len(trend.scales) != len(GRAINS):
        return Trend(at, at, (Scale((0,), (used,)),) * len(GRAINS))
    if at < trend.last:
        return trend
    age = int((at - trend.since) * 1000.0)
    pairs = list(zip(trend.scales, GRAINS, strict=True))
    if all([_says_nothing(scale, grain, age, used) for scale, grain in pairs]):
        return Trend(trend.since, at, trend.scales)
    return Trend(trend.since, at, tuple([_put(scale, grain, age, used) for scale, grain in pairs]))


def _says_nothing(scale: Scale, grain: Grain, age: int, used: int) -> bool:
    """The open bucket has held less already: the usual sample."""
    return scale.lows[-1] <= used and scale.marks[-1] // grain.span == age // grain.span


def _put(scale: Scale, grain: Grain, age: int, used: int) -> Scale:
    """A bucket is marked with the age at its least use: samples do not come in step with buckets."""
    marks, lows = scale.marks, scale.lows
    if _says_nothing(scale, grain, age, used):
        return scale
    if marks[-1] // grain.span == age // grain.span:
        return Scale((*marks[:-1], age), (*lows[:-1], used), scale.streak, scale.found)
    return Scale((*marks[-KEPT:], age), (*lows[-KEPT:], used), scale.streak, scale.found)


def step(trend: Trend, at: float, used: int, limit: int) -> tuple[Trend, Growth | None]:
    """Take in one sample and judge. A finding stands until a later assessment denies it.

    limit: bytes; 0 or less means none, and then nothing is ever found. Begin with a new Trend() after each
    start and after each rung that acted, or a finding from before it still stands.
    """
    before, trend = trend.scales, observe(trend, at, used)
    if trend.since == at:
        return trend, None
    if trend.scales is before:
        return trend, finding(trend)
    scales = tuple(
        [
            new if new.marks[-1] // grain.span == old.marks[-1] // grain.span else _assess(new, grain, limit)
            for old, new, grain in zip(before, trend.scales, GRAINS, strict=True)
        ]
    )
    trend = replace(trend, scales=scales)
    return trend, finding(trend)


def finding(trend: Trend) -> Growth | None:
    """The most urgent standing finding."""
    standing = [scale.found for scale in trend.scales if scale.found is not None]
    return min(standing, key=lambda growth: growth.seconds_to_limit, default=None)


def _assess(scale: Scale, grain: Grain, limit: int) -> Scale:
    seen = Window(scale.marks[:-1], scale.lows[:-1], grain.width)
    growth = _growth(seen, grain, limit) if limit > 0 else None
    if growth is None and scale.found is not None and limit > 0:
        growth = _lasting(seen.part(-LASTING), scale.found, limit)
    streak = 0 if growth is None else min(AGREEING, scale.streak + 1)
    if streak == scale.streak == 0:
        return scale
    return replace(scale, streak=streak, found=growth if streak == AGREEING else None)


def _growth(seen: Window, grain: Grain, limit: int) -> Growth | None:
    count = len(seen.marks)
    if 2.0 * (seen.lows[-1] - min(seen.lows)) * grain.farthest < limit - seen.lows[-1]:
        return None  # no window of these can be near enough: what `_endless` asks first, for all at once
    if seen.marks[0] < grain.span and (found := _since_start(seen, grain, limit)) is not None:
        return found
    for length in LENGTHS:
        if count - length < BEFORE:
            break
        found = _begun(seen.part(0, count - length), seen.part(count - length), grain, limit)
        if found is not None:
            return found
    if count >= LENGTHS[0] and seen.lows[-1] > FULL_FROM * limit:
        return _endless(seen.part(count - LENGTHS[0]), FULL, limit)
    return _endless(seen, STEADY, limit) if count == KEPT else None


def _lasting(recent: Window, found: Growth, limit: int) -> Growth | None:
    """What was found stays found while it grows on, also when its beginning is no longer remembered."""
    line = _line(recent)
    if line.slope < 0.5 * found.slope:
        return None
    seconds = max(0.0, (limit - recent.lows[-1]) / line.slope)
    return Growth(line.slope, line.low, seconds, recent.seconds, recent.lows[-1])


def _since_start(seen: Window, grain: Grain, limit: int) -> Growth | None:
    """Growth that was there from the start, at most without the seconds in which the process set up."""
    for begin in SETTING_UP if grain is GRAINS[0] else (0,):
        if len(seen.marks) - begin < AT_START:
            break
        found = _endless(seen.part(begin), START, limit) or _endless(seen.part(begin), URGENT, limit)
        if found is not None:
            return found
    return None


def _begun(before: Window, after: Window, grain: Grain, limit: int) -> Growth | None:
    """Growth that began after a quiet stretch, above all that stretch has seen."""
    if max(before.lows) >= min(after.lows[-3:]):
        return None
    found = _endless(after, grain.onset, limit) or _endless(after, URGENT, limit)
    if found is None or (grain.trim and not _goes_on(after.part(grain.trim), grain.onset, limit)):
        return None
    former = _line(before)
    return found if former.slope < QUIET * found.slope + grain.leeway * former.error else None


def _endless(window: Window, demand: Demand, limit: int) -> Growth | None:
    ahead, grown = limit - window.lows[-1], window.lows[-1] - window.lows[0]
    if grown <= 0 or 2.0 * grown * demand.reach < ahead:
        return None  # far from it, whatever the exact slope: the usual case, and cheap
    if len(window.marks) * window.width < PRESENT * window.seconds:
        return None
    line = _line(window)
    if line.low <= 0.0 or line.noise > demand.crooked * line.low * window.seconds:
        return None
    if line.noise > max(demand.bent * _roughness(window), STRAIGHT * line.slope * window.seconds):
        return None
    seconds = max(0.0, ahead / line.slope)
    if seconds > min(HORIZON, demand.reach * window.seconds) or not _goes_on(window, demand, limit):
        return None
    return Growth(line.slope, line.low, seconds, window.seconds, window.lows[-1])


def _goes_on(window: Window, demand: Demand, limit: int) -> bool:
    """Whether the growth passes the limit if it goes on slowing down as it did from one half to the other."""
    middle = len(window.marks) // 2
    first, second = _line(window.part(0, middle)), _line(window.part(middle))
    if first.slope <= 0.0 or second.slope <= 0.0:
        return False
    error = math.hypot(first.error / first.slope, second.error / second.slope)
    ratio = second.slope / first.slope
    if not demand.slower <= ratio <= demand.faster * (1.0 + error):
        return False
    ratio *= 1.0 - demand.doubt * error
    if not 0.0 < ratio < 1.0:
        return ratio >= 1.0
    rest = second.slope * window.seconds / 2.0 * ratio / (1.0 - ratio)  # geometric series of half windows
    return second.end + rest > limit


def _roughness(window: Window) -> float:
    """Median distance of buckets from a line, judged by their neighbours alone: blind to any slow curve."""
    points = list(zip(window.marks, window.lows, strict=True))
    gaps = [
        abs(low - low0 - (low1 - low0) * (mark - mark0) / (mark1 - mark0))
        for (mark0, low0), (mark, low), (mark1, low1) in zip(points, points[1:], points[2:], strict=False)
    ]
    return _median(sorted(gaps)) / math.sqrt(
        1.5
    )  # the middle of two as noisy neighbours adds half a variance


def _line(window: Window) -> Line:
    """Theil-Sen: the median of all pairwise slopes, bounds by the variance of Kendall's S (Sen 1968)."""
    marks, lows, count = window.marks, window.lows, len(window.marks)
    slopes = sorted([(lows[j] - lows[i]) / (marks[j] - marks[i]) for j in range(1, count) for i in range(j)])
    slope = _median(slopes)
    spread = CONFIDENCE * math.sqrt(count * (count - 1) * (2 * count + 5) / 18.0)
    bound = max(0, math.floor((len(slopes) - spread) / 2.0))
    levels = [low - slope * (mark - marks[-1]) for mark, low in zip(marks, lows, strict=True)]
    end = _median(sorted(levels))
    noise = _median(sorted([abs(level - end) for level in levels]))
    return Line(slope * 1000.0, slopes[bound] * 1000.0, slopes[-1 - bound] * 1000.0, end, noise)


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2.0


def slope_over(trend: Trend, seconds: float) -> float | None:
    """Theil-Sen slope in bytes/s over the last `seconds`; None with fewer than 5 buckets in them."""
    window = _since(trend, trend.last - seconds)
    return _line(window).slope if window is not None and len(window.marks) >= 5 else None


def settle(before: float, trend: Trend, since: float) -> Settled:
    """How memory goes on after a rung that acted at `since`, against the slope before it in bytes/s.

    "holds": surely below a third of the former slope; "resumes": surely above that; "worse": surely a fifth
    above the former slope; "wait": not sure yet, the caller sets the deadline. To hold takes longer (20 s):
    freed memory is used up before a leak shows again.
    """
    window = _since(trend, since)
    if window is None or len(window.marks) < 6:
        return "wait"
    line = _line(window)
    if line.low > 0.0 and line.low > SETTLED * before:
        return "worse" if line.low > WORSE * before else "resumes"
    return "holds" if len(window.marks) >= 10 and line.high < SETTLED * before else "wait"


def _since(trend: Trend, start: float) -> Window | None:
    """The closed buckets of the finest scale that reaches back to `start`, else of the coarsest."""
    if trend.since is None:
        return None
    first = max(0, math.ceil((start - trend.since) * 1000.0))
    for scale, grain in zip(trend.scales, GRAINS, strict=True):
        if scale.marks[0] // grain.span * grain.span <= first or grain is GRAINS[-1]:
            begin = sum(mark < first for mark in scale.marks[:-1])
            return Window(scale.marks[begin:-1], scale.lows[begin:-1], grain.width)
    return None
