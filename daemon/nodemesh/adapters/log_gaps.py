"""Which sequences of a stream are not on disk, though later ones are? They were refused.

Who was to be told may not have heard of it before the mesh was killed: all up to the last one on disk would
seem to have been taken. The log remembers it, for it begins each file with how far every stream was.
"""

import sqlite3
from collections.abc import Iterator, Sequence

MOST = 1000
"""Frames that are looked at: more are never on disk without their publisher knowing."""
LONGEST = 100_000
"""Events of one gap. A longer one is none: the stream went on where its publisher was, beyond the log."""
_FRAMES = """
SELECT first, count FROM frame WHERE stream = ? AND position <= ? AND receiver = ''
ORDER BY first DESC LIMIT ?
"""


def gaps(base: sqlite3.Connection, stream: str, last: int) -> Sequence[tuple[int, int]] | None:
    """First and last sequence of each, up to position `last`; None: the file has nothing of the stream."""
    frames = base.execute(_FRAMES, (stream, last, MOST)).fetchall()
    if not frames:
        return None
    frames.reverse()
    expected: int = frames[0][0]
    if len(frames) < MOST:
        before = base.execute("SELECT last FROM stream WHERE name = ?", (stream,)).fetchone()
        expected = (before[0] if before else 0) + 1
    return tuple(_between(expected, frames))


def _between(expected: int, frames: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for first, count in frames:
        if expected < first <= expected + LONGEST:
            yield expected, first - 1
        expected = max(expected, first + count)
