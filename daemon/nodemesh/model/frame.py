"""What does the mesh read of a frame, and what is one in the log?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Places: TypeAlias = Sequence[int]
"""Places of events within a frame, ascending: a range for a run of them, else a tuple."""

MOST_EVENTS = 512
MOST_BYTES = 112 * 1024
"""Of a frame with more than one event: below malloc's threshold for pages of its own, 128 KiB."""
LONGEST_EVENT = 1024 * 1024
LONGEST_FRAME = LONGEST_EVENT + 64 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """Of one frame as its publisher wrote it."""

    source: str
    stream: str
    first: int
    count: int
    at: float
    """Seconds since the epoch, of the first event."""
    types: tuple[str, ...]
    version: str
    content: str = ""

    @property
    def last(self) -> int:
        return self.first + self.count - 1


@dataclass(frozen=True, slots=True)
class Columns:
    """What delivery needs of single events; empty or one for each event."""

    type: tuple[int, ...] = ()
    key: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A frame in the log. `position` rises by one from frame to frame, over all files."""

    position: int
    head: Head
    data: bytes
    columns: Columns = Columns()
    """Read only when a frame has several types or keys."""
    to: str = ""
    """The one consuming node it is for: events sent again. Empty: everybody who asked for its types."""
    taken: float = field(default=0.0, compare=False)
    """When the log took it, in seconds since the epoch; 0 when it was not read from there. It rises with the
    position, which the time of publishing does not: a publisher may have been away, events are sent again."""


@dataclass(frozen=True, slots=True)
class Address:
    """One event."""

    position: int
    place: int


BEFORE_ALL = Address(0, 0)
