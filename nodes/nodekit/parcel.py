"""What travels in one frame, and what does each event's publisher hold of it?"""

import asyncio
import concurrent.futures
import time
from collections.abc import Generator, Sequence
from zlib import crc32

from .bounds import PublishRefused
from .fields import DATA, chunk, number, varint
from .frames import Head, encode_columns
from .wire import Refusal

# `after` is a uint32 of microseconds.
LONGEST_OPEN = 2**32 - 1
CLOCK = 63
"""What is published in one go has one time: the clock is read every 64 events."""


class Parcel:
    """Events that travel in one frame."""

    def __init__(self, stream: str, first: int, type: str, content: str, most: tuple[int, int]) -> None:
        """`most`: bytes and events that it may take."""
        self.stream, self.first, self.content = stream, first, content
        self.most, self.room = most
        self.at = time.time_ns() // 1000
        self.now = 0
        """Microseconds since then."""
        self.only = type
        """The type of all events; empty when they differ, or when some have a subject."""
        self.until = 0
        """Before this place, one more event of that type has only to be laid beside the others."""
        self.size = 0
        self.data: list[bytes] = []
        self.times: list[tuple[int, int]] = []
        """From which place on an event has which time."""
        self.types: dict[str, int] = {type: 0}
        self.type: list[int] = []
        self.subjects: list[str] = []
        self.extras: list[bytes] = []
        self.count = self.head = 0
        """Events, and bytes of its head; set when it is sealed, as is the frame."""
        self.frame = b""
        self.loop = asyncio.get_running_loop()
        self.done = False
        self.refused: list[Refusal] = []
        self.waiting: list[asyncio.Future[None]] = []

    def add(self, data: bytes, type: str, subject: str, extra: bytes, first_of_turn: bool) -> int:
        """Returns its place."""
        place = len(self.data)
        if not place & CLOCK or first_of_turn:
            self.read_clock(place)
        self.data.append(data)
        if subject or type != self.only:
            self.mix(place, type, subject)
        if extra:
            self.extras.append(chunk(4, number(1, place) + extra))
        self.size += len(data) + len(extra) + len(subject)
        self.until = min((place | CLOCK) + 1, self.room)
        return place

    def read_clock(self, place: int) -> None:
        """Time never goes back within a parcel, though the clock may."""
        self.now = min(LONGEST_OPEN, max(self.now, time.time_ns() // 1000 - self.at))
        self.times.append((place, self.now))

    def mix(self, place: int, type: str, subject: str) -> None:
        """For a parcel with several types, or with subjects: the columns that others do without."""
        self.only = ""
        kind = self.types.get(type)
        if kind is None:
            kind = self.types[type] = len(self.types)
            if kind == 1:
                self.type = [0] * place
        if len(self.types) > 1:
            self.type.append(kind)
        if subject and not self.subjects:
            self.subjects = [""] * place
        if subject or self.subjects:
            self.subjects.append(subject)

    def seal(self, source: str, version: str) -> None:
        """From now on it is only bytes."""
        self.count = len(self.data)
        columns = self.after()
        if not self.only:
            keys = [crc32(subject.encode()) for subject in self.subjects]
            columns += encode_columns(self.type, (), self.subjects, keys)
        self.origin = source, version
        head = self.encoded_head()
        self.head = len(head)
        self.frame = side_by_side([head, chunk(2, columns) if columns else b"", *self.extras], self.data)
        self.data, self.times, self.type, self.subjects, self.extras = [], [], [], [], []

    def after(self) -> bytes:
        """The column of microseconds; nothing when all have the time of the parcel."""
        if not self.now:
            return b""
        ends = [place for place, _ in self.times[1:]] + [self.count]
        runs = [varint(now) * (end - place) for (place, now), end in zip(self.times, ends, strict=True)]
        return chunk(2, b"".join(runs))

    def encoded_head(self) -> bytes:
        source, version = self.origin
        types = tuple(self.types)
        head = Head(source, self.stream, self.first, self.count, self.at, types, self.content, version)
        return chunk(1, head.encode())

    def move(self, stream: str, first: int) -> None:
        """To another stream, before anybody was told of this one."""
        self.stream, self.first = stream, first
        if self.frame:
            head = self.encoded_head()
            self.frame, self.head = head + self.frame[self.head :], len(head)

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    def finish(self) -> None:
        self.done = True
        self.frame = b""
        for each in self.waiting:
            if not each.done():
                each.set_result(None)
        self.waiting.clear()

    def refusal_of(self, place: int) -> str:
        sequence = self.first + place
        for each in self.refused:
            if each.first <= sequence < each.first + each.count:
                return each.reason or "refused"
        return ""


def side_by_side(before: list[bytes], data: Sequence[bytes]) -> bytes:
    """Each behind its length, and all behind what comes before, in one copy.

    Without a step of Python for each. Events of one kind often have one length, which is cheaper still.
    """
    sizes = set(map(len, data))
    if len(sizes) == 1:
        prefix = DATA[sizes.pop()]
        return prefix.join((b"".join((*before, prefix, data[0])), *data[1:]))
    parts = [b""] * (2 * len(data))
    parts[::2], parts[1::2] = map(DATA.__getitem__, map(len, data)), data
    return b"".join(before + parts)


class Receipt:
    """Of an event that was published without waiting; awaiting it gives the id once the event is on disk."""

    __slots__ = ("_parcel", "_place")

    # Set from outside: a call of __init__ would cost as much again as making it.
    _parcel: Parcel
    _place: int

    @classmethod
    def at(cls, parcel: Parcel, place: int) -> "Receipt":
        self = cls.__new__(cls)
        self._parcel, self._place = parcel, place
        return self

    @property
    def id(self) -> str:
        return f"{self._parcel.stream}.{self._parcel.first + self._place}"

    def done(self) -> bool:
        """It is on disk, or refused."""
        return self._parcel.done

    def __await__(self) -> Generator[object, None, str]:
        """Raises PublishRefused."""
        parcel = self._parcel
        if not parcel.done:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            parcel.waiting.append(waiting)
            yield from waiting
        return self._outcome() if parcel.refused else f"{parcel.stream}.{parcel.first + self._place}"

    def wait(self, timeout: float | None = None) -> str:
        """The same for a thread, such as that of a `def` handler. Raises PublishRefused, TimeoutError."""
        if not self._parcel.done:
            told: concurrent.futures.Future[None] = concurrent.futures.Future()
            loop = self._parcel.loop

            def visit() -> None:
                if self._parcel.done:
                    told.set_result(None)
                    return
                waiting = loop.create_future()
                waiting.add_done_callback(lambda _: told.set_result(None))
                self._parcel.waiting.append(waiting)

            loop.call_soon_threadsafe(visit)
            told.result(timeout)
        return self._outcome()

    def _outcome(self) -> str:
        if self._parcel.refused and (why := self._parcel.refusal_of(self._place)):
            raise PublishRefused(f"event {self.id}: {why}")
        return self.id
