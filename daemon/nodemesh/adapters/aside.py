"""Where does a file go that cannot be read? Into a folder of its own, with a note that says why."""

import contextlib
import os
import time
from pathlib import Path

KEPT = 3
"""The newest: damage that comes again must not fill the disk."""
SIDES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database; it belongs to the damaged one and must not meet the next."""
WHY = ".why"


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


def sync_folder(folder: Path) -> None:
    """What was created, renamed or removed in it stays so after a power failure."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _drop_oldest(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir() if not path.name.endswith((*SIDES, WHY)))
    for name in names[:-KEPT]:
        for gone in (name, *(name + side for side in (*SIDES, WHY))):
            (folder / gone).unlink(missing_ok=True)
