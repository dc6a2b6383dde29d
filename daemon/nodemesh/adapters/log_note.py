"""How did a log file end? A small file beside it says so; whatever it holds beyond is never read."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

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
    text = json.dumps({"last": end.last, "size": end.size, "crc": end.crc})
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
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    whole = all(type(number) is int and number >= 0 for number in (end.last, end.size, end.crc))
    return end if whole else None
