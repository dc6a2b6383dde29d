"""What does an error of SQLite or of the file system mean: damage, or that trying later may help?"""

import errno
import sqlite3
from pathlib import Path

from nodemesh.ports import Unavailable


class Damaged(Exception):
    """A file does not hold what was written to it."""


def is_damage(error: Exception) -> bool:
    """A lock or rights are none; a missing table and a page that cannot be read are."""
    if isinstance(error, Damaged) or type(error) is sqlite3.DatabaseError:
        return True
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def unavailable(verb: str, path: Path, error: Exception) -> Unavailable:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"cannot {verb} {path}: the disk is full; free room, or lower [mesh] log_limit")
    what = getattr(error, "strerror", None) or str(error)
    return Unavailable(f"cannot {verb} {path}: {what}; look at the disk, and at who may write there")
