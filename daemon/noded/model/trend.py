"""What is kept of an instance's memory readings, and what may be concluded from them?"""

import math
from dataclasses import dataclass


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
    """When each bucket held least, in milliseconds since the first sample, and how much that was.

    The last bucket is still open.
    """

    marks: tuple[int, ...] = ()
    lows: tuple[int, ...] = ()
    streak: int = 0
    found: Growth | None = None


@dataclass(frozen=True, slots=True)
class Trend:
    """The memory of one instance. Begin a new one with each instance."""

    since: float | None = None
    last: float = -math.inf
    scales: tuple[Scale, ...] = ()
