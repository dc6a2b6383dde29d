"""How far had the streams of a damaged file come? Publishers count on it that the mesh knows.

Rows that are still whole say so: each has its own CRC-32.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from nodemesh.adapters.log_file import reader
from nodemesh.adapters.log_note import read_end
from nodemesh.adapters.log_rows import TAKEN, stored, stream_of
from nodemesh.adapters.sqlite_errors import TROUBLE, Damaged

_BOTH_WAYS = ("ASC", "DESC")
"""A damaged page ends a search: what is behind it is found from the other end."""


def rescued_streams(path: Path) -> Iterable[tuple[str, int, float]]:
    found: dict[str, tuple[str, int, float]] = {}
    with suppress(*TROUBLE):
        end = read_end(path)
        with closing(reader(path, is_sealed=False)) as base:
            _from_snapshot(base, found)
            for way in _BOTH_WAYS:
                _from_frames(base, way, end.last if end else 2**63 - 1, found)
    return found.values()


def _from_snapshot(base: sqlite3.Connection, found: dict[str, tuple[str, int, float]]) -> None:
    with suppress(*TROUBLE):
        for row in base.execute("SELECT * FROM stream"):
            with suppress(Damaged):
                known = stream_of(row)
                found[known[0]] = known


def _from_frames(
    base: sqlite3.Connection, way: str, last: int, found: dict[str, tuple[str, int, float]]
) -> None:
    with suppress(*TROUBLE):
        for row in base.execute(f"SELECT * FROM frame WHERE position <= ? ORDER BY position {way}", (last,)):
            with suppress(Damaged):
                head = stored(row).head
                if head.last > found.get(head.stream, ("", 0, 0.0))[1]:
                    found[head.stream] = (head.stream, head.last, row[TAKEN])
