"""How is the raw record kept on disk?

Text files numbered upwards, each beginning with a snapshot. Only the last can end in the middle of
a line, after a crash; the reader leaves such a line out.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noded.ports import Unavailable

SEGMENT = 8 * 1024 * 1024
KEPT = 64 * 1024 * 1024
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class SegmentRing:
    def __init__(self, folder: Path, segment: int = SEGMENT, kept: int = KEPT) -> None:
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
                os.fsync(old)
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
                written = os.write(self._file, text)
                while written < len(text):
                    written += os.write(self._file, text[written:])
            except OSError:
                # A full disk takes a part: cut it off, or the next line would be glued to it.
                os.ftruncate(self._file, self._good)
                raise
        self._good += len(text)

    async def sync(self) -> None:
        self.flush()
        if self._file is not None:
            with self._told():
                await asyncio.to_thread(os.fdatasync, self._file)

    def segments(self) -> tuple[Path, ...]:
        """Oldest first."""
        return tuple(sorted(p for p in self._folder.glob("*.jsonl") if p.stem.isdigit()))

    def _next(self) -> Path:
        """A number is never used twice, not even that of a segment that was put aside."""
        newest = max((int(path.stem) for path in self._folder.iterdir() if path.stem.isdigit()), default=0)
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
