"""How does one SQLite file keep records, their history and leases?

Synchronous, for one thread. A write that returned is on disk: WAL with `synchronous=FULL`.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noded.ports import Change, Conflict, NotFound, Record, Refused, Unavailable

HISTORY = 10_000
HISTORY_BYTES = 64 * 2**20
_FORMAT = 1
_LAST_FORMAT = 1000
"""A larger number was never a format: it is damage."""
_SHOW_DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR_SHORT_READ)
"""Errors sqlite calls operational: a missing table, a page beyond the end of the file."""
_CHUNK = 64
"""Changes read at once: 64 MiB when every value is as large as it may be."""
_AFTER_EVERY_KEY = "\x7f"

_SCHEMA = f"""
CREATE TABLE record (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL,
                     lease INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX record_lease ON record (lease) WHERE lease != 0;
CREATE TABLE change (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB);
CREATE TABLE lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl REAL NOT NULL);
CREATE TABLE counter (revision INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
PRAGMA user_version = {_FORMAT};
"""


class Damaged(Refused):
    """What is in the file is no registry, or not all of one."""


class Records:
    """Raises `Damaged`, `Refused` for a file of a later noded, `Unavailable` when the disk will not write.

    `created` is true when there was nothing before.
    """

    def __init__(self, path: Path, clock: Callable[[], float], history: int = HISTORY) -> None:
        self._path = path
        self._clock = clock
        self._history = history
        self.created = False
        with self._sorted_errors("open"):
            self._database = sqlite3.connect(path, timeout=1.0, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise
            self.revision: int = self._one("SELECT revision FROM counter")
            self._bytes: int = self._one("SELECT coalesce(sum(length(value)), 0) FROM change")
            now = clock()
            leases = self._database.execute("SELECT id, ttl FROM lease").fetchall()
        # How long noded was away is unknown to a monotonic clock: every lease begins again.
        self._ttl: dict[int, float] = dict(leases)
        self._ends = {lease: now + ttl for lease, ttl in leases}
        self.next_end = min(self._ends.values(), default=None)
        """When the next lease ends on the clock."""

    def get(self, key: str) -> Record | None:
        self._expire()
        with self._sorted_errors("read"):
            row = self._database.execute("SELECT * FROM record WHERE key = ?", (key,)).fetchone()
        return Record(*row) if row else None

    def list(self, prefix: str) -> tuple[tuple[Record, ...], int]:
        self._expire()
        select = "SELECT * FROM record WHERE key >= ? AND key < ? ORDER BY key"
        with self._sorted_errors("read"):
            rows = self._database.execute(select, (prefix, prefix + _AFTER_EVERY_KEY)).fetchall()
        return tuple(Record(*row) for row in rows), self.revision

    def put(self, key: str, value: bytes, expected: int | None, lease: int) -> int:
        self._expire()
        if lease and lease not in self._ends:
            raise NotFound(f"cannot write {key}: lease {lease} has ended")
        with self._writing():
            self._compare("write", key, expected)
            revision = self._record(key, value)
            self._database.execute(
                "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", (key, value, revision, lease)
            )
        return self.revision

    def delete(self, key: str, expected: int | None) -> int:
        self._expire()
        with self._writing():
            if self._compare("remove", key, expected) == 0:
                raise NotFound(f"cannot remove {key}: it is not there")
            self._remove(key)
        return self.revision

    def changes(self, prefix: str, after: int) -> tuple[tuple[Change, ...], int]:
        """The next changes, and the revision up to which they are complete."""
        self._expire()
        with self._sorted_errors("read"):
            oldest = self._one("SELECT coalesce(min(revision), 0) FROM change") or self.revision + 1
            if after > self.revision or after + 1 < oldest:
                kept = f"changes {oldest} to {self.revision} are kept"
                raise Conflict(f"cannot watch {prefix or 'all keys'} after {after}: {kept}; list again")
            select = (
                "SELECT key, value, revision FROM change"
                " WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision LIMIT ?"
            )
            bounds = (after, prefix, prefix + _AFTER_EVERY_KEY, _CHUNK)
            found = tuple(Change(*row) for row in self._database.execute(select, bounds))
        return found, found[-1].revision if len(found) == _CHUNK else self.revision

    def grant(self, ttl: float) -> int:
        self._expire()
        with self._writing():
            lease = self._database.execute("INSERT INTO lease (ttl) VALUES (?)", (ttl,)).lastrowid
        assert lease is not None  # an INSERT always has one
        self._ttl[lease] = ttl
        self._extend(lease)
        return lease

    def renew(self, lease: int) -> float:
        self._expire()
        if lease not in self._ends:
            raise NotFound(f"cannot renew lease {lease}: it has ended")
        self._extend(lease)
        return self._ttl[lease]

    def revoke(self, lease: int) -> None:
        if lease not in self._ends:
            return
        with self._writing():
            held = "SELECT key FROM record WHERE lease = ? ORDER BY key"
            for (key,) in self._database.execute(held, (lease,)).fetchall():
                self._remove(key)
            self._database.execute("DELETE FROM lease WHERE id = ?", (lease,))
        del self._ttl[lease], self._ends[lease]
        self.next_end = min(self._ends.values(), default=None)

    def close(self) -> None:
        with self._sorted_errors("close"):
            self._database.close()

    def _extend(self, lease: int) -> None:
        self._ends[lease] = self._clock() + self._ttl[lease]
        self.next_end = min(self._ends.values())

    def _expire(self) -> None:
        now = self._clock()
        for lease in sorted(self._ends, key=lambda lease: (self._ends[lease], lease)):
            if self._ends[lease] > now:
                break
            self.revoke(lease)

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        # SQLite would keep 2 MB of pages for each connection; the kernel has them anyway.
        self._database.execute("PRAGMA cache_size = -256")
        self._database.execute("PRAGMA synchronous = FULL")
        verdict = self._one("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        found = self._one("PRAGMA user_version")
        if found == 0 and self._one("SELECT count(*) FROM sqlite_schema") == 0:
            self._database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            self.created = True
        elif not 0 < found < _LAST_FORMAT:
            raise sqlite3.DatabaseError(f"format {found} never was")
        elif found != _FORMAT:
            raise Refused(
                f"cannot open the registry {self._path}: format {found}, this noded knows {_FORMAT};"
                " start the noded that wrote it, or move the file away"
            )

    def _one(self, query: str) -> Any:
        row = self._database.execute(query).fetchone()
        if row is None:
            raise sqlite3.DatabaseError(f"nothing answers {query}")
        return row[0]

    def _compare(self, verb: str, key: str, expected: int | None) -> int:
        """The record's revision, 0 when there is none; `Conflict` when another was expected."""
        row = self._database.execute("SELECT revision FROM record WHERE key = ?", (key,)).fetchone()
        found: int = row[0] if row else 0
        if expected is not None and expected != found:
            raise Conflict(f"cannot {verb} {key}: expected revision {expected}, found {found}; read it again")
        return found

    def _remove(self, key: str) -> None:
        self._database.execute("DELETE FROM record WHERE key = ?", (key,))
        self._record(key, None)

    def _record(self, key: str, value: bytes | None) -> int:
        """Add to the history, and drop what is beyond its bounds."""
        self.revision += 1
        self._database.execute("INSERT INTO change VALUES (?, ?, ?)", (self.revision, key, value))
        self._database.execute("UPDATE counter SET revision = ?", (self.revision,))
        self._bytes += len(value or b"")
        rows = self._database.execute(
            "SELECT revision, coalesce(length(value), 0) FROM change ORDER BY revision"
        )
        for revision, size in rows:
            if revision > self.revision - self._history and self._bytes <= HISTORY_BYTES:
                break
            self._database.execute("DELETE FROM change WHERE revision = ?", (revision,))
            self._bytes -= size
        rows.close()
        return self.revision

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: all of it or nothing, also of what is remembered here."""
        before = (self.revision, self._bytes)
        try:
            with self._sorted_errors("write"):
                self._database.execute("BEGIN IMMEDIATE")
                yield
                self._database.execute("COMMIT")
        except BaseException:
            self.revision, self._bytes = before
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _sorted_errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) in _SHOW_DAMAGE:
                raise Damaged(f"cannot {verb} the registry {self._path}: it is damaged ({error})") from error
            raise Unavailable(f"cannot {verb} the registry {self._path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise Damaged(f"cannot {verb} the registry {self._path}: it is damaged ({error})") from error
