"""How does one file of the log keep its frames?

It is written by one life of the mesh, in WAL mode with `synchronous=FULL`; once the next one is begun it is
sealed: one plain file, with its CRC-32 beside it. One thread writes, another reads, a third one seals.
"""

import os
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from threading import Lock

from nodemesh.adapters.aside import sync_folder
from nodemesh.adapters.log_check import check_rows, crc_of
from nodemesh.adapters.log_gaps import gaps
from nodemesh.adapters.log_note import End, note_of, read_end, write_end
from nodemesh.adapters.log_rows import (
    INSERT,
    SCHEMA,
    TAKEN,
    Row,
    stored,
    stream_of,
    stream_row,
    wanted,
)
from nodemesh.adapters.sqlite_errors import Damaged
from nodemesh.model.frame import LONGEST_FRAME, MOST_EVENTS, Stored
from nodemesh.ports import Refused

FORMAT = 1
SUFFIX = ".db"
SIDES = ("-wal", "-shm", "-journal")
PAGE = 16384
"""A fifth less work for a busy log than with 8 KiB; larger ones help little more and burden a quiet one."""
WAL = 4 * 2**20
"""Bytes after which it is written back between two commits. Written over again and again it stays in the
kernel's cache and needs no new blocks: that saves a third of a commit's time, and half of the sealing."""
COPIES = 100
"""Of what was sent again of one event, the newest are told."""
CHECKED = 16
"""Rows at the end that are read when an unsealed file is opened."""
_APPLICATION = 0x4E4D4C00
"""With the format added: a number that stands at one place only is damage, not a later format."""
_MAGIC = b"SQLite format 3\0"
_BY_STREAM = "SELECT * FROM frame WHERE stream = ? AND first <= ? AND position <= ?"
_LEAST_COMMIT = 2 * PAGE
"""Bytes in the WAL beside the frames: the last page of the table and that of the index."""
_ROW = 256
"""Bytes of a row without its texts and its frame, and of its place in the index, at most."""


class LogFile:
    """`last` is the position of its last valid frame. The lock is held by who uses the reading connection."""

    def __init__(self, path: Path, last: int, is_sealed: bool, is_verified: bool) -> None:
        self.path = path
        self.first = int(path.stem)
        self.last = last
        self.is_sealed = is_sealed
        self.is_gone = False
        """Unlinked, or put aside."""
        self.lock = Lock()
        self.bytes = 0
        self._is_verified = is_verified
        self._writing: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None
        self._at_most = 0  # pages in use
        self._behind = 0  # bytes committed since the WAL was written back
        self._wal = WAL
        self._sizes = (f"{path}", f"{path}-wal")
        self.measure()

    @property
    def is_empty(self) -> bool:
        return self.last < self.first

    @property
    def is_open(self) -> bool:
        return self._reading is not None

    def fits(self, frames: Sequence[Stored], limit: int) -> bool:
        """Any commit fits into an empty file."""
        most = limit // PAGE - _pages_for(frames)
        if self._at_most > most and not self.is_empty:
            self._count_pages()
        return self.is_empty or self._at_most <= most

    def append(self, rows: Sequence[Row], frames: Sequence[Stored]) -> None:
        """All or nothing. After an error it is never to be called again."""
        base = self._writing
        assert base is not None
        base.execute("BEGIN IMMEDIATE")
        base.executemany(INSERT, rows)
        base.execute("COMMIT")
        self.last = rows[-1][0]
        self._at_most += _pages_for(frames)
        self._behind += _LEAST_COMMIT + sum(len(frame.data) for frame in frames)
        self.measure()

    @property
    def is_behind(self) -> bool:
        """Whether it is time for `write_back`."""
        return self._behind >= self._wal

    def write_back(self) -> None:
        """So that the WAL can begin anew. As after `append`, an error is the end of the file."""
        self._behind = 0
        if self._writing is not None:
            self._writing.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def _count_pages(self) -> None:
        assert self._writing is not None
        (self._at_most,) = self._writing.execute("PRAGMA page_count").fetchone()

    def abandon(self) -> None:
        """Nothing is written to it any more, not even what SQLite writes when it is closed."""
        base, self._writing = self._writing, None
        if base is None:
            return
        guard: sqlite3.Connection | None = None
        try:
            # SQLite writes the WAL back when its last connection closes: a read-only one that stays cannot.
            guard = reader(self.path, is_sealed=False)
        except sqlite3.Error:
            pass
        finally:
            base.close()
            if guard is not None:
                guard.close()

    def measure(self) -> None:
        self.bytes = sum(map(_size, self._sizes))

    def read(self, start: int, types: Collection[str], most: int) -> tuple[list[Stored], int]:
        """Frames from `start` on, and where to go on. Raises Damaged, sqlite3.Error."""
        last = self.last
        condition, names = wanted(types)
        query = f"SELECT * FROM frame WHERE position BETWEEN ? AND ?{condition} ORDER BY position"
        found: list[Stored] = []
        size = 0
        rows = self._reader().execute(query, (start, last, *names))
        try:
            for row in rows:
                frame = stored(row)
                if types:
                    if not any(name in types for name in frame.head.types):
                        continue
                elif frame.position != start + len(found):
                    break
                found.append(frame)
                size += len(frame.data)
                if size >= most:
                    return found, frame.position + 1
        finally:
            rows.close()
        if not types and len(found) != max(0, last + 1 - start):
            raise Damaged(f"frame {start + len(found)} is missing")
        return found, last + 1

    def find(self, stream: str, sequence: int) -> Stored | None:
        """As it was published, not one sent again."""
        query = f"{_BY_STREAM} AND receiver = '' ORDER BY first DESC LIMIT 1"
        row = self._reader().execute(query, (stream, sequence, self.last)).fetchone()
        frame = stored(row) if row else None
        return frame if frame and frame.head.stream == stream and sequence <= frame.head.last else None

    def copies(self, stream: str, sequence: int) -> list[Stored]:
        query = f"{_BY_STREAM} AND first > ? AND receiver != '' ORDER BY position DESC LIMIT {COPIES}"
        given = (stream, sequence, self.last, sequence - MOST_EVENTS)
        found = [stored(row) for row in self._reader().execute(query, given)]
        return [each for each in reversed(found) if sequence <= each.head.last]

    def gaps(self, stream: str) -> Sequence[tuple[int, int]] | None:
        return gaps(self._reader(), stream, self.last)

    def streams(self) -> list[tuple[str, int, float]]:
        """Each with its last sequence and when that was taken; also those of earlier files, first."""
        newest = "SELECT stream, max(first) FROM frame WHERE position <= ? AND receiver = '' GROUP BY stream"
        base = reader(self.path, self.is_sealed)
        try:
            found = [stream_of(row) for row in base.execute("SELECT * FROM stream")]
            for key in base.execute(newest, (self.last,)).fetchall():
                row = base.execute(
                    "SELECT * FROM frame WHERE stream = CAST(? AS TEXT) AND first = ? AND receiver = ''", key
                ).fetchone()
                if row is None:
                    raise Damaged(f"stream {key[0]!r} leads nowhere")
                head = stored(row).head
                found.append((head.stream, head.last, row[TAKEN]))
        finally:
            base.close()
        return found

    def let_go(self) -> None:
        """Close the reading connection; the next read opens it again."""
        base, self._reading = self._reading, None
        if base is not None:
            base.close()

    def seal(self) -> None:
        """Make it one plain file. Raises sqlite3.Error, OSError, Damaged; then it can still be read."""
        base, self._writing = self._writing, None
        if base is None:
            base = _writer(self.path)
        try:
            # Most of the work, while others read.
            base.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            with self.lock:
                if self.is_gone:
                    return
                if not self._is_verified:
                    self._verify()
                self.let_go()
                (mode,) = base.execute("PRAGMA journal_mode = DELETE").fetchone()
                if mode != b"delete":
                    raise sqlite3.OperationalError(f"it stays in mode {mode!r}")
        finally:
            base.close()
        end = End(self.last, self.path.stat().st_size, crc_of(self.path))
        with self.lock:
            if not self.is_gone:
                write_end(self.path, end)
                self.is_sealed = True
                self.measure()

    def unlink(self) -> None:
        """Raises OSError."""
        with self.lock:
            self.is_gone = True
            self.let_go()
            for name in (self.path.name, *(self.path.name + side for side in SIDES), note_of(self.path).name):
                self.path.with_name(name).unlink(missing_ok=True)

    def close(self) -> None:
        with self.lock:
            self.let_go()
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def _reader(self) -> sqlite3.Connection:
        if self._reading is None:
            self._reading = reader(self.path, self.is_sealed)
            if not self._is_verified:
                self._verify()
        return self._reading

    def _verify(self) -> None:
        """A changed byte could also hide a frame from a search: all is looked at before the first read."""
        if self.is_sealed:
            end = read_end(self.path)
            if end and crc_of(self.path) != end.crc:
                raise Damaged("its CRC-32 is not what it was")
        else:
            base = self._reading or reader(self.path, is_sealed=False)
            self._reading = base
            check_rows(base, self.first, self.last)
        self._is_verified = True


def create(folder: Path, first: int, streams: Iterable[tuple[str, int, float]], wal: int = WAL) -> LogFile:
    """An empty file that appends can go to; its WAL is written back after `wal` bytes, or WAL if it is more.

    Raises sqlite3.Error, OSError; then nothing is left of it.
    """
    path = folder / f"{first:08}{SUFFIX}"
    half = path.with_suffix(".new")
    _remove(half)
    try:
        base = sqlite3.connect(half, isolation_level=None)
        try:
            base.execute(f"PRAGMA page_size = {PAGE}")
            base.execute(f"PRAGMA application_id = {_APPLICATION + FORMAT}")
            base.execute("PRAGMA synchronous = OFF")
            base.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {FORMAT};")
            base.executemany(
                "INSERT INTO stream VALUES (?, ?, ?, ?)", [stream_row(*known) for known in streams]
            )
            base.execute("COMMIT")
            base.execute("PRAGMA journal_mode = WAL")
        finally:
            base.close()
        handle = os.open(half, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        half.rename(path)
        sync_folder(folder)
        made = LogFile(path, first - 1, is_sealed=False, is_verified=True)
        made._writing, made._wal = _writer(path), min(wal, WAL)
        made._count_pages()
    except (sqlite3.Error, OSError):
        _remove(half)
        _remove(path)
        raise
    return made


def opened(path: Path, most: int, wal: int = WAL) -> LogFile:
    """A file of an earlier life. `most`: its positions cannot be higher, for there the next one begins.

    Raises Damaged, Refused (a later version wrote it), sqlite3.Error, OSError.
    """
    _check_header(path)
    end = read_end(path)
    if end is not None:
        if end.size and path.stat().st_size != end.size:
            raise Damaged(f"it has {path.stat().st_size} bytes, not {end.size}")
        return LogFile(path, min(end.last, most), is_sealed=end.size > 0, is_verified=False)
    base = _writer(path)
    try:
        first = int(path.stem)
        count, newest = base.execute("SELECT count(*), max(position) FROM frame").fetchone()
        last = min(first - 1 if newest is None else newest, most)
        if newest is not None and count != newest + 1 - first:
            raise Damaged(f"{newest + 1 - first - count} frames are missing")
        check_rows(base, max(first, last + 1 - CHECKED), last)
    except BaseException:
        base.close()
        raise
    found = LogFile(path, last, is_sealed=False, is_verified=False)
    found._writing, found._wal = base, min(wal, WAL)
    found._count_pages()
    return found


def _check_header(path: Path) -> None:
    with open(path, "rb") as file:
        header = file.read(100)
    found = int.from_bytes(header[60:64], "big")
    if header[:16] != _MAGIC or int.from_bytes(header[68:72], "big") != _APPLICATION + found:
        raise Damaged("it is no file of this log")
    if found != FORMAT:
        raise Refused(
            f"cannot open {path}: format {found}, this noded-mesh knows {FORMAT};"
            " start the noded-mesh that wrote it, or move the log away: what it holds is then not delivered"
        )


def _writer(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        base.text_factory = bytes
        base.execute("PRAGMA synchronous = FULL")
        base.execute("PRAGMA secure_delete = OFF")
        # It would hide its errors, and be in the way of whom waits for the commit.
        base.execute("PRAGMA wal_autocheckpoint = 0")
        base.execute("PRAGMA schema_version").fetchone()
    except BaseException:
        base.close()
        raise
    return base


def reader(path: Path, is_sealed: bool) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if is_sealed else ''}"
    base = sqlite3.connect(uri, timeout=5.0, isolation_level=None, check_same_thread=False, uri=True)
    try:
        base.text_factory = bytes
        # A damaged length must not take a gigabyte of memory.
        base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_FRAME + 2**20)
        base.execute("PRAGMA cache_size = -512")
        base.execute("PRAGMA schema_version").fetchone()
    except BaseException:
        base.close()
        raise
    return base


def _pages_for(frames: Sequence[Stored]) -> int:
    """More than they will take."""
    pages = 4
    small = 0
    for frame in frames:
        head = frame.head
        size = (
            len(frame.data) + len(head.stream) * 8 + len(frame.columns.type) * 2 + len(frame.columns.key) * 4
        )
        size += _ROW + 4 * (
            len(head.source) + sum(map(len, head.types)) + len(head.version) + len(head.content)
        )
        if size > PAGE // 2:
            pages += size // (PAGE - 4) + 2
        else:
            small += 2 * size
    return pages + small // PAGE + 1


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _remove(path: Path) -> None:
    for side in ("", *SIDES):
        path.with_name(path.name + side).unlink(missing_ok=True)
