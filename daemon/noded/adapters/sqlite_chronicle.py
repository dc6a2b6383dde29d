"""Where is kept what a person may ask about later?

One SQLite file, written by one thread in batches. It is not what noded remembers by: losing the
last moment of it in a crash loses an explanation, not a decision.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from noded.ports import Entry

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
        self._age = age
        self._most = most
        self._thread = ThreadPoolExecutor(1, "chronicle")
        self._waiting: list[Entry] = []
        self._base = self._thread.submit(self._open, path).result()

    def add(self, entries: Sequence[Entry]) -> None:
        if not self._waiting:
            self._thread.submit(self._write)
        self._waiting += entries

    async def read(self, node: str, subject: str, after: int, limit: int) -> tuple[Entry, ...]:
        call = self._thread.submit(self._read, node, subject, after, limit)
        return await asyncio.wrap_future(call)

    def close(self) -> None:
        self._thread.submit(self._write).result()
        self._thread.submit(self._base.close).result()
        self._thread.shutdown()

    def _open(self, path: Path) -> sqlite3.Connection:
        try:
            base = sqlite3.connect(path, isolation_level=None)
            base.execute("pragma journal_mode = wal")
            base.execute("pragma synchronous = normal")
            base.executescript(SCHEMA)
        except sqlite3.DatabaseError:
            # Explanations of the past are not worth a host without supervision.
            path.replace(path.with_suffix(".damaged"))
            return self._open(path)
        return base

    def _write(self) -> None:
        entries, self._waiting = self._waiting, []
        if not entries:
            return
        rows = [(e.at, e.node, e.subject, e.kind, e.name, e.text, e.body) for e in entries]
        self._base.execute("begin")
        self._base.executemany(
            "insert into entry (at, node, subject, kind, name, text, body) values (?, ?, ?, ?, ?, ?, ?)", rows
        )
        self._base.execute("commit")
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
        rows = self._base.execute(sql, (*values, limit)).fetchall()
        return tuple(Entry(*row) for row in reversed(rows))
