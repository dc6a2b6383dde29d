"""How is what is whole of a damaged log file served on? As files of its own, without what is damaged.

They are made beside the log and moved in once the damaged file is out of the way: whenever the mesh ends
meanwhile, the next life goes on from there.
"""

import logging
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from nodemesh.adapters.aside import note_lost, put_aside, sync_folder
from nodemesh.adapters.log_file import SUFFIX, create, reader
from nodemesh.adapters.log_note import note_of
from nodemesh.adapters.log_rows import TAKEN, row_of, stored
from nodemesh.adapters.sqlite_errors import TROUBLE, Damaged, unavailable
from nodemesh.model.frame import Stored

FOLDER = "whole"
RUNS = 64
"""Files made of one, at most: the longest runs of neighbours."""
COMMIT = 4 * 2**20
Run = tuple[int, int]
log = logging.getLogger("nodemesh")


@dataclass(frozen=True, slots=True)
class Lost:
    """Positions that are passed over, because the file that held them is damaged."""

    first: int
    last: int
    file: str
    why: str
    frames: int
    """That were there for certain: of a file without an end nobody knows how far it went."""


class Losses:
    def __init__(self, folder: Path, aside: Path) -> None:
        self._folder, self._aside = folder, aside
        self.all: list[Lost] = []

    def take_over(
        self, path: Path, last: int, why: str, streams: Sequence[tuple[str, int, float]], *, is_end: bool
    ) -> list[tuple[Path, int]]:
        """Puts a damaged file aside; files with what was whole of it, and the last position of each.

        `is_end`: it had frames up to `last`; else nobody knows how far it went. Raises Unavailable: it may be
        the disk, not the file.
        """
        try:
            runs = salvage(path, last, streams)
            kept = put_aside(path, self._aside, why)
            note_of(path).unlink(missing_ok=True)
            made = move_in(self._folder, path.stem)
        except TROUBLE as error:
            raise unavailable("mend", path, error) from error
        begin, known = int(path.stem), last if is_end or not runs else runs[-1][1]
        for first, end in [*runs, (last + 1, last)]:
            if first > begin:
                frames = max(0, min(first - 1, known) + 1 - begin) if is_end or runs else 0
                self._tell(Lost(begin, first - 1, str(kept), why, frames))
                note_lost(kept, frames, begin, first - 1)
            begin = end + 1
        return [(path, end) for path, (_, end) in zip(made, runs, strict=True)]

    def _tell(self, lost: Lost) -> None:
        self.all.append(lost)
        text = "the log lost %d frames or more, at positions %d to %d: %s; the damaged file is kept as %s"
        log.error(text, lost.frames, lost.first, lost.last, lost.why, lost.file)


def salvage(path: Path, last: int, streams: Sequence[tuple[str, int, float]]) -> list[Run]:
    """Writes down what is whole up to that position; `move_in` comes next. Raises sqlite3.Error, OSError."""
    folder = path.parent / FOLDER / path.stem
    shutil.rmtree(folder, ignore_errors=True)
    runs = whole_runs(path, last)
    if not runs:
        return []
    folder.mkdir(mode=0o700, parents=True)
    with closing(reader(path, is_sealed=False)) as base:
        for run in runs:
            _copy(base, run, folder, streams)
    sync_folder(folder)
    sync_folder(folder.parent)
    return runs


def move_in(home: Path, stem: str) -> list[Path]:
    """What `salvage` made of the file with that name, which is out of the way. Raises OSError."""
    folder = home / FOLDER / stem
    made = sorted(folder.glob(f"*{SUFFIX}"), reverse=True) if folder.exists() else []
    # The one that has the name of the damaged file is the first, and comes last: it says that all are there.
    for path in made:
        for each in (note_of(path), path):
            each.rename(home / each.name)
    shutil.rmtree(folder, ignore_errors=True)
    sync_folder(home)
    return [home / path.name for path in reversed(made)]


def go_on(home: Path) -> None:
    """After a sudden end: moves in what was made of files that are gone. Raises OSError."""
    for folder in sorted((home / FOLDER).glob("*")):
        if (home / (folder.name + SUFFIX)).exists():
            shutil.rmtree(folder, ignore_errors=True)
        else:
            move_in(home, folder.name)


def whole_runs(path: Path, last: int) -> list[Run]:
    """First and last position of neighbours that are whole."""
    found: set[int] = set()
    with suppress(*TROUBLE), closing(reader(path, is_sealed=False)) as base:
        for way in ("ASC", "DESC"):
            # A page that cannot be read ends a search: what is behind it is found from the other end.
            with suppress(*TROUBLE):
                for position in _whole(base, way, last):
                    found.add(position)
    runs: list[Run] = []
    for position in sorted(found):
        if runs and position == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], position
        else:
            runs.append((position, position))
    return sorted(sorted(runs, key=lambda run: run[0] - run[1])[:RUNS])


def _whole(base: sqlite3.Connection, way: str, last: int) -> Iterator[int]:
    for row in base.execute(f"SELECT * FROM frame WHERE position <= ? ORDER BY position {way}", (last,)):
        with suppress(Damaged, UnicodeDecodeError):
            yield stored(row).position


def _copy(
    base: sqlite3.Connection, run: Run, folder: Path, streams: Sequence[tuple[str, int, float]]
) -> None:
    made = create(folder, run[0], streams)
    try:
        frames: list[tuple[Stored, float]] = []
        size = 0
        for position in range(run[0], run[1] + 1):
            row = base.execute("SELECT * FROM frame WHERE position = ?", (position,)).fetchone()
            frames.append((stored(row), row[TAKEN]))
            size += len(frames[-1][0].data)
            if size >= COMMIT or position == run[1]:
                made.append([row_of(*each) for each in frames], [frame for frame, _ in frames])
                frames, size = [], 0
        made.seal()
    finally:
        made.close()
