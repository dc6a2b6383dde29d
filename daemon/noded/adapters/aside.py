"""Where does a file go that cannot be read? Beside where it lay, under a name that says so and since when."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

MARK = ".corrupt-"
KEPT = 3
"""Of each name, the newest: damage that comes again must not fill the disk."""
SIDES = ("-wal", "-shm")
"""What SQLite keeps beside a database; it belongs to the damaged one and must not meet the next."""


def put_aside(path: Path, copy: bool = False) -> Path:
    """Move a damaged file, or a copy of it, out of the way; returns where it is kept. Raises OSError."""
    date = time.strftime("%Y%m%dT%H%M%S")
    aside = path.with_name(f"{path.name}{MARK}{date}")
    if copy:
        shutil.copyfile(path, aside)
    else:
        path.rename(aside)
    for side in SIDES:
        beside = path.with_name(path.name + side)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + side))
    _drop_oldest(path)
    return aside


def kept_aside(folders: tuple[Path, ...]) -> Iterator[Path]:
    """What was damaged and is still kept, by name."""
    for folder in folders:
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        yield from (folder / name for name in names if MARK in name and not name.endswith(SIDES))


def _drop_oldest(path: Path) -> None:
    found = sorted(p for p in path.parent.glob(f"{path.name}{MARK}*") if not p.name.endswith(SIDES))
    for old in found[:-KEPT]:
        for name in (old.name, *(old.name + side for side in SIDES)):
            old.with_name(name).unlink(missing_ok=True)
