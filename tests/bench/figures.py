"""What do many measurements come to, and were the targets met?"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest measured value that at least `share` of all values do not exceed.

    No value is invented between two measured ones, so the 99th of fewer than 100 is the worst.
    """
    if not values:
        raise ValueError("no values were measured: expected at least one")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share {share}: expected above 0 and at most 1")
    # A product such as 0.99 * 100 may lie a hair above the whole number it stands for.
    rank = math.ceil(round(share * len(values), 9))
    return sorted(values)[rank - 1]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile as they are printed."""
    return {"p50": round(percentile(values, 0.5), 1), "p99": round(percentile(values, 0.99), 1)}


@dataclass(frozen=True, slots=True)
class Target:
    """At most so much."""

    what: str
    measured: float
    most: float

    @property
    def met(self) -> bool:
        return self.measured <= self.most

    def __str__(self) -> str:
        verdict = "" if self.met else "  MISSED"
        return f"{self.what:<48} {self.measured:>9.2f}   at most {self.most:.2f}{verdict}"


@dataclass(frozen=True, slots=True)
class Least(Target):
    """At least so much."""

    @property
    def met(self) -> bool:
        return self.measured >= self.most

    def __str__(self) -> str:
        return Target.__str__(self).replace("at most", "at least")


def conclude(report: Mapping[str, object], targets: Sequence[Target], *, figure: bool = True) -> int:
    """Print the targets and, last, the report as one JSON object. The exit status: 1 when one was missed."""
    for target in targets:
        print(target)
    if not figure:
        print("this was a short run to see that the bench works: it is no figure")
    print(json.dumps(report), flush=True)
    return 0 if all(target.met for target in targets) else 1
