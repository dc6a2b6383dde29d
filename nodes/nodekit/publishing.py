"""How do events get to the mesh, and how does their publisher learn that they are on disk?

Events gather in a parcel. It leaves as one frame when at most one is under way or when it is full, so an
event of a quiet node leaves at once and those of a busy one share a frame. Parcels are kept until the mesh
has said that they are on disk, and sent again on every new connection: the mesh passes over what it has.
"""

import asyncio
import logging
import secrets
import time
from collections import deque

from .bounds import LONGEST_TYPE, check_text, weight
from .fields import chunk
from .frames import LONGEST_EVENT, MOST_BYTES, MOST_EVENTS, Head
from .link import Link
from .parcel import Parcel, Receipt
from .wire import Published

MOST_KEPT_BYTES = 8 * 1024 * 1024
MOST_KEPT_EVENTS = 100_000
UNDER_WAY = 2
"""Frames under way up to which the next one leaves before it is full. With one alone each event would wait
for the answer to those before it; with two the mesh takes the second while it writes the first."""
logger = logging.getLogger("nodekit")


class BufferFull(Exception):
    """Too much waits for the mesh; nothing was published. Await a receipt or node.room(), then try again."""


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
        place = parcel.add(data, type, subject, extra, not self.pushing)
        if place == MOST_EVENTS - 1:
            self.seal()
        if not self.pushing:
            # After this turn of the loop, so that what is published in one go travels together.
            self.pushing = True
            self.loop.call_soon(self.push)
        return Receipt.at(parcel, place)

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
            self.open.seal(self.source, self.version)
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
                    self.under_way -= len(parcel.frame)
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
            parcel.move(self.stream, self.next)
            self.next += parcel.count
        self.greet()

    def push(self) -> None:
        """Sends what may be sent now."""
        self.pushing = False
        if self.open is not None:
            # The next event is the first of another turn.
            self.open.until = 0
        if not self.answered or self.link is None:
            return
        if not self.sealed and len(self.sent) < UNDER_WAY:
            self.seal()
        while self.sealed:
            parcel = self.sealed[0]
            size = len(parcel.frame)
            if self.sent and self.under_way + size > self.window:
                return
            self.sealed.popleft()
            self.sent.append(parcel)
            self.under_way += size
            self.link.send(parcel.frame)
