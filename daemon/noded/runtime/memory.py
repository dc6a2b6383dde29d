"""What did noded know when it stopped, however it stopped?"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from noded.model.state import HostState
from noded.runtime.journal import Segment, read_segment
from noded.runtime.reactor import replay

log = logging.getLogger("noded")
UNREADABLE = (ValueError, KeyError, TypeError, RecursionError, OSError)
Aside = Callable[[Path, bool], Path]
"""Keeps a damaged file, or a copy of it, under another name."""


@dataclass(frozen=True, slots=True)
class Memory:
    state: HostState
    last_at: float
    """Time of the last input it holds."""
    intact: bool
    """False when something after that was lost."""


def remembered(segments: Sequence[Path], build: str, aside: Aside) -> Memory:
    """What the newest segment leads to, as far as it can be read.

    A damaged segment is used up to the damage and a copy of it kept. One without a whole snapshot is put
    aside, and the one before it is used: its end is what the lost one began with. With none left noded
    begins with an empty memory and what the registry and the running instances tell.
    """
    intact = True
    for path in reversed(segments):
        try:
            segment = read_segment(path.read_text("utf-8", "replace"))
        except UNREADABLE as error:
            log.error("cannot read %s%s: %s", path.name, _kept(path, aside, copy=False), error)
            intact = False
            continue
        state, whole = _replayed(path, segment, build, aside)
        return Memory(state, whole.last_at, intact and whole is segment)
    return Memory(HostState(), 0.0, not segments)


def _replayed(path: Path, segment: Segment, build: str, aside: Aside) -> tuple[HostState, Segment]:
    """The state at the end, or at the last input before a damaged line; and the part that was used."""
    try:
        state, differences = replay(segment.lines, segment.state)
    except UNREADABLE as error:
        used = segment.until_damage()
        left = len(segment.lines) - len(used.lines)
        where = _kept(path, aside, copy=True)
        log.error("%s is damaged, its last %d lines are lost%s: %s", path.name, left, where, error)
        return replay(used.lines, used.state)[0], used
    if differences:
        known = "the same build" if segment.build == build else f"build {segment.build}"
        log.warning("%s by %s replays with %d differences", path.name, known, len(differences))
    return state, segment


def _kept(path: Path, aside: Aside, *, copy: bool) -> str:
    """Where it was put. What cannot be kept, for want of room or rights, is no reason not to begin."""
    try:
        return f", kept as {aside(path, copy).name}"
    except OSError as error:
        return f", and cannot be kept ({error.strerror})"
