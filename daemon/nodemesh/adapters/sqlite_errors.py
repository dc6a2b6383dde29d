"""What does an error of SQLite or of the file system mean: damage, or that trying later may help?"""

import errno
import sqlite3
from pathlib import Path

from nodemesh.ports import Unavailable


class Damaged(Exception):
    """A file does not hold what was written to it."""


TROUBLE = (Damaged, sqlite3.Error, UnicodeDecodeError, OSError)
"""All that a damaged file can make of a call; Python fails to decode even what SQLite says of damage."""
_DAMAGE = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_TOOBIG,
)
_CANNOT_BE_READ = (
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
)


def is_damage(error: Exception) -> bool:
    """A lock, rights, a full disk or one that does not answer are none; a missing table and a page are."""
    if isinstance(error, Damaged | UnicodeDecodeError) or type(error) is sqlite3.DatabaseError:
        return True
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    if code == sqlite3.SQLITE_ERROR:
        return str(error).startswith(("no such table", "no such column"))
    return code & 0xFF in _DAMAGE or code in _CANNOT_BE_READ


def is_unread(error: Exception) -> bool:
    """The disk did not give what it has: for a while, or for good."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code == sqlite3.SQLITE_IOERR_READ or getattr(error, "errno", 0) == errno.EIO


def unavailable(verb: str, path: Path, error: Exception) -> Unavailable:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"cannot {verb} {path}: the disk is full; free room, or lower [mesh] log_limit")
    what = getattr(error, "strerror", None) or str(error)
    return Unavailable(f"cannot {verb} {path}: {what}; look at the disk, and at who may write there")
