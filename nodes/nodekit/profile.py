"""Which source lines hold the memory that was allocated since the profile began?

tracemalloc sees only what Python allocates after it was started; that is what a growing node needs.
"""

import ast
import os
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

# While it runs allocations cost several times as much: a forgotten profile ends by itself.
LONGEST = 300.0
OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
SOURCE_LIMIT = 4 << 20

Sites = dict[tuple[str, int], tuple[int, int]]


@dataclass(slots=True)
class Profile:
    """One profile at a time; `release` is the folder whose files are named relative to it."""

    release: str
    started: float = 0.0
    before: Sites | None = None
    was_tracing: bool = False

    @property
    def running(self) -> bool:
        return self.before is not None

    @property
    def overdue(self) -> bool:
        return self.running and time.monotonic() - self.started > LONGEST

    def start(self, frames: int) -> None:
        if self.running:
            raise ValueError("a profile is already running")
        self.was_tracing = tracemalloc.is_tracing()
        if not self.was_tracing:
            tracemalloc.start(frames)
        self.before = self.measure() if self.was_tracing else {}
        self.started = time.monotonic()

    def stop(self, top: int) -> dict[str, object]:
        if self.before is None:
            raise ValueError("no profile is running")
        try:
            growth = grown(self.before, self.measure())[:top]
        finally:
            self.abandon()
        seconds = round(time.monotonic() - self.started, 3)
        return {"seconds": seconds, "sites": [self.describe(site) for site in growth]}

    def abandon(self) -> None:
        self.before = None
        if not self.was_tracing:
            tracemalloc.stop()

    def measure(self) -> Sites:
        snapshot = tracemalloc.take_snapshot()
        totals: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
        for statistic in snapshot.statistics("traceback"):
            if site := self.site(statistic.traceback):
                totals[site][0] += statistic.size
                totals[site][1] += statistic.count
        return {site: (size, count) for site, (size, count) in totals.items()}

    def site(self, traceback: Iterable[tracemalloc.Frame]) -> tuple[str, int] | None:
        """The innermost line of the release, else the innermost line; nothing for our own allocations."""
        frames = [(frame.filename, frame.lineno) for frame in traceback]
        frames.reverse()
        if not frames or frames[0][0].startswith((OWN, tracemalloc.__file__)):
            return None
        return next((frame for frame in frames if self.inside(frame[0])), frames[0])

    def inside(self, file: str) -> bool:
        return os.path.abspath(file).startswith(self.release + os.sep)

    def describe(self, growth: tuple[str, int, int, int]) -> dict[str, object]:
        file, line, size, count = growth
        name = os.path.relpath(file, self.release) if self.inside(file) else file
        function = function_at(file, line)
        return {"file": name, "line": line, "function": function, "bytes": size, "count": count}


def grown(before: Sites, after: Sites) -> list[tuple[str, int, int, int]]:
    """(file, line, bytes, count) of every line that holds more than before, the biggest growth first."""
    growth = []
    for (file, line), (size, count) in after.items():
        old_size, old_count = before.get((file, line), (0, 0))
        if size > old_size:
            growth.append((file, line, size - old_size, count - old_count))
    return sorted(growth, key=lambda item: (-item[2], item[0], item[1]))


def function_at(file: str, line: int) -> str:
    """The innermost function around the line; empty for module level and for sources that cannot be read."""
    try:
        if os.path.getsize(file) > SOURCE_LIMIT:
            return ""
        with open(file, "rb") as source:
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ""
    name, start = "", 0
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if start <= node.lineno <= line <= (node.end_lineno or node.lineno):
            name, start = node.name, node.lineno
    return name
