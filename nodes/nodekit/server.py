"""How are requests taken from sockets, and how does the server end without losing one?"""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import cast

from .answered import PROBE, Answered
from .http import Chunks, Head, HttpError, Limits, Request, Response, read_head, request_of
from .listen import BACKLOG, unlink_socket

SWEEP = 0.1
# A request may be on its way on a kept-alive connection while we decide to stop: it still gets its answer.
LAST_CALL = 0.5
# The kernel resets a connection that is closed with unread bytes, and the client would lose our answer.
LINGER = 1.0
logger = logging.getLogger("nodekit")
Application = Callable[[Request], Awaitable[Response]]


class Connection(asyncio.Protocol):
    """One client. `deadline` is what the server's sweep looks at; `expired` says what then happens."""

    def __init__(self, server: "Server") -> None:
        self.server, self.limits = server, server.limits
        self.buffer = bytearray()
        self.head: Head | None = None
        self.chunks: Chunks | None = None
        self.task: asyncio.Task[None] | None = None
        self.lingering = self.ended = False
        self.writable = asyncio.Event()
        self.writable.set()
        self.deadline = time.monotonic() + self.limits.idle

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.connections.add(self)
        if len(self.server.connections) > self.limits.connections:
            self.refuse(HttpError(503, "too many connections"))

    def data_received(self, data: bytes) -> None:
        if self.lingering:
            return
        if self.idle:
            self.deadline = time.monotonic() + self.limits.head_time
        self.buffer += data
        if self.task is None:
            self.advance()
        elif len(self.buffer) > self.limits.head:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.ended = True
        return self.task is not None

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True
        self.writable.set()
        self.server.forget(self)

    # What follows from it

    @property
    def idle(self) -> bool:
        return self.task is None and self.head is None and not self.buffer

    def advance(self) -> None:
        try:
            request = self.next_request()
        except HttpError as error:
            self.refuse(error)
            return
        if request:
            assert self.head
            self.deadline = float("inf")
            self.task = self.server.loop.create_task(self.answer(request, self.head))

    def next_request(self) -> Request | None:
        if self.head is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end > self.limits.head or (end < 0 and len(self.buffer) > self.limits.head):
                raise HttpError(431, f"the head is larger than {self.limits.head} bytes")
            if end < 0:
                return None
            self.head = read_head(bytes(self.buffer[:end]))
            del self.buffer[: end + 4]
            self.expect_body(self.head)
        body = self.take_body(self.head)
        return None if body is None else request_of(self.head, body)

    def expect_body(self, head: Head) -> None:
        if head.length > self.limits.body:
            raise HttpError(413, f"the body is larger than {self.limits.body} bytes")
        self.chunks = Chunks(self.limits.body) if head.chunked else None
        self.deadline = time.monotonic() + self.limits.body_time
        if head.headers.get("expect", "").lower() == "100-continue" and (head.length or head.chunked):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def take_body(self, head: Head) -> bytes | None:
        if self.chunks:
            return bytes(self.chunks.body) if self.chunks.take(self.buffer) else None
        if len(self.buffer) < head.length:
            return None
        body = bytes(self.buffer[: head.length])
        del self.buffer[: head.length]
        return body

    async def answer(self, request: Request, head: Head) -> None:
        began = self.server.running[self] = time.monotonic()
        try:
            response = await self.server.application(request)
        finally:
            self.server.running.pop(self, None)
        keep = head.keep and not self.ended and not self.server.draining
        self.server.answered += 1
        status = response.status
        if not self.transport.is_closing():
            status, answer = encoded(response, keep, with_body=head.method != "HEAD")
            self.transport.write(answer)
        if head.headers.get("user-agent") != PROBE:
            self.server.figures.add(time.monotonic() - began, status < 500)
        if not self.transport.is_closing():
            self.deadline = time.monotonic() + self.limits.write
            await self.writable.wait()
        self.head = self.task = None
        if not keep:
            self.transport.close()
            return
        self.transport.resume_reading()
        self.deadline = time.monotonic() + (self.limits.head_time if self.buffer else self.limits.idle)
        if self.buffer:
            self.advance()

    def refuse(self, error: HttpError) -> None:
        """Answers, then reads on into nothing for a moment so that the answer arrives."""
        self.transport.write(Response(error.text + "\n", error.status).encode(keep=False))
        self.lingering = True
        self.buffer.clear()
        self.deadline = time.monotonic() + LINGER
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def expired(self) -> None:
        if self.task is not None or self.lingering:
            self.transport.abort()
        elif self.idle:
            self.transport.close()
        else:
            self.refuse(HttpError(408, "the request did not arrive in time"))


def encoded(response: Response, keep: bool, with_body: bool) -> tuple[int, bytes]:
    """With its status: that of a response that cannot be written is another."""
    try:
        return response.status, response.encode(keep, with_body)
    except (TypeError, ValueError):
        logger.exception("a response cannot be written")
        return 500, Response("internal error\n", 500).encode(keep, with_body)


class Server:
    """Serves one listening socket until it is drained."""

    def __init__(
        self, application: Application, limits: Limits | None = None, figures: Answered | None = None
    ) -> None:
        self.application, self.limits = application, limits or Limits()
        self.figures = figures or Answered()
        self.connections: set[Connection] = set()
        self.running: dict[Connection, float] = {}
        """Since when each request is worked on, oldest first."""
        self.answered = 0
        self.draining = False
        self.empty = asyncio.Event()

    async def start(self, listener: socket.socket) -> None:
        self.loop = asyncio.get_running_loop()
        self.path = listener.getsockname() if listener.family == socket.AF_UNIX else ""
        listener.setblocking(False)
        make = self.loop.create_unix_server if self.path else self.loop.create_server
        self.server = await make(lambda: Connection(self), sock=listener, backlog=BACKLOG)
        self.sweeper = self.loop.call_later(SWEEP, self.sweep)

    def sweep(self) -> None:
        now = time.monotonic()
        for connection in [each for each in self.connections if each.deadline < now]:
            connection.expired()
        self.sweeper = self.loop.call_later(SWEEP, self.sweep)

    def oldest(self) -> float:
        """Seconds that the oldest unanswered request has taken; any thread may ask."""
        # One call that copies: the loop goes on adding and taking away.
        began = list(self.running.values())[:1]
        return max(0.0, time.monotonic() - began[0]) if began else 0.0

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()

    async def drain(self, deadline: float) -> int:
        """Takes no new connection, answers what has come, and ends; cuts off the rest at `deadline`.

        `deadline` is on the monotonic clock. Returns how many requests were cut off.
        """
        if self.path:
            # New connects fail at once and cleanly (ENOENT); those already queued are still accepted below.
            unlink_socket(self.path)
        await asyncio.sleep(SWEEP / 2)
        self.server.close()
        self.draining = True
        self.empty.clear()
        for connection in self.connections:
            if connection.idle:
                connection.deadline = time.monotonic() + LAST_CALL
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                while self.connections:
                    self.empty.clear()
                    await self.empty.wait()
        except TimeoutError:
            pass
        return self.end()

    def end(self) -> int:
        self.sweeper.cancel()
        busy = [connection for connection in self.connections if not connection.idle]
        for connection in list(self.connections):
            connection.transport.abort()
            if connection.task:
                connection.task.cancel()
        return len(busy)
