"""How do events get to the mesh, and how does their publisher learn that they are on disk?

Events gather in a parcel. It leaves as one frame when at most one is under way or when it is full, so an
event of a quiet node leaves at once and those of a busy one share a frame. Parcels are kept until the mesh
has said that they are on disk, and sent again on every new connection: the mesh passes over what it has.
"""

import asyncio
import concurrent.futures
import logging
import secrets
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from zlib import crc32

from .bounds import LONGEST_TYPE, PublishRefused, check_text, weight
from .fields import chunk, number
from .frames import DATA, LONGEST_EVENT, MOST_BYTES, MOST_EVENTS, Head, encode_columns
from .link import Link
from .wire import Published, Refusal

MOST_KEPT_BYTES = 8 * 1024 * 1024
MOST_KEPT_EVENTS = 100_000
# `after` is a uint32 of microseconds.
LONGEST_OPEN = 2**32 - 1
UNDER_WAY = 2
"""Frames under way up to which the next one leaves before it is full. With one alone each event would wait
for the answer to those before it; with two the mesh takes the second while it writes the first."""
CLOCK = 63
"""What is published in one go has one time: the clock is read every 64 events."""
logger = logging.getLogger("nodekit")


class BufferFull(Exception):
    """Too much waits for the mesh; nothing was published. Await a receipt or node.room(), then try again."""


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
        self.size = 0
        self.data: list[bytes] = []
        self.times: list[tuple[int, int]] = []
        """From which place on an event has which time."""
        self.types: dict[str, int] = {type: 0}
        self.type: list[int] = []
        self.subjects: list[str] = []
        self.extras: list[bytes] = []
        self.count = 0
        """Set when it is sealed."""
        self.body = b""
        self.loop = asyncio.get_running_loop()
        self.done = False
        self.refused: list[Refusal] = []
        self.waiting: list[asyncio.Future[None]] = []

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

    def seal(self) -> None:
        """From now on it is only bytes."""
        self.count = len(self.data)
        keys = [crc32(subject.encode()) for subject in self.subjects]
        columns = encode_columns(self.type, self.after(), self.subjects, keys)
        parts = [chunk(2, columns)] if columns else []
        parts += beside(map(DATA.__getitem__, map(len, self.data)), self.data)
        parts += [chunk(4, each) for each in self.extras]
        self.body = b"".join(parts)
        self.data, self.times, self.type, self.subjects, self.extras = [], [], [], [], []

    def after(self) -> list[int]:
        """Microseconds of every event; empty when all have the time of the parcel."""
        if not self.now:
            return []
        ends = [place for place, _ in self.times[1:]] + [self.count]
        return [
            now for (place, now), end in zip(self.times, ends, strict=True) for now in (now,) * (end - place)
        ]

    def frame(self, source: str, version: str) -> bytes:
        head = Head(
            source, self.stream, self.first, self.count, self.at, tuple(self.types), self.content, version
        )
        return chunk(1, head.encode()) + self.body

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    def finish(self) -> None:
        self.done = True
        self.body = b""
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


def beside(prefixes: Iterable[bytes], data: Sequence[bytes]) -> list[bytes]:
    """Each behind its prefix, without a step of Python for each."""
    parts = [b""] * (2 * len(data))
    parts[::2], parts[1::2] = prefixes, data
    return parts


class Receipt:
    """Of an event that was published without waiting; awaiting it gives the id once the event is on disk."""

    __slots__ = ("_parcel", "_place")

    def __init__(self, parcel: Parcel, place: int) -> None:
        self._parcel, self._place = parcel, place

    @property
    def id(self) -> str:
        return f"{self._parcel.stream}.{self._parcel.first + self._place}"

    def done(self) -> bool:
        """It is on disk, or refused."""
        return self._parcel.done

    def __await__(self) -> Generator[object, None, str]:
        """Raises PublishRefused."""
        if not self._parcel.done:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._parcel.waiting.append(waiting)
            yield from waiting
        if not self._parcel.refused:
            return f"{self._parcel.stream}.{self._parcel.first + self._place}"
        return self._outcome()

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


class Publisher:
    """One stream: one life of this process. On the event loop only."""

    def __init__(self, source: str, instance: str, version: str, checked: bool) -> None:
        self.source, self.instance, self.version, self.checked = source, instance, version, checked
        self.link: Link | None = None
        self.next = 1
        self.acked = 0
        self.kept_events = self.kept_bytes = 0
        """In parcels that are sealed."""
        self.window = MOST_BYTES
        self.under_way = 0
        self.open: Parcel | None = None
        self.sealed: deque[Parcel] = deque()
        self.sent: deque[Parcel] = deque()
        self.answered = self.pushing = False
        self.why_not = "noded-mesh has not answered yet"
        self.wanting_room: deque[asyncio.Future[None]] = deque()
        self.known_types: set[str] = set()
        self.begin_stream()

    @property
    def events(self) -> int:
        """That the mesh has not on its disk yet."""
        return self.kept_events + (len(self.open.data) if self.open else 0)

    @property
    def size(self) -> int:
        return self.kept_bytes + (self.open.size if self.open else 0)

    def begin_stream(self) -> None:
        self.stream = f"{self.instance}-{secrets.token_hex(4)}"

    def use(self, link: Link) -> None:
        self.link, self.loop = link, asyncio.get_running_loop()
        self.greet()

    def greet(self) -> None:
        assert self.link
        head = Head(
            source=self.source,
            stream=self.stream,
            version=self.version,
            instance=self.instance,
            checked=self.checked,
        )
        self.answered = False
        self.link.hello(chunk(1, head.encode()))

    # What the node wants

    def put(self, data: bytes, type: str, subject: str, content: str, extra: bytes) -> Receipt:
        """`extra` is an Extra, encoded. Raises BufferFull, and PublishRefused for what no mesh would take."""
        size = len(data) + len(extra)
        if subject or size > LONGEST_EVENT:
            size += weight(data, subject, None)
        if type not in self.known_types:
            self.check_type(type)
        if self.size + size > MOST_KEPT_BYTES or self.events >= MOST_KEPT_EVENTS:
            raise BufferFull(f"{self.events} events of {self.size} bytes wait for the mesh: {self.why_not}")
        parcel = self.open
        if parcel is None or parcel.size + size > MOST_BYTES or parcel.content != content:
            parcel = self.begin_parcel(type, content)
        place = len(parcel.data)
        if not place & CLOCK or not self.pushing:
            parcel.read_clock(place)
        parcel.data.append(data)
        if subject or type != parcel.only:
            parcel.mix(place, type, subject)
        if extra:
            parcel.extras.append(number(1, place) + extra)
        parcel.size += size
        if place == MOST_EVENTS - 1:
            self.seal()
        if not self.pushing:
            # After this turn of the loop, so that what is published in one go travels together.
            self.pushing = True
            self.loop.call_soon(self.push)
        return Receipt(parcel, place)

    def check_type(self, type: str) -> None:
        """A frame that the mesh cannot take would be sent again for ever."""
        check_text("type", type, LONGEST_TYPE, least=1)
        if len(self.known_types) < MOST_EVENTS:
            self.known_types.add(type)

    def begin_parcel(self, type: str, content: str) -> Parcel:
        check_text("content", content, LONGEST_TYPE)
        self.seal()
        most = min(MOST_BYTES, MOST_KEPT_BYTES - self.kept_bytes)
        # The last one is for `put`, which seals.
        room = min(MOST_EVENTS - 1, MOST_KEPT_EVENTS - self.kept_events)
        self.open = Parcel(self.stream, self.next, type, content, (most, room))
        return self.open

    def seal(self) -> None:
        if self.open is not None:
            self.open.seal()
            self.next = self.open.last + 1
            self.kept_events += self.open.count
            self.kept_bytes += self.open.size
            self.sealed.append(self.open)
            self.open = None

    async def room(self) -> None:
        """Returns when something can be published again."""
        while self.size > MOST_KEPT_BYTES // 2 or self.events > MOST_KEPT_EVENTS // 2:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.wanting_room.append(waiting)
            await waiting

    async def drain(self, deadline: float) -> int:
        """Waits until all is on disk, or until `deadline` on the monotonic clock. Returns what is not."""
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                while self.events:
                    parcel = self.open or (self.sealed or self.sent)[-1]
                    waiting: asyncio.Future[None] = self.loop.create_future()
                    parcel.waiting.append(waiting)
                    await waiting
        except TimeoutError:
            pass
        return self.events

    # What the mesh says

    def on_open(self) -> None:
        self.answered = False
        self.sealed.extendleft(reversed(self.sent))
        self.sent.clear()
        self.under_way = 0

    def on_lost(self, why: str) -> None:
        self.answered, self.why_not = False, why

    def on_published(self, said: Published) -> None:
        self.window = said.window or self.window
        self.why_not = said.waiting or "it is slow to write them"
        if not self.answered:
            self.answered = True
            if said.through < self.acked:
                self.begin_again(said.through)
                return
        for refusal in said.refused:
            for parcel in (*self.sent, *self.sealed):
                if parcel.first <= refusal.first + refusal.count - 1 and refusal.first <= parcel.last:
                    parcel.refused.append(refusal)
        self.settle(said.through)
        self.push()

    def settle(self, through: int) -> None:
        self.acked = max(self.acked, through)
        for queue in (self.sent, self.sealed):
            while queue and queue[0].last <= through:
                parcel = queue.popleft()
                if queue is self.sent:
                    self.under_way -= len(parcel.body)
                self.kept_events -= parcel.count
                self.kept_bytes -= parcel.size
                parcel.finish()
        if self.wanting_room and self.size <= MOST_KEPT_BYTES // 2:
            while self.wanting_room:
                waiting = self.wanting_room.popleft()
                if not waiting.done():
                    waiting.set_result(None)

    def begin_again(self, through: int) -> None:
        """The mesh has lost its log or forgotten the stream: sequences from the middle would be refused."""
        logger.warning(
            "the mesh knows stream %s up to %d only, not %d: going on in a new one",
            self.stream,
            through,
            self.acked,
        )
        self.begin_stream()
        self.next, self.acked = 1, 0
        self.on_open()
        for parcel in (*self.sealed, *([self.open] if self.open else [])):
            parcel.stream, parcel.first = self.stream, self.next
            self.next += parcel.count
        self.greet()

    def push(self) -> None:
        """Sends what may be sent now."""
        self.pushing = False
        if not self.answered or self.link is None:
            return
        if not self.sealed and len(self.sent) < UNDER_WAY:
            self.seal()
        while self.sealed:
            parcel = self.sealed[0]
            size = len(parcel.body)
            if self.sent and self.under_way + size > self.window:
                return
            self.sealed.popleft()
            self.sent.append(parcel)
            self.under_way += size
            self.link.send(parcel.frame(self.source, self.version))
