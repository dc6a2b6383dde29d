"""How does an event of the log look to a person?"""

from collections.abc import Iterator
from hashlib import sha256

from nodeapi.v1 import mesh_pb2
from nodemesh.model.frame import Address, Stored
from nodemesh.ports import Log, Refused

MOST_SHOWN = 64 * 1024
"""Bytes of an event's data where many events are told."""
SLACK = 60.0
"""Seconds by which the clock of the host may have been set back."""


def read_id(text: str) -> tuple[str, int]:
    """Stream and sequence. Raises Refused."""
    stream, dot, sequence = text.rpartition(".")
    if not dot or not stream or not (sequence.isascii() and sequence.isdigit()) or len(sequence) > 18:
        raise Refused(f"id: expected an event's id, <stream>.<sequence>, found {text[:100]!r}")
    return stream, int(sequence)


def derived_trace(id: str) -> bytes:
    """Of an event that began a trace of its own."""
    return sha256(id.encode()).digest()[:16]


class View:
    """One frame, read whole. Makes garbage for every event: for few frames, or for few who ask."""

    def __init__(self, position: int, data: bytes) -> None:
        self._position = position
        self.frame = mesh_pb2.Frame.FromString(data)
        self._extra = {extra.event: extra for extra in self.frame.extra}

    @classmethod
    def of(cls, stored: Stored) -> "View":
        return cls(stored.position, stored.data)

    @property
    def places(self) -> range:
        return range(self.frame.head.count)

    def id(self, place: int) -> str:
        return f"{self.frame.head.stream}.{self.frame.head.first + place}"

    def type(self, place: int) -> str:
        column = self.frame.columns.type
        return self.frame.head.types[column[place] if column else 0]

    def subject(self, place: int) -> str:
        column = self.frame.columns.subject
        return column[place] if column else ""

    def time(self, place: int) -> float:
        column = self.frame.columns.after
        return (self.frame.head.at + (column[place] if column else 0)) / 1e6

    def trace(self, place: int) -> bytes:
        extra = self._extra.get(place)
        return extra.trace if extra is not None and extra.trace else derived_trace(self.id(place))

    def began(self, place: int) -> bool:
        """Whether its trace is its own."""
        extra = self._extra.get(place)
        return extra is None or not extra.trace

    def cause(self, place: int) -> str:
        extra = self._extra.get(place)
        return extra.cause if extra is not None else ""

    def event(self, place: int, most: int | None = MOST_SHOWN, index: int | None = None) -> mesh_pb2.Event:
        """`most`: bytes of its data; None: all. `index`: its place, where the frame is a piece of another."""
        head, data, extra = self.frame.head, self.frame.data[place], self._extra.get(place)
        return mesh_pb2.Event(
            id=self.id(place),
            source=head.source,
            type=self.type(place),
            subject=self.subject(place),
            time=self.time(place),
            content=head.content or "application/json",
            data=data if most is None else data[:most],
            size=len(data),
            trace=self.trace(place).hex(),
            cause=self.cause(place),
            version=head.version,
            position=self._position,
            index=place if index is None else index,
            attributes=extra.attributes if extra is not None else {},
        )


def runs(places: list[int]) -> Iterator[tuple[int, int]]:
    """Neighbours: first, and the one behind the last."""
    begun = last = -1
    for place in places:
        if place != last + 1 or begun < 0:
            if begun >= 0:
                yield begun, last + 1
            begun = place
        last = place
    if begun >= 0:
        yield begun, last + 1


async def find(log: Log, id: str) -> tuple[View, Address]:
    """Raises Refused for what is no id, NotFound."""
    stream, sequence = read_id(id)
    stored = await log.find(stream, sequence)
    return View.of(stored), Address(stored.position, sequence - stored.head.first)


async def first_since(log: Log, wall: float) -> int:
    """A position before which the log holds nothing that was published from then on."""
    span = log.span
    low, high = max(1, span.oldest), span.newest + 1
    while low < high:
        middle = (low + high) // 2
        found, _ = await log.read(middle, frozenset(), 1)
        if found and found[0].taken < wall - SLACK:
            low = middle + 1
        else:
            high = middle
    return low
