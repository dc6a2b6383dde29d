"""How many requests did this node answer, how long did each take, and how many failed by its own fault?

Counted from the node's start and told with the heartbeat: noded compares two versions by it.
"""

import threading
from bisect import bisect_left

# Seconds, each 1.72 times the one before: no answer is taken for much slower or faster than it was.
EDGES = tuple(float(f"{0.001 * 30_000 ** (place / 19):.3g}") for place in range(20))
# By these words noded asks whether a node lives. They would make the figures of a node with few requests.
PROBE = "noded"


class Answered:
    """Any thread may add; a total of 0 means that nobody ever did."""

    def __init__(self) -> None:
        self.total = self.bad = 0
        self._counts = [0] * (len(EDGES) + 1)
        self._lock = threading.Lock()

    def add(self, seconds: float, ok: bool = True) -> None:
        """Raises ValueError for a time that is none."""
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"answered: expected seconds, such as 0.012, got {seconds!r}")
        place = bisect_left(EDGES, seconds)
        with self._lock:
            self.total += 1
            self.bad += not ok
            self._counts[place] += 1

    def report(self) -> dict[str, object]:
        """Empty while there is nothing to tell. `within` has the answers that took at most so long."""
        with self._lock:
            total, bad, counts = self.total, self.bad, self._counts[:-1]
        if not total:
            return {}
        within, sum = [], 0
        for count in counts:
            sum += count
            within.append(sum)
        return {"total": total, "bad": bad, "edges": list(EDGES), "within": within}
