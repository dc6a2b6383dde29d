"""How are messages told apart on a plain socket? The raw way to the mesh: length, kind, body.

It carries the bytes that gRPC would carry, at a third of the cost. A mesh that does not know it hangs up.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, cast

from .fields import WireError
from .frames import LONGEST_FRAME

PREFACE = b"NODED-MESH/1\n"
FRAME, PUBLISHED, REQUEST, DELIVERED, GOODBYE, BEAT = range(1, 7)
Hear = Callable[[int, bytes], None]
"""Gets the kind (PUBLISHED or DELIVERED) and the body of a message. Raises WireError."""
# Before its delivery was added a frame was at most LONGEST_FRAME.
LONGEST = LONGEST_FRAME + 4096
BUFFER = 256 * 1024
PREFACE_TIME = 10.0
BEAT_AFTER = 5.0
SILENCE = 15.0
TICK = 1.0


class Connection(Protocol):
    """One connection to the mesh, of either kind."""

    def write(self, kind: int, body: bytes) -> None: ...

    async def ended(self) -> str:
        """Returns when the connection is gone, and why."""
        ...

    async def close(self) -> None:
        """What was written goes out first, but nobody waits long for it."""
        ...


class NotSpoken(Exception):
    """The other side does not know this protocol."""


async def connect_raw(path: str, hear: Hear) -> "RawConnection":
    """Raises OSError, TimeoutError, NotSpoken."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PREFACE_TIME):
        _, connection = await loop.create_unix_connection(lambda: RawConnection(loop, hear), path)
        try:
            await asyncio.shield(connection.greeted)
        except BaseException:
            connection.transport.abort()
            raise
    return connection


class RawConnection(asyncio.BufferedProtocol):
    def __init__(self, loop: asyncio.AbstractEventLoop, hear: Hear) -> None:
        self.loop, self.hear = loop, hear
        self.greeted: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[str] = loop.create_future()
        self.why = ""
        self.buffer = bytearray(BUFFER)
        self.view = memoryview(self.buffer)
        self.end = 0
        self.heard = self.said = time.monotonic()

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(PREFACE)
        self.timer = self.loop.call_later(TICK, self.tick)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view[self.end :]

    def buffer_updated(self, count: int) -> None:
        self.heard = time.monotonic()
        self.end += count
        at = 0
        if not self.greeted.done():
            at = len(PREFACE)
            if self.end < at:
                return
            if self.buffer[:at] != PREFACE:
                self.fail("the answer is not that of a mesh")
                return
            self.greeted.set_result(None)
        at = self.take(at)
        rest = self.end - at
        if at:
            self.view[:rest] = self.view[at : self.end]
        self.end = rest

    def take(self, at: int) -> int:
        """Hands on every whole message. Returns where the rest begins."""
        buffer, view, end = self.buffer, self.view, self.end
        while end - at >= 5:
            size = int.from_bytes(buffer[at : at + 4], "little")
            if not 1 <= size <= LONGEST:
                self.fail(f"a message of {size} bytes, expected 1 to {LONGEST}")
                return end
            after = at + 4 + size
            if after > end:
                if 4 + size > len(buffer):
                    self.grow(at, 4 + size)
                    return 0
                return at
            kind = buffer[at + 4]
            if kind in (PUBLISHED, DELIVERED):
                try:
                    self.hear(kind, bytes(view[at + 5 : after]))
                except WireError as error:
                    self.fail(f"a message that cannot be read: {error}")
                    return end
            elif kind == GOODBYE:
                self.why = bytes(view[at + 5 : after]).decode("utf-8", "replace")[:2000]
            elif kind != BEAT:
                self.fail(f"a message of the unknown kind {kind}")
                return end
            at = after
        return at

    def grow(self, at: int, size: int) -> None:
        larger = bytearray(size)
        self.end -= at
        larger[: self.end] = self.view[at : at + self.end]
        self.buffer, self.view = larger, memoryview(larger)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.timer.cancel()
        why = self.why or (str(error) if error else "the mesh closed the connection")
        if not self.greeted.done():
            self.greeted.set_exception(NotSpoken(why))
            # Nobody may be waiting any more.
            self.greeted.exception()
        if not self.gone.done():
            self.gone.set_result(why)

    # What its owner and the clock want

    def write(self, kind: int, body: bytes) -> None:
        self.said = time.monotonic()
        self.transport.writelines(((len(body) + 1).to_bytes(4, "little") + kind.to_bytes(1, "little"), body))

    def tick(self) -> None:
        now = time.monotonic()
        self.timer = self.loop.call_later(TICK, self.tick)
        if now - self.heard >= SILENCE:
            self.fail(f"nothing was heard for {SILENCE:g} s")
        elif self.greeted.done() and now - self.said >= BEAT_AFTER:
            self.write(BEAT, b"")

    def fail(self, why: str) -> None:
        self.why = self.why or why
        self.transport.abort()

    async def ended(self) -> str:
        return await asyncio.shield(self.gone)

    async def close(self) -> None:
        self.why = self.why or "closed"
        self.transport.close()
        try:
            async with asyncio.timeout(TICK):
                await self.ended()
        except TimeoutError:
            self.transport.abort()
