"""What have the instances of a node printed?

The beginning of a file may be a hole: what was too much was given back to the disk.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from noded.ports import Unavailable

BLOCK = 64 * 1024
MOST_LINES = 10_000
LONGEST_TAIL = 2 * 1024 * 1024
"""Well below the 4 MiB that a gRPC client takes in one message by default."""
# Neither a link nor a pipe: nothing that is no log is read or waited for.
FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NodeLogs:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def instances(self, node: str) -> tuple[str, ...]:
        """Those that have a log, oldest first."""
        names = (path.stem for path in (self._folder / node).glob(f"{node}.*.log"))
        numbered = (name for name in names if name.rpartition(".")[2].isdecimal())
        return tuple(sorted(numbered, key=lambda name: int(name.rpartition(".")[2])))

    def tail(self, node: str, instance: str, lines: int) -> tuple[bytes, int]:
        """The newest whole lines and where they end in the file.

        Raises Unavailable when what is there cannot be read; what is not there is empty.
        """
        try:
            with self._open(node, instance) as file:
                end = file.seek(0, os.SEEK_END)
                start = _first_byte(file, max(0, end - LONGEST_TAIL), end)
                text = b""
                place = end
                while place > start and text.count(b"\n") <= min(lines, MOST_LINES):
                    place = max(start, place - BLOCK)
                    file.seek(place)
                    text = file.read(end - place)
        except FileNotFoundError:
            return b"", 0
        whole = text[: text.rfind(b"\n") + 1]
        listed = whole.split(b"\n")[:-1]
        if place > 0:
            del listed[:1]  # its beginning lies before what was read
        newest = listed[-min(lines, MOST_LINES) :] if lines else []
        return b"".join(line + b"\n" for line in newest), place + len(whole)

    def since(self, node: str, instance: str, place: int) -> tuple[bytes, int]:
        """Whole lines written after `place`, at most a block, and where they end. Raises as `tail` does."""
        try:
            with self._open(node, instance) as file:
                end = file.seek(0, os.SEEK_END)
                if end < place:
                    place = 0  # somebody cut it down
                found = _first_byte(file, place, end)
                file.seek(found)
                if found > place:
                    found += len(file.readline(BLOCK))  # its beginning is gone
                place = found
                text = file.read(BLOCK)
        except FileNotFoundError:
            return b"", place
        end = text.rfind(b"\n") + 1
        if end == 0 and len(text) == BLOCK:
            end = BLOCK
        return text[:end], place + end

    def _open(self, node: str, instance: str) -> BinaryIO:
        path = self._folder / node / f"{instance}.log"
        try:
            handle = os.open(path, FLAGS)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Unavailable(f"cannot read the output of {instance}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise Unavailable(f"cannot read the output of {instance}: {path} is not a file")
        return os.fdopen(handle, "rb")


def _first_byte(file: BinaryIO, place: int, end: int) -> int:
    """Where something is held, from `place` on."""
    try:
        return os.lseek(file.fileno(), place, os.SEEK_DATA) if place < end else end
    except OSError as error:
        if error.errno == errno.ENXIO:
            return end
        return place  # a file system that knows no holes
