"""How is the raw record kept on disk?

Text files numbered upwards, each beginning with a snapshot. Only the last can end in the middle of
a line, after a crash; the reader leaves such a line out.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from noded.ports import Unavailable

SEGMENT = 8 * 1024 * 1024
KEPT = 64 * 1024 * 1024
FULL = (errno.ENOSPC, errno.EDQUOT)
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class SegmentRing:
    def __init__(
        self,
        folder: Path,
        segment: int = SEGMENT,
        kept: int = KEPT,
        make_room: Callable[[], bool] = lambda: False,
    ) -> None:
        """`make_room` is asked once when the disk is full; true says that another try is worth it."""
        self._make_room = make_room
        self._folder = folder
        self._segment = segment
        self._kept = kept
        self._file: int | None = None
        self._pending: list[str] = []
        self._size = 0
        self._good = 0
        """Bytes of the present segment that are whole lines."""
        with self._told():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def append(self, line: str) -> None:
        """Into memory; to the disk with `flush` or `sync`."""
        self._pending.append(line)
        self._size += len(line) + 1

    def full(self) -> bool:
        return self._size >= self._segment

    def rotate(self, header: str) -> None:
        self.flush()
        with self._told():
            old, self._file = self._file, None
            if old is not None:
                try:
                    os.fsync(old)
                finally:
                    os.close(old)
            path = self._next()
            self._file = os.open(path, FLAGS, 0o600)
            self._size = self._good = 0
            self.append(header)
            try:
                self.flush()
                os.fsync(self._file)
            except (OSError, Unavailable):
                # A segment without its header is worth nothing to anybody.
                os.close(self._file)
                self._file = None
                path.unlink()
                raise
            _sync_folder(self._folder)
            self._drop_oldest()

    def flush(self) -> None:
        """Hand everything to the kernel: it survives our death, not the machine's."""
        if not self._pending:
            return
        if self._file is None:
            raise Unavailable(f"cannot write the journal in {self._folder}: no segment is open")
        text = ("\n".join(self._pending) + "\n").encode()
        self._pending.clear()
        with self._told():
            try:
                self._put(self._file, text)
            except OSError as error:
                if error.errno not in FULL or not self._make_room():
                    raise
                self._put(self._file, text)
        self._good += len(text)

    async def sync(self) -> None:
        before = self._good
        self.flush()
        if self._file is None:
            return
        with self._told():
            try:
                await asyncio.to_thread(os.fdatasync, self._file)
            except OSError:
                # What the disk did not take was not said: it must not be remembered after a crash.
                os.ftruncate(self._file, before)
                self._good = before
                raise

    def _put(self, file: int, text: bytes) -> None:
        try:
            written = os.write(file, text)
            while written < len(text):
                written += os.write(file, text[written:])
        except OSError:
            # A full disk takes a part: cut it off, or the next line would be glued to it.
            os.ftruncate(file, self._good)
            raise

    def segments(self) -> tuple[Path, ...]:
        """Oldest first."""
        return tuple(sorted(p for p in self._folder.glob("*.jsonl") if p.stem.isdigit()))

    def _next(self) -> Path:
        """A number is never used twice, not even that of a segment that was put aside."""
        names = (path.name.partition(".")[0] for path in self._folder.iterdir())
        newest = max((int(name) for name in names if name.isdigit()), default=0)
        return self._folder / f"{newest + 1:08}.jsonl"

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"cannot write the journal in {self._folder}: {error.strerror}") from error

    def _drop_oldest(self) -> None:
        segments = self.segments()
        size = sum(path.stat().st_size for path in segments)
        for path in segments[:-2]:
            if size <= self._kept:
                return
            size -= path.stat().st_size
            path.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
