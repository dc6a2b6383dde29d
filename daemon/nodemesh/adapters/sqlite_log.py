"""How are frames kept on disk so that no acknowledged one is lost, and any that is damaged is told?

Files of at most 64 MB, each named after its first position. One thread commits, one reads, one takes care of
files that are not written any more. The list of files is one tuple, replaced as a whole.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic
from types import MappingProxyType
from typing import TypeVar

from nodemesh.adapters import log_file
from nodemesh.adapters.aside import sync_folder
from nodemesh.adapters.clock import BootClock
from nodemesh.adapters.log_file import LogFile
from nodemesh.adapters.log_note import End, note_of, read_end, write_end
from nodemesh.adapters.log_reading import Reading
from nodemesh.adapters.log_rescue import rescued_streams
from nodemesh.adapters.log_rows import row_of
from nodemesh.adapters.log_salvage import Losses, Lost, go_on
from nodemesh.adapters.log_turn import Turn
from nodemesh.adapters.sqlite_errors import TROUBLE, Damaged, is_damage, unavailable
from nodemesh.adapters.stream_ends import StreamEnds
from nodemesh.model.frame import Stored
from nodemesh.ports import Clock, NotFound, Span, Unavailable

log = logging.getLogger("nodemesh")
Result = TypeVar("Result")

CLOCK = BootClock()
LIMIT = 64_000_000
"""Bytes of one file, without its WAL."""
BRIEF = 32 * 1024
"""Bytes of a commit that may be made on the loop."""
LEAST_ROW = 32
"""Bytes: no frame takes less room in a file."""


class SqliteLog:
    """Use `open`."""

    def __init__(self, folder: Path, aside: Path, clock: Clock, limit: int) -> None:
        self._folder = folder
        self._aside = aside
        self._clock = clock
        self._limit = limit
        self._files: tuple[LogFile, ...] = ()
        self._lock = Lock()
        """Held by who replaces the tuple."""
        self._current: LogFile | None = None
        """The one that appends go to; known only to who commits."""
        self._to_note: LogFile | None = None
        """Ended with an error, which is not yet on disk: before that nothing else is written."""
        self._newest = 0
        self._ends = StreamEnds(clock)
        self._losses = Losses(folder, aside)
        self._commits = Turn()
        self._reads = Reading(lambda: self._files, clock)
        self._cares = ThreadPoolExecutor(1, "log-care")

    @classmethod
    async def open(cls, folder: Path, aside: Path, clock: Clock = CLOCK, limit: int = LIMIT) -> "SqliteLog":
        """`limit`: bytes of one file; a commit that is larger gets one of its own. Damaged files go aside.

        Raises Unavailable, and Refused for a log that a later version wrote.
        """
        made = cls(folder, aside, clock, limit)
        try:
            await made._commits.take(made._open)
        except BaseException:
            await made.close()
            raise
        return made

    @property
    def span(self) -> Span:
        """When it holds nothing, oldest is the position that comes next."""
        files = self._files
        oldest = next((file.first for file in files if file.last >= file.first), self._newest + 1)
        return Span(oldest if self._newest else 0, self._newest, sum(file.bytes for file in files))

    @property
    def streams(self) -> Mapping[str, int]:
        return MappingProxyType(self._ends.last)

    @property
    def lost(self) -> Sequence[Lost]:
        """Since it was opened."""
        return tuple(self._losses.all)

    def begin_above(self, position: int) -> None:
        """Before the first append: the highest that anything else remembers. None is ever given twice."""
        self._newest = max(self._newest, position)

    async def append(self, frames: Sequence[Stored]) -> None:
        if frames and not self._appended_here(frames):
            await self._commits.take(partial(self._append, frames))
            self._look_behind()

    def _appended_here(self, frames: Sequence[Stored]) -> bool:
        if sum(len(frame.data) for frame in frames) > BRIEF:
            return False
        if not self._commits.try_here():
            return False
        try:
            file = self._current
            # To begin a file takes many syncs.
            if file is None or self._to_note or not file.fits(frames, self._limit):
                return False
            self._append(frames)
        finally:
            self._commits.release()
        self._look_behind()
        return True

    def _look_behind(self) -> None:
        """Once a commit is over, so that nobody waits for it."""
        file = self._current
        if file is not None and file.is_behind:
            self._commits.later(partial(self._write_back, file))

    async def read(self, start: int, types: frozenset[str], most: int) -> tuple[Sequence[Stored], int]:
        found: Sequence[Stored] = ()
        # Asked for before the files are: what is committed in between is not passed over.
        while not found and start <= (newest := self._newest):
            file = next((file for file in self._files if file.last >= max(start, file.first)), None)
            if file is None:
                return (), newest + 1
            begin = max(start, file.first)
            answer = await self._ask(file, partial(file.read, begin, types, most))
            # Of a file that is gone now, a part may be in others.
            found, start = answer or ((), begin)
        return found, start

    async def find(self, stream: str, sequence: int) -> Stored:
        for file in reversed(self._files):
            found = await self._ask(file, partial(file.find, stream, sequence))
            if found is not None:
                return found
            if file.is_gone:
                return await self.find(stream, sequence)
        raise NotFound(f"the log does not hold {stream}.{sequence}: it never came, or is not kept any more")

    async def copies(self, stream: str, sequence: int) -> Sequence[Stored]:
        found: list[Stored] = []
        for file in self._files:
            found += await self._ask(file, partial(file.copies, stream, sequence)) or ()
        return found

    async def gaps(self, stream: str) -> Sequence[tuple[int, int]]:
        # In the newest file that has any of it, and in the one before.
        found: Sequence[tuple[int, int]] | None = None
        for file in reversed(self._files):
            its = await self._ask(file, partial(file.gaps, stream))
            if found is not None:
                return (*(its or ()), *found)
            found = its
        return found or ()

    async def drop(self, below: int) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._cares, self._drop, below)

    async def close(self) -> None:
        """What was appended is on disk already; the last file becomes a plain one."""

        def finish() -> None:
            self._commits.later(self._end_current).result()
            self._cares.shutdown()
            self._commits.close()
            self._reads.close()
            for file in self._files:
                file.close()

        await asyncio.to_thread(finish)

    async def _ask(self, file: LogFile, ask: Callable[[], Result]) -> Result | None:
        """None when the file is gone, also when this showed that it is damaged."""
        try:
            return await self._reads.ask(file, ask)
        except Damaged as error:
            why = str(error)
        await self._commits.take(partial(self._lose, file, why))
        return None

    # Who commits.

    def _append(self, frames: Sequence[Stored]) -> None:
        expected = range(self._newest + 1, self._newest + 1 + len(frames))
        if any(frame.position != position for frame, position in zip(frames, expected, strict=True)):
            raise ValueError(f"positions are to be {expected.start} to {expected.stop - 1}")
        self._write_note()
        taken = self._clock.wall()
        rows = [row_of(frame, taken) for frame in frames]
        file = self._with_room(frames)
        began = monotonic()
        try:
            file.append(rows, frames)
        except (sqlite3.Error, OSError) as error:
            self._fail(file)
            raise unavailable("write", file.path, error) from error
        self._commits.took(monotonic() - began)
        self._newest = frames[-1].position
        self._ends.take(frames)

    def _write_back(self, file: LogFile) -> None:
        if file is not self._current or not file.is_behind:
            return
        try:
            file.write_back()
        except (sqlite3.Error, OSError) as error:
            log.error("%s", unavailable("write back", file.path, error))
            self._fail(file)

    def _fail(self, file: LogFile) -> None:
        """After an error nothing more is written to it."""
        self._current = None
        self._to_note = file
        file.abandon()
        try:
            self._write_note()
        except Unavailable as error:
            log.error("%s", error)

    def _with_room(self, frames: Sequence[Stored]) -> LogFile:
        file = self._current
        if file is not None and file.is_empty and file.first != frames[0].position:
            self._current = None
            self._remove(file)
        elif file is not None and not file.fits(frames, self._limit):
            self._end_current()
        return self._current or self._begin()

    def _begin(self) -> LogFile:
        first = self._newest + 1
        try:
            file = log_file.create(self._folder, first, self._ends.rows(), self._limit)
        except (sqlite3.Error, OSError) as error:
            raise unavailable("write", self._folder, error) from error
        self._current = file
        with self._lock:
            self._files = (*self._files, file)
        return file

    def _end_current(self) -> None:
        """An empty one is left for the next life."""
        file, self._current = self._current, None
        if file is not None and not file.is_empty:
            self._cares.submit(self._seal, file)

    def _write_note(self) -> None:
        """Before anything else is written it must be on disk where the file ended that failed."""
        file = self._to_note
        if file is None:
            return
        if file.is_empty:
            self._remove(file)
        else:
            try:
                write_end(file.path, End(file.last))
            except OSError as error:
                raise unavailable("write", self._folder, error) from error
        self._to_note = None

    def _remove(self, empty: LogFile) -> None:
        """What is before it stays: it says how far positions and streams have come."""
        self._forget(empty)
        try:
            empty.close()
            empty.unlink()
            sync_folder(self._folder)
        except (sqlite3.Error, OSError) as error:
            raise unavailable("write", self._folder, error) from error

    def _lose(self, file: LogFile, why: str) -> None:
        """What is whole of it stays. Raises Unavailable."""
        if file.is_gone:
            return
        if file is self._current:
            self._current = None
            file.abandon()
        self._to_note = None if self._to_note is file else self._to_note
        with file.lock:
            file.let_go()
            self._take_over(file.path, file.last, why)
            file.is_gone = True
        self._forget(file)

    def _take_over(self, path: Path, last: int, why: str, *, is_end: bool = True) -> None:
        whole = self._losses.take_over(path, last, why, self._ends.rows(), is_end=is_end)
        try:
            made = [log_file.opened(each, end, self._limit) for each, end in whole]
        except TROUBLE as error:
            raise unavailable("open what is whole of", path, error) from error
        with self._lock:
            self._files = tuple(sorted((*self._files, *made), key=lambda file: file.first))

    def _forget(self, file: LogFile) -> None:
        with self._lock:
            self._files = tuple(other for other in self._files if other is not file)

    # The thread that takes care of files which are not written any more.

    def _seal(self, file: LogFile) -> None:
        try:
            file.seal()
        except Damaged as error:
            self._commits.later(partial(self._lose, file, str(error)))
        except (sqlite3.Error, OSError) as error:
            log.warning("cannot seal %s, it is read as it is: %s", file.path, error)

    def _drop(self, below: int) -> int:
        freed = 0
        whole = [file for file in self._files if not file.is_empty]
        for file in whole[:-1]:
            if file.last >= below:
                break
            self._forget(file)
            try:
                file.unlink()
            except OSError as error:
                raise unavailable("remove a file of", self._folder, error) from error
            freed += file.bytes
        return freed

    # Opening.

    def _open(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
            go_on(self._folder)
            paths = [path for path in self._folder.glob(f"*{log_file.SUFFIX}") if path.stem.isdigit()]
            most = 2**63 - 2
            for path in sorted(paths, key=lambda path: int(path.stem), reverse=True):
                self._open_one(path, most)
                most = int(path.stem) - 1
        except (sqlite3.Error, OSError) as error:
            raise unavailable("open", self._folder, error) from error
        self._read_streams()
        for file in self._files[:-1]:
            if file.is_empty:
                self._remove(file)
        held = max((file.last for file in self._files), default=0)
        self._newest = max([held, *(lost.last for lost in self._losses.all)])
        if self._files and self._files[-1].is_empty:
            self._current = self._files[-1]
        if self._newest > held:
            # No position of a lost file may be given again, also not by the next life.
            self._current = self._begin()
        for file in self._files:
            if not file.is_sealed and not file.is_empty and not note_of(file.path).exists():
                self._cares.submit(self._seal, file)

    def _open_one(self, path: Path, most: int) -> None:
        try:
            file = log_file.opened(path, most, self._limit)
        except TROUBLE as error:
            if not is_damage(error):
                raise
            size, end = path.stat().st_size, read_end(path)
            if not self._files:
                self._ends.restore(rescued_streams(path))
            # Of the newest file nobody knows how far it went: no position may ever be given twice.
            last = min(most, int(path.stem) + max(size, self._limit) // LEAST_ROW)
            known = min(most, end.last) if end else last
            self._take_over(path, known, str(error), is_end=end is not None)
        else:
            self._files = (file, *self._files)

    def _read_streams(self) -> None:
        """The newest file names also those of earlier ones; of a damaged one what is whole is taken."""
        for file in reversed(self._files):
            try:
                self._ends.restore(file.streams())
            except TROUBLE as error:
                if not is_damage(error):
                    raise unavailable("read", file.path, error) from error
                self._ends.restore(rescued_streams(file.path))
                self._lose(file, str(error))
            else:
                return

    def _sweep(self) -> None:
        """What a sudden end left: files half made, and what belongs to none."""
        for path in self._folder.iterdir():
            number = path.name.split(".")[0]
            if not number.isdigit():
                continue  # not ours, such as lost+found
            if ".new" in path.name or not (self._folder / (number + log_file.SUFFIX)).exists():
                path.unlink()
