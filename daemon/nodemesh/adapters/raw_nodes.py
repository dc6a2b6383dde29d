"""How do nodes speak to the mesh without gRPC between them? The same frames, less work for each.

The client says GREETING and the mesh answers it; then both send messages (`line`). A client's first FRAME is
the hello of its stream, its first REQUEST its subscription; one connection may carry both.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from google.protobuf.message import DecodeError

from nodeapi.door import Caller
from nodeapi.v1.mesh_pb2 import ConsumeRequest
from nodemesh.adapters.broker import Broker, Publisher, Session
from nodemesh.adapters.line import BEAT, DELIVERED, FRAME, PUBLISHED, REASON, REQUEST, Line
from nodemesh.adapters.patience import Patience
from nodemesh.model.frame import LONGEST_FRAME
from nodemesh.ports import Refused, Unavailable

GREETING = b"NODED-MESH/1\n"
LONGEST_FIRST = 64 * 1024
"""Bytes of a message while nobody knows whether the caller may speak: so strangers take little memory."""
MOST_UNFED = 6 * 1024 * 1024
"""Bytes of frames that wait to be taken; then nothing more is read. A publisher within its window of 4 MiB
stays below, so that settling on the same connection goes on while the log is full."""
_log = logging.getLogger(__name__)


class RawNodes:
    def __init__(self, broker: Broker, patience: Patience) -> None:
        self._broker, self._patience = broker, patience
        self._lines: set[Line] = set()
        self._looks = False

    async def speak(self, sock: socket.socket, who: Caller, said: bytes) -> None:
        """Until the conversation is over; nothing of it is left then."""
        async with asyncio.TaskGroup() as tasks:
            line = Line(sock, LONGEST_FIRST, self._patience)
            talk = _Talk(self._broker, who.uid, line, tasks)
            line.write(GREETING)
            self._lines.add(line)
            if not self._looks:
                self._look()
            try:
                line.open(talk.hear, talk.room, said[len(GREETING) :])
                await line.ended
            finally:
                self._lines.discard(line)
                talk.stop()
                await line.close()

    def _look(self) -> None:
        """At all lines at once: a timer for each would wake the mesh all the time."""
        self._looks = bool(self._lines)
        if self._looks:
            asyncio.get_running_loop().call_later(self._patience.look, self._look)
        for line in tuple(self._lines):
            line.look()


class _Talk:
    """Without a task for what need not wait: each would cost a frame two more turns of the loop."""

    def __init__(self, broker: Broker, uid: int, line: Line, tasks: asyncio.TaskGroup) -> None:
        self.line = line
        self._broker, self._uid, self._group = broker, uid, tasks
        self._tasks: set[asyncio.Task[None]] = set()
        self._frames: deque[bytes] = deque()
        self._unfed = 0
        self._feeds = self._consumes = self._reads = False
        self._publisher: Publisher | None = None
        self._session: Session | None = None
        first = line.patience.first
        text = f"expected a hello or a subscription within {first:g} s"
        self._silent = asyncio.get_running_loop().call_later(first, line.end, text)

    def stop(self) -> None:
        self._silent.cancel()
        for task in self._tasks:
            task.cancel()
        for part in (self._publisher, self._session):
            if part is not None:
                part.close()

    def hear(self, kind: int, body: bytes) -> None:
        if kind == FRAME:
            self._hear_frame(body)
        elif kind == REQUEST:
            self._hear_request(body)
        elif kind == REASON:
            _log.debug("a client of uid %d leaves: %.200r", self._uid, body)
            self.line.end("")
        elif kind != BEAT:
            raise Refused(f"expected a message of kind {FRAME}, {REQUEST}, {REASON} or {BEAT}, found {kind}")

    def room(self) -> None:
        """The other side has read what it was told."""
        self._acknowledge()
        self._deliver()

    def _hear_frame(self, frame: bytes) -> None:
        if self._publisher is not None and not self._feeds and not self._publisher.is_busy:
            self._publisher.feed_now(frame)
            return
        self._frames.append(frame)
        self._unfed += len(frame)
        if self._unfed > MOST_UNFED:
            self.line.hold()
        if not self._feeds:
            self._feeds = True
            self._silent.cancel()
            self._start(self._feed)

    def _hear_request(self, body: bytes) -> None:
        try:
            request = ConsumeRequest.FromString(body)
        except DecodeError as error:
            raise Refused(f"expected a message nodeapi.v1.ConsumeRequest: {error}") from error
        said = request.WhichOneof("say")
        if said == "settle" and self._session is not None:
            self._session.settle(request.settle)
        elif said == "subscribe" and not self._consumes:
            self._consumes = True
            self._silent.cancel()
            self._start(partial(self._consume, request))
        else:
            found = "another subscription" if said == "subscribe" else f"{said or 'nothing'}"
            raise Refused(f"expected a subscription, and settling once it is answered; found {found}")

    async def _feed(self) -> None:
        """What came before its publisher was known, or while the log was full."""
        if self._publisher is None:
            self._publisher = await self._broker.publisher(self._uid, self._next())
            self.line.longest = LONGEST_FRAME
            self._publisher.news.call(self._acknowledge)
            self._acknowledge()
        while self._frames:
            await self._publisher.feed(self._next())
        self._feeds = False

    async def _consume(self, request: ConsumeRequest) -> None:
        self._session = await self._broker.session(self._uid, request.subscribe)
        self.line.longest = LONGEST_FRAME
        self._session.wake.call(self._deliver)
        self._deliver()

    def _acknowledge(self) -> None:
        publisher = self._publisher
        if publisher is None or self.line.full or self.line.ended.done():
            return
        try:
            if (told := publisher.take_now()) is not None:
                self.line.add(PUBLISHED, told)
                self.line.flush()
        except Exception as error:  # noqa: BLE001 - the client is told, others go on
            self._end(error)

    def _deliver(self) -> None:
        session = self._session
        if session is None or self._reads or self.line.ended.done():
            return
        try:
            while not self.line.full and (frame := session.take_now()) is not None:
                self.line.add(DELIVERED, frame)
            self.line.flush()
            if session.is_unread and not self.line.full:
                self._reads = True
                self._start(partial(self._read, session))
        except Exception as error:  # noqa: BLE001 - the client is told, others go on
            self._end(error)

    async def _read(self, session: Session) -> None:
        self.line.say(DELIVERED, await session.take())
        self._reads = False
        self._deliver()

    def _next(self) -> bytes:
        frame = self._frames.popleft()
        self._unfed -= len(frame)
        if self._unfed <= MOST_UNFED // 2:
            self.line.go_on()
        return frame

    def _start(self, work: Callable[[], Awaitable[None]]) -> None:
        task = self._group.create_task(self._done(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _done(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the client is told, others go on
            self._end(error)

    def _end(self, error: Exception) -> None:
        """A mistake of ours with one client must not end the others."""
        if isinstance(error, Refused | Unavailable):
            self.line.end(str(error))
        else:
            _log.error("a client of uid %d is sent away: a mistake in the mesh", self._uid, exc_info=error)
            self.line.end("closed for a mistake in the mesh; its log says more")
