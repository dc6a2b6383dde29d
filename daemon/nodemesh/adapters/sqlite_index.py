"""Where is kept how far every consumer has come, and what was set aside for it?

One SQLite file in WAL mode with `synchronous=NORMAL`: after a power failure its last moments may be missing,
which costs redelivery. A damaged one is put aside and begun anew with what this process still knows.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar
from zlib import crc32

from nodemesh.adapters.aside import put_aside
from nodemesh.adapters.clock import BootClock
from nodemesh.adapters.index_text import cursor_of, newest_of, text_of
from nodemesh.adapters.sqlite_errors import TROUBLE, Damaged, is_damage, unavailable
from nodemesh.model.cursor import Cursor, Dead
from nodemesh.model.frame import BEFORE_ALL, Address
from nodemesh.ports import Clock, Refused

log = logging.getLogger("nodemesh")
Result = TypeVar("Result")

CLOCK = BootClock()
FORMAT = 1
_APPLICATION = 0x4E4D4900
"""With the format added: a number that stands at one place only is damage, not a later format."""
_SCHEMA = f"""
CREATE TABLE cursor (node TEXT PRIMARY KEY, text BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dead (
    node TEXT NOT NULL, position INTEGER NOT NULL, place INTEGER NOT NULL, attempts INTEGER NOT NULL,
    reason TEXT NOT NULL, at REAL NOT NULL, version TEXT NOT NULL, crc INTEGER NOT NULL, frame BLOB NOT NULL,
    PRIMARY KEY (node, position, place));
PRAGMA user_version = {FORMAT};
PRAGMA application_id = {_APPLICATION + FORMAT};
"""


class SqliteIndex:
    """Use `open`."""

    def __init__(self, path: Path, aside: Path, oldest: int, clock: Clock) -> None:
        self.lost = ""
        """Why the file was begun anew; empty: it was not."""
        self.restart: Cursor | None = None
        """Where every consumer begins that is known otherwise but has no cursor, when those were lost."""
        self._path, self._aside, self._oldest, self._clock = path, aside, oldest, clock
        self._base: sqlite3.Connection | None = None
        self._known: dict[str, Cursor] = {}
        self._thread = ThreadPoolExecutor(1, "index")

    @classmethod
    async def open(cls, path: Path, aside: Path, oldest: int, clock: Clock = CLOCK) -> "SqliteIndex":
        """`oldest`: position from which a consumer begins whose cursor is lost.

        Raises Unavailable, and Refused for a file of a later version.
        """
        made = cls(path, aside, oldest, clock)
        try:
            await made._do("open", made._opened)
        except BaseException:
            await made.close()
            raise
        return made

    @property
    def newest(self) -> int:
        """Highest position it speaks of: the log must give none up to it again."""
        return max((newest_of(cursor) for cursor in self._known.values()), default=0)

    async def cursors(self) -> Mapping[str, Cursor]:
        return dict(self._known)

    async def save(self, cursors: Mapping[str, Cursor], dead: Sequence[tuple[Dead, bytes]]) -> None:
        def write(base: sqlite3.Connection) -> None:
            self._write_cursors(base, cursors)
            base.executemany(
                "INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(*_values(letter), _sum(letter, frame), frame) for letter, frame in dead],
            )

        await self._do("write", lambda: self._transact(write))
        self._known.update(cursors)

    async def harden(self) -> None:
        await self._do("write", self._checkpoint)

    async def forget(self, node: str) -> None:
        def write(base: sqlite3.Connection) -> None:
            base.execute("DELETE FROM cursor WHERE node = ?", (node,))
            base.execute("DELETE FROM dead WHERE node = ?", (node,))

        await self._do("write", lambda: self._transact(write))
        self._known.pop(node, None)

    async def dead(self, node: str, most: int, after: Address = BEFORE_ALL) -> Sequence[tuple[Dead, bytes]]:
        """The oldest first."""
        behind = "(position, place) > (?, ?) ORDER BY position, place LIMIT ?"
        given = (after.position, after.place, most)
        return await self._do("read", lambda: self._dead(node, behind, given))

    async def letter(self, node: str, address: Address) -> tuple[Dead, bytes] | None:
        given = (address.position, address.place)
        found = await self._do("read", lambda: self._dead(node, "(position, place) = (?, ?)", given))
        return found[0] if found else None

    async def count_dead(self) -> Mapping[str, int]:
        query = "SELECT node, count(*) FROM dead GROUP BY node"
        return await self._do("read", lambda: dict(self._opened().execute(query).fetchall()))

    async def drop_dead(self, dead: Sequence[Dead]) -> None:
        keys = [(letter.node, letter.address.position, letter.address.place) for letter in dead]
        query = "DELETE FROM dead WHERE node = ? AND position = ? AND place = ?"
        await self._do("write", lambda: self._transact(lambda base: base.executemany(query, keys)))

    async def close(self) -> None:
        def shut() -> None:
            base, self._base = self._base, None
            if base is not None:
                base.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, shut)
        self._thread.shutdown()

    async def _do(self, verb: str, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._done(verb, work))

    # Its thread.

    def _done(self, verb: str, work: Callable[[], Result]) -> Result:
        """Damage is done away with, and the work done once more on what is begun anew."""
        try:
            try:
                return work()
            except TROUBLE as error:
                if not is_damage(error):
                    raise
                self._begin_anew(error)
                return work()
        except TROUBLE as error:
            raise unavailable(verb, self._path, error) from error

    def _checkpoint(self) -> None:
        busy, _, _ = self._opened().execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if busy:
            raise sqlite3.OperationalError("somebody else reads it")

    def _begin_anew(self, damage: Exception) -> None:
        self.lost = str(damage)
        self.restart = Cursor(self._oldest)
        base, self._base = self._base, None
        if base is not None:
            base.close()
        if self._path.exists():
            kept = put_aside(self._path, self._aside, self.lost)
            log.error("cannot read %s, begun anew, kept as %s: %s", self._path, kept, damage)
        self._opened()
        self._transact(lambda base: self._write_cursors(base, self._known))

    def _opened(self) -> sqlite3.Connection:
        if self._base is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            base = sqlite3.connect(self._path, timeout=5.0, isolation_level=None, check_same_thread=False)
            # A damaged text is no exception; its CRC says that it is damaged.
            base.text_factory = partial(str, encoding="utf-8", errors="replace")
            try:
                self._prepare(base)
                if not self._known:
                    self._known = self._read(base)
            except BaseException:
                base.close()
                raise
            self._base = base
        return self._base

    def _prepare(self, base: sqlite3.Connection) -> None:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        (found,) = base.execute("PRAGMA user_version").fetchone()
        if found == 0 and base.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            base.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        elif base.execute("PRAGMA application_id").fetchone() != (_APPLICATION + found,):
            raise Damaged("it is no index of this mesh")
        elif found != FORMAT:
            raise Refused(
                f"cannot open {self._path}: format {found}, this noded-mesh knows {FORMAT};"
                " start the noded-mesh that wrote it, or move the file away: every consumer then begins anew"
            )
        (verdict,) = base.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise Damaged(str(verdict))

    def _read(self, base: sqlite3.Connection) -> dict[str, Cursor]:
        now, wall = self._clock.now(), self._clock.wall()
        rows = base.execute("SELECT node, text, crc FROM cursor")
        return {node: cursor_of(node, text, crc, now, wall) for node, text, crc in rows}

    def _write_cursors(self, base: sqlite3.Connection, cursors: Mapping[str, Cursor]) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        rows = [(node, *text_of(node, cursor, now, wall)) for node, cursor in cursors.items()]
        base.executemany("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", rows)

    def _transact(self, write: Callable[[sqlite3.Connection], object]) -> None:
        base = self._opened()
        try:
            base.execute("BEGIN IMMEDIATE")
            write(base)
            base.execute("COMMIT")
        except BaseException:
            if base.in_transaction:
                base.execute("ROLLBACK")
            raise

    def _dead(self, node: str, which: str, given: tuple[int, ...]) -> list[tuple[Dead, bytes]]:
        query = f"SELECT * FROM dead WHERE node = ? AND {which}"
        found: list[tuple[Dead, bytes]] = []
        for name, position, place, attempts, reason, at, version, crc, frame in self._opened().execute(
            query, (node, *given)
        ):
            letter = Dead(name, Address(position, place), attempts, reason, at, version)
            if type(frame) is not bytes or _sum(letter, frame) != crc:
                raise Damaged(f"the dead letter of {node} at {position} is not what was written")
            found.append((letter, frame))
        return found


def _values(letter: Dead) -> tuple[str, int, int, int, str, float, str]:
    at = letter.address
    place = (letter.node, at.position, at.place)
    return (*place, letter.attempts, letter.reason, float(letter.at), letter.version)


def _sum(letter: Dead, frame: bytes) -> int:
    return crc32(frame, crc32(repr(_values(letter)).encode()))
