"""What may the mesh ask of the world?

One contract suite per port runs on its fake and on the real adapter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nodeapi.v1.mesh_pb2 import Announcement, ConsumeRequest, Delivery
from nodemesh.model.cursor import Cursor, Dead
from nodemesh.model.frame import BEFORE_ALL, Address, Columns, Head, Places, Stored

LATENCIES = (0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds by which commits are counted."""


class Unavailable(Exception):
    """Nothing was done; trying later may help. The text says what is wrong and what to do."""


class Refused(Exception):
    """It will never work as asked; the text says what was wrong, where, what was expected."""


class NotFound(Exception):
    """It is not there, or not any more."""


@dataclass(frozen=True, slots=True)
class Span:
    """What the log holds: positions of its oldest and newest frame, 0 and 0 when it is empty."""

    oldest: int
    newest: int
    bytes: int


class Log(Protocol):
    """Frames on disk, in files that are never changed once the next one is begun."""

    @property
    def span(self) -> Span: ...

    @property
    def streams(self) -> Mapping[str, int]:
        """Last sequence on disk of every stream; streams silent for a day are forgotten."""
        ...

    async def append(self, frames: Sequence[Stored]) -> None:
        """Write all in one commit; when it returns they survive a power failure.

        Raises Unavailable when not: then none of them is ever read again, even if the disk has some of it,
        and the next append goes to a new file.
        """
        ...

    async def read(self, start: int, types: frozenset[str], most: int) -> tuple[Sequence[Stored], int]:
        """Frames from position `start` on that hold one of the types (none: every frame), about `most` bytes.

        Also the position at which to go on. Positions that a damaged file has lost are passed over.
        """
        ...

    async def find(self, stream: str, sequence: int) -> Stored:
        """The frame with that event, as it was published. Raises NotFound."""
        ...

    async def copies(self, stream: str, sequence: int) -> Sequence[Stored]:
        """Frames with that event that were sent again, to one node each; of many the newest."""
        ...

    async def gaps(self, stream: str) -> Sequence[tuple[int, int]]:
        """First and last sequence of what is not on disk of a stream, though later ones are; lately."""
        ...

    async def drop(self, below: int) -> int:
        """Unlink whole files whose every position is below; the newest file stays. The bytes freed."""
        ...

    async def close(self) -> None: ...


class Index(Protocol):
    """The small state that changes: cursors, trials, dead letters. Losing the last of it costs redelivery."""

    async def cursors(self) -> Mapping[str, Cursor]: ...

    async def save(self, cursors: Mapping[str, Cursor], dead: Sequence[tuple[Dead, bytes]]) -> None:
        """Replace these cursors and add dead letters, each with its event as a frame. All or nothing."""
        ...

    async def harden(self) -> None:
        """What was written survives a power failure when it returns. Raises Unavailable."""
        ...

    async def forget(self, node: str) -> None:
        """Its cursor and its dead letters."""
        ...

    async def dead(self, node: str, most: int, after: Address = BEFORE_ALL) -> Sequence[tuple[Dead, bytes]]:
        """In the order of the log, from behind that event on."""
        ...

    async def letter(self, node: str, address: Address) -> tuple[Dead, bytes] | None: ...

    async def count_dead(self) -> Mapping[str, int]:
        """By node; those that have none are left out."""
        ...

    async def drop_dead(self, dead: Sequence[Dead]) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Carried:
    """A frame from another mesh: what delivery needs, what was said of it there, its bytes without that."""

    events: int
    types: tuple[str, ...]
    columns: Columns
    delivery: Delivery
    data: bytes


class Codec(Protocol):
    """What the bytes of frames say."""

    def read(self, data: bytes) -> tuple[Head, Columns]: ...

    def hello(self, data: bytes) -> tuple[Head, str, bool]: ...

    def events(self, data: bytes) -> Sequence[bytes]:
        """The data of every event."""
        ...

    def part(self, data: bytes, places: Places) -> bytes:
        """What is delivered of a frame that is not delivered whole."""
        ...

    def piece(self, data: bytes, start: int, stop: int) -> bytes:
        """Neighbouring events as a whole frame of their own, with the ids they had."""
        ...

    def delivered(self, data: bytes, delivery: Delivery) -> bytes: ...

    def carried(self, data: bytes) -> Carried | None:
        """Of a frame from another mesh; None for one without events. Raises Refused."""
        ...


class Carrying(Protocol):
    """Events of another mesh for one consuming node: a stream to and fro."""

    async def say(self, request: ConsumeRequest) -> None:
        """Raises Unavailable when the stream is over."""
        ...

    async def hear(self) -> bytes | None:
        """The next frame; None when the other side has said all. Raises Refused, Unavailable."""
        ...

    async def finish(self) -> None:
        """We have said all."""
        ...

    def close(self) -> None: ...


class Peer(Protocol):
    """A mesh on another host."""

    name: str
    address: str

    async def announce(self, said: Announcement) -> None:
        """Returns when it is durable there. Raises Refused, Unavailable."""
        ...

    def carry(self) -> Carrying:
        """A stream with the certificates there are now."""
        ...

    @property
    def lives(self) -> int:
        """Rises when certificates were replaced: older streams should be begun again."""
        ...

    async def close(self) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds that only rise, also while the host sleeps."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...
