"""What did noded know when it stopped, however it stopped?"""

import logging
from collections.abc import Sequence
from pathlib import Path

from noded.model.state import HostState
from noded.runtime.journal import read_segment
from noded.runtime.reactor import replay

log = logging.getLogger("noded")


def remembered(segments: Sequence[Path], build: str) -> tuple[HostState, float]:
    """The state at the end of the newest readable segment, and the time of its last input.

    A segment that cannot be read is put aside, never deleted, and the one before it is tried: its
    end is what the unreadable one began with. With none left noded begins with an empty memory and
    what the registry knows.
    """
    for path in reversed(segments):
        try:
            segment = read_segment(path.read_text("utf-8"))
            state, differences = replay(segment.lines, segment.state)
        except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
            aside = path.with_suffix(".damaged")
            path.rename(aside)
            log.error("cannot read %s, kept as %s: %s", path.name, aside.name, error)
            continue
        if differences:
            known = "the same build" if segment.build == build else f"build {segment.build}"
            log.warning("%s by %s replays with %d differences", path.name, known, len(differences))
        return state, segment.last_at
    return HostState(), 0.0
