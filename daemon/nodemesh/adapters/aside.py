"""Where does a file go that cannot be read? Into a folder of its own, with a note that says why."""

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

KEPT = 3
"""The newest: damage that comes again must not fill the disk."""
SIDES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database; it belongs to the damaged one and must not meet the next."""
WHY = ".why"


LOST = re.compile(r"lost (\d+) frames", re.ASCII)
LONGEST_NOTE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """A damaged file, until somebody removes it."""

    path: Path
    lost: int
    """Frames that only it held, as far as that is known."""
    why: str


def put_aside(path: Path, folder: Path, why: str) -> Path:
    """Move a damaged file out of the way; returns where it is kept. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / f"{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 10**9:09}-{path.name}"
    path.rename(kept)
    for side in SIDES:
        beside = path.with_name(path.name + side)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + side))
    # A full disk must not keep it from moving.
    with contextlib.suppress(OSError):
        kept.with_name(kept.name + WHY).write_text(f"{path}: {why}\n", encoding="utf-8", errors="replace")
    _drop_oldest(folder)
    sync_folder(path.parent)
    return kept


def note_lost(kept: Path, frames: int, first: int, last: int) -> None:
    """Add to the note of a file what is served no more."""
    text = f"lost {frames} frames or more, at positions {first} to {last}\n"
    with contextlib.suppress(OSError), kept.with_name(kept.name + WHY).open("a", encoding="utf-8") as note:
        note.write(text)


def all_kept(folder: Path) -> list[Kept]:
    """Newest first."""
    with contextlib.suppress(OSError):
        return [_read(folder / name) for name in reversed(_names(folder))]
    return []


def _read(path: Path) -> Kept:
    text = ""
    with contextlib.suppress(OSError), path.with_name(path.name + WHY).open("rb") as note:
        text = note.read(LONGEST_NOTE).decode("utf-8", "replace")
    why, _, rest = text.partition("\n")
    lost = sum(int(found[1]) for line in rest.splitlines() if (found := LOST.match(line)))
    return Kept(path, lost, why.partition(": ")[2] or why)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith((*SIDES, WHY)))


def sync_folder(folder: Path) -> None:
    """What was created, renamed or removed in it stays so after a power failure."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _drop_oldest(folder: Path) -> None:
    for name in _names(folder)[:-KEPT]:
        for gone in (name, *(name + side for side in (*SIDES, WHY))):
            (folder / gone).unlink(missing_ok=True)
