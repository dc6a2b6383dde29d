"""Where is kept what a person may ask about later?

One SQLite file, written by one thread in batches. It is not what noded remembers by: losing the
last moment of it in a crash loses an explanation, not a decision.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TypeGuard

from noded.ports import Entry, Unavailable

log = logging.getLogger("noded")

MOST = 200_000
"""Entries kept; about 100 MB with long bodies."""
SCHEMA = """
create table if not exists entry (
    sequence integer primary key, at real not null, node text not null, subject text not null,
    kind text not null, name text not null, text text not null, body text not null);
create index if not exists entry_node on entry (node, sequence);
"""
COLUMNS = "at, node, subject, kind, name, text, body, sequence"


class SqliteChronicle:
    def __init__(self, path: Path, age: float = 30 * 86_400.0, most: int = MOST) -> None:
        """Raises Unavailable when the file cannot be opened; a damaged one is put aside."""
        self._path = path
        self._age = age
        self._most = most
        self._thread = ThreadPoolExecutor(1, "chronicle")
        # Without it a batch taken between look and append would wait for a write that never comes.
        self._lock = Lock()
        self._waiting: list[Entry] = []
        self._base = self._thread.submit(self._open).result()

    def add(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            first = not self._waiting
            self._waiting += entries
        if first:
            self._thread.submit(self._write)

    async def read(self, node: str, subject: str, after: int, limit: int) -> tuple[Entry, ...]:
        call = self._thread.submit(self._read, node, subject, after, limit)
        return await asyncio.wrap_future(call)

    def close(self) -> None:
        self._thread.submit(self._write).result()
        self._thread.submit(self._base.close).result()
        self._thread.shutdown()

    def _open(self) -> sqlite3.Connection:
        try:
            return _opened(self._path)
        except sqlite3.OperationalError as error:
            raise Unavailable(f"cannot open {self._path}: {error}") from error
        except sqlite3.DatabaseError as error:
            return self._anew(error)

    def _anew(self, damage: sqlite3.DatabaseError) -> sqlite3.Connection:
        """Explanations of the past are not worth a host without supervision."""
        aside = self._path.with_suffix(".damaged")
        self._path.replace(aside)
        log.error("cannot read %s, kept as %s: %s", self._path.name, aside.name, damage)
        return _opened(self._path)

    def _write(self) -> None:
        with self._lock:
            entries, self._waiting = self._waiting, []
        if not entries:
            return
        try:
            self._insert(entries)
        except (sqlite3.Error, UnicodeError) as error:
            if _damaged(error):
                self._base.close()
                self._base = self._anew(error)
            log.error("cannot write %d entries to %s: %s", len(entries), self._path.name, error)

    def _insert(self, entries: Sequence[Entry]) -> None:
        rows = [(e.at, e.node, e.subject, e.kind, e.name, e.text, e.body) for e in entries]
        with self._base:
            self._base.execute("begin")
            self._base.executemany(
                "insert into entry (at, node, subject, kind, name, text, body) values (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            newest = self._base.execute("select max(sequence) from entry").fetchone()[0]
            if newest % 1000 < len(rows):
                self._base.execute(
                    "delete from entry where sequence <= ? or at < ?",
                    (newest - self._most, entries[-1].at - self._age),
                )

    def _read(self, node: str, subject: str, after: int, limit: int) -> tuple[Entry, ...]:
        wanted: list[str] = ["sequence > ?"]
        values: list[int | str] = [after]
        for column, value in (("node", node), ("subject", subject)):
            if value:
                wanted.append(f"{column} = ?")
                values.append(value)
        sql = f"select {COLUMNS} from entry where {' and '.join(wanted)} order by sequence desc limit ?"
        try:
            rows = self._base.execute(sql, (*values, limit)).fetchall()
        except sqlite3.Error as error:
            if _damaged(error):
                self._base.close()
                self._base = self._anew(error)
            raise Unavailable(f"cannot read {self._path}: {error}") from error
        return tuple(Entry(*row) for row in reversed(rows))


def _opened(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, isolation_level=None)
    try:
        base.execute("pragma journal_mode = wal")
        base.execute("pragma synchronous = normal")
        base.executescript(SCHEMA)
    except sqlite3.Error:
        base.close()
        raise
    return base


def _damaged(error: Exception) -> TypeGuard[sqlite3.DatabaseError]:
    """What sqlite says in its own name is no damage: a full disk, a lock, rights."""
    return type(error) is sqlite3.DatabaseError
