"""Does a log file hold what was written to it?"""

import sqlite3
from pathlib import Path
from zlib import crc32

from nodemesh.adapters.log_rows import check
from nodemesh.adapters.sqlite_errors import Damaged


def check_rows(base: sqlite3.Connection, first: int, last: int) -> None:
    """Raises Damaged, sqlite3.Error."""
    expected = first
    for row in base.execute(
        "SELECT * FROM frame WHERE position BETWEEN ? AND ? ORDER BY position", (first, last)
    ):
        check(row)
        if row[0] != expected:
            break
        expected += 1
    if expected != last + 1:
        raise Damaged(f"frame {expected} is missing")


def crc_of(path: Path) -> int:
    crc = 0
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(2**20):
            crc = crc32(chunk, crc)
    return crc
