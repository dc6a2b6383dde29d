"""Does the canary's memory grow without end, where a fresh instance of stable beside it does not?

Both started at the same moment, so a difference that keeps growing is no warm-up. Means over blocks of three
minutes are compared at three moments only. The lower bound of the slope is Theil-Sen's, by the exact chances
of Kendall's test; pairs of blocks are taken within one share only, as more traffic needs more memory
(seasonal slopes, Hirsch & Slack 1984). Blocks are long because readings resemble the ones before.
"""

import math
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from typing import Final

from noded.model.rollout import Growth

BLOCK: Final = 180.0
"""Seconds. A block ends with the first reading after its time."""
LOOKS: Final = ((6, 0.0015), (10, 0.0003), (20, 0.0002))
"""Blocks at which one looks (18, 30 and 60 minutes), and how likely each look finds growth where there is
none: at the first the least that so few blocks allow. Together 0.2 %; the tolerance leaves as much of the 1 %
of a rollout when both versions are equal (docs/adr/0030)."""
FLOOR: Final = 100_000.0 / 60.0
"""Bytes a second that are always too much ..."""
HORIZON: Final = 86_400.0
"""... and seconds within which the limit must not be reached."""


def on_read(growth: Growth, canary_bytes: int, baseline_bytes: int, at: float, share: float = 0.0) -> Growth:
    """Take in what both use; nothing is said by 0, which was not read, nor before the beginning. `share` is
    the canary's: with a new one a block begins anew."""
    if at < growth.began_at or not canary_bytes or not baseline_bytes:
        return growth
    if share != growth.share:
        growth = replace(growth, share=share, block_at=at, sum=0.0, count=0)
    total, count = growth.sum + canary_bytes - baseline_bytes, growth.count + 1
    since = max(growth.block_at, growth.began_at)
    if at - since < BLOCK or len(growth.blocks) >= LOOKS[-1][0]:
        return replace(growth, used=canary_bytes, sum=total, count=count)
    return replace(
        growth,
        blocks=(*growth.blocks, total / count),
        marks=(*growth.marks, (since + at) / 2.0),
        shares=(*growth.shares, share),
        block_at=at,
        sum=0.0,
        count=0,
        used=canary_bytes,
    )


def finding(growth: Growth, limit: int) -> str:
    """Why the canary leaks, in words; empty when it does not, or nobody can say yet. What one look found
    stands until the next. `limit` in bytes, 0 for none."""
    looks = [(blocks, doubt) for blocks, doubt in LOOKS if blocks <= len(growth.blocks)]
    if not looks:
        return ""
    blocks, doubt = looks[-1]
    low, more = lowest_slope(growth, blocks, doubt), growth.blocks[blocks - 1]
    if low is None or low <= 0.0 or more <= 0.0:
        return ""
    left = max(0.0, limit - growth.used) / low if limit else math.inf
    if low <= FLOOR and left > HORIZON:
        return ""
    minutes = (growth.marks[blocks - 1] + BLOCK / 2.0 - growth.began_at) / 60.0
    reached = f", its limit is {left / 3600.0:.1f} h away" if left < math.inf else ""
    return (
        f"memory of {growth.canary} grows by at least {low * 60.0 / 1e6:.2g} MB/min more than that of"
        f" {growth.baseline} of the stable version, started with it: {more / 1e6:.1f} MB more after"
        f" {minutes:.0f} min{reached}"
    )


def lowest_slope(growth: Growth, blocks: int, doubt: float) -> float | None:
    """Bytes a second that the slope is below with probability `doubt` at most; None when so few blocks
    cannot tell.

    Pairs of blocks that rise less than the true slope are as many as inversions of blocks in random order
    (Kendall). So the bound is the first of the ordered slopes that surely enough is not among them.
    """
    points = list(zip(growth.marks, growth.blocks, growth.shares, strict=True))[:blocks]
    slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if a[2] == b[2])
    below = _rank(tuple(sorted(Counter(point[2] for point in points).values())), doubt)
    return slopes[below] if 0 <= below < len(slopes) else None


@lru_cache(64)
def _rank(sizes: tuple[int, ...], doubt: float) -> int:
    """The largest number such that random orders of groups of these sizes have so few inversions with
    probability `doubt` at most; -1 when even none at all is more likely."""
    chances = [1.0]
    for size in sizes:
        for length in range(2, size + 1):
            # The last of `length` blocks belongs before any number of the others, each as likely.
            wider = [0.0] * (len(chances) + length - 1)
            for number, chance in enumerate(chances):
                for passed in range(length):
                    wider[number + passed] += chance / length
            chances = wider
    found, total = -1, 0.0
    for number, chance in enumerate(chances):
        total += chance
        if total > doubt:
            break
        found = number
    return found
