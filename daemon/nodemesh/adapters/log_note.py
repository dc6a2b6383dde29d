"""How did a log file end? A small file beside it says so; whatever it holds beyond is never read."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from nodemesh.adapters.aside import sync_folder

SUFFIX = ".end"


@dataclass(frozen=True, slots=True)
class End:
    last: int
    """Position of its last valid frame; below its first: none."""
    size: int = 0
    """Bytes, when it is sealed: one plain file that never changes. 0: it ended with an error."""
    crc: int = 0
    """CRC-32 of the sealed file."""


def note_of(log_file: Path) -> Path:
    return log_file.with_suffix(SUFFIX)


def write_end(log_file: Path, end: End) -> None:
    """It survives a power failure when this returns. Raises OSError."""
    note = note_of(log_file)
    half = note.with_suffix(".new")
    text = json.dumps({"last": end.last, "size": end.size, "crc": end.crc, "sum": _sum(end)})
    with open(half, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    half.rename(note)
    sync_folder(note.parent)


def read_end(log_file: Path) -> End | None:
    """None without one, or when it says what cannot be: then the file is judged by itself. Raises OSError."""
    try:
        with open(note_of(log_file), "rb") as file:
            found = json.loads(file.read(1000))
        end = End(found["last"], found["size"], found["crc"])
        is_whole = found["sum"] == _sum(end)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return end if is_whole else None


def _sum(end: End) -> int:
    """Of a damaged number that is a number still."""
    return crc32(repr((end.last, end.size, end.crc)).encode())
