"""Where is kept what a person may ask about later?

One SQLite file, written by one thread in batches. It is not what noded remembers by: losing the
last moment of it in a crash loses an explanation, not a decision. What a full disk does not take
waits in memory, within bounds.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TypeGuard

from noded.adapters.aside import put_aside
from noded.ports import Entry, Unavailable

log = logging.getLogger("noded")

MOST = 200_000
"""Entries kept; about 100 MB with long bodies."""
WAITING = 10_000
"""Entries that wait at most for a disk that takes nothing; beyond, the oldest are lost."""
AGAIN = 5.0
"""Seconds between two tries to write what waits."""
EXPIRED = 1e-9
"""A moment long past that still says that a write has failed."""
SCHEMA = """
create table if not exists entry (
    sequence integer primary key, at real not null, node text not null, subject text not null,
    kind text not null, name text not null, text text not null, body text not null);
create index if not exists entry_node on entry (node, sequence);
"""
COLUMNS = "at, node, subject, kind, name, text, body, sequence"


class SqliteChronicle:
    def __init__(self, path: Path, age: float = 30 * 86_400.0, most: int = MOST) -> None:
        """A file that cannot be opened now is tried again; a damaged one is put aside."""
        self._path = path
        self._age = age
        self._most = most
        self._thread = ThreadPoolExecutor(1, "chronicle")
        # Without it a batch taken between look and append would wait for a write that never comes.
        self._lock = Lock()
        self._waiting: list[Entry] = []
        self._base: sqlite3.Connection | None = None
        self._not_before = 0.0
        """After a failure: no try earlier than this, on the monotonic clock."""
        self._thread.submit(self._write).result()

    def add(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            first = not self._waiting or self._not_before > 0.0
            self._waiting += entries
            del self._waiting[:-WAITING]
        if first:
            self._thread.submit(self._write)

    async def read(self, node: str, subject: str, after: int, limit: int) -> tuple[Entry, ...]:
        call = self._thread.submit(self._read, node, subject, after, limit)
        return await asyncio.wrap_future(call)

    def close(self) -> None:
        self._not_before = min(self._not_before, EXPIRED)
        self._thread.submit(self._write).result()
        self._thread.submit(self._shut).result()
        self._thread.shutdown()

    def _opened(self) -> sqlite3.Connection:
        if self._base is None:
            try:
                self._base = _opened(self._path)
            except sqlite3.DatabaseError as error:
                if not _damaged(error):
                    raise
                self._begin_anew(error)
                self._base = _opened(self._path)
        return self._base

    def _begin_anew(self, damage: sqlite3.DatabaseError) -> None:
        """Explanations of the past are not worth a host without supervision."""
        self._shut()
        try:
            kept = f"kept as {put_aside(self._path).name}"
        except OSError as error:
            raise sqlite3.OperationalError(f"{damage}, and cannot be put aside: {error.strerror}") from damage
        log.error("cannot read %s, %s: %s", self._path.name, kept, damage)

    def _shut(self) -> None:
        base, self._base = self._base, None
        if base is not None:
            base.close()

    def _write(self) -> None:
        if time.monotonic() < self._not_before:
            return
        with self._lock:
            entries, self._waiting = self._waiting, []
        try:
            self._insert(entries)
            self._recovered()
        except (UnicodeError, sqlite3.DataError, sqlite3.IntegrityError) as error:
            log.error("cannot write %d entries to %s: %s", len(entries), self._path.name, error)
        except sqlite3.Error as error:
            self._failed(entries, error)

    def _failed(self, entries: list[Entry], error: sqlite3.Error) -> None:
        """Damage is done away with, and written again at once; for a full disk they wait."""
        if _damaged(error):
            try:
                self._begin_anew(error)
                self._insert(entries)
            except sqlite3.Error as again:
                error = again
            else:
                return
        if not self._not_before:
            log.error("cannot write to %s, entries wait: %s", self._path.name, error)
        self._not_before = time.monotonic() + AGAIN
        with self._lock:
            self._waiting[:0] = entries
            del self._waiting[:-WAITING]

    def _recovered(self) -> None:
        if self._not_before:
            log.info("%s takes entries again", self._path.name)
        self._not_before = 0.0

    def _insert(self, entries: Sequence[Entry]) -> None:
        base = self._opened()
        rows = [(e.at, e.node, e.subject, e.kind, e.name, e.text, e.body) for e in entries]
        if not rows:
            return
        with base:
            base.execute("begin")
            base.executemany(
                "insert into entry (at, node, subject, kind, name, text, body) values (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            newest = base.execute("select max(sequence) from entry").fetchone()[0]
            if newest % 1000 < len(rows):
                base.execute(
                    "delete from entry where sequence <= ? or at < ?",
                    (newest - self._most, entries[-1].at - self._age),
                )

    def _read(self, node: str, subject: str, after: int, limit: int) -> tuple[Entry, ...]:
        if self._not_before:
            # Somebody asks now: what waits for room is tried at once.
            self._not_before = EXPIRED
            self._write()
        wanted: list[str] = ["sequence > ?"]
        values: list[int | str] = [after]
        for column, value in (("node", node), ("subject", subject)):
            if value:
                wanted.append(f"{column} = ?")
                values.append(value)
        sql = f"select {COLUMNS} from entry where {' and '.join(wanted)} order by sequence desc limit ?"
        try:
            rows = self._opened().execute(sql, (*values, limit)).fetchall()
        except sqlite3.Error as error:
            if _damaged(error):
                self._begin_anew(error)
            raise Unavailable(f"cannot read {self._path}: {error}") from error
        return tuple(Entry(*row) for row in reversed(rows))


def _opened(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, isolation_level=None)
    try:
        # SQLite would keep 2 MB of pages for each connection; the kernel has them anyway.
        base.execute("pragma cache_size = -256")
        base.execute("pragma journal_mode = wal")
        base.execute("pragma synchronous = normal")
        base.executescript(SCHEMA)
    except sqlite3.Error:
        base.close()
        raise
    return base


def _damaged(error: sqlite3.Error) -> TypeGuard[sqlite3.DatabaseError]:
    """What sqlite says in its own name is no damage: a full disk, a lock, rights. But a missing table is."""
    code = getattr(error, "sqlite_errorcode", None)
    return type(error) is sqlite3.DatabaseError or code in (
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_IOERR_SHORT_READ,
    )
