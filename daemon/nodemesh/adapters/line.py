"""How are messages told and heard on a socket, fast and with bounds both ways?

A message is the length of what follows (4 bytes, little-endian), its kind (1 byte), its body. Nothing here
waits: whoever says more than the other side reads is told by `full`.
"""

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from nodemesh.adapters.patience import Patience
from nodemesh.ports import Refused

FRAME, PUBLISHED, REQUEST, DELIVERED, REASON, BEAT = range(1, 7)
HEADER: Final = struct.Struct("<IB")

LAST_WORD_TIME = 1.0
MOST_UNSENT = 256 * 1024
"""Bytes that wait for the other side to read; who has said that much waits (and one message more)."""

_SMALL = 4096
_AT_ONCE = 64
"""Pieces for one sendmsg; the kernel takes 1024."""
_BUFFER = bytearray(256 * 1024)
"""For all lines: what a read brings is taken apart before the next read."""
_log = logging.getLogger(__name__)


class Line:
    def __init__(self, sock: socket.socket, longest: int, patience: Patience) -> None:
        self.longest = longest
        """Bytes of the longest body; who may say more is known only after a while."""
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why it is over; empty when the other side went."""
        self._loop = asyncio.get_running_loop()
        self.patience = patience
        self._sock = sock
        self._half = bytearray()
        self._out: deque[bytes | memoryview] = deque()
        self._unsent = 0
        self._flushing = self._writing = self._held = False
        self._emptied = asyncio.Event()
        self._heard = self._said = self._moved = self._begun = self._loop.time()

    def open(self, hear: Callable[[int, bytes], None], room: Callable[[], None], said: bytes) -> None:
        """`hear` is called with kind and body of each message; the Refused it raises ends the line.

        `room` is called when it is no longer full. `said` was read before.
        """
        self._hear, self._room = hear, room
        self._loop.add_reader(self._sock, self._readable)
        self._take(said)

    def end(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)
            self._loop.remove_reader(self._sock)

    async def close(self) -> None:
        """Says why it ended, if the other side still reads, and lets go of the socket."""
        try:
            if self.ended.done() and (why := self.ended.result()):
                self.say(REASON, why.encode()[: self.longest])
            async with asyncio.timeout(LAST_WORD_TIME):
                while self._unsent:
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            pass
        finally:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._out.clear()
            self._unsent, self._writing = 0, False

    @property
    def full(self) -> bool:
        return self._unsent > MOST_UNSENT

    def say(self, kind: int, body: bytes) -> None:
        """All that is said in one turn of the loop leaves together."""
        self.add(kind, body)
        self._plan()

    def add(self, kind: int, body: bytes) -> None:
        """As `say`, for who says more and then calls `flush`."""
        header = HEADER.pack(len(body) + 1, kind)
        if not self._unsent:
            self._moved = self._loop.time()
        self._unsent += len(header) + len(body)
        self._out += (header + body,) if len(body) < _SMALL else (header, body)

    def write(self, raw: bytes) -> None:
        """As `say`, what is no message."""
        self._out.append(raw)
        self._unsent += len(raw)
        self._plan()

    def _plan(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_planned)

    def hold(self) -> None:
        """Hears nothing more until `go_on`."""
        if not self._held:
            self._held = True
            self._loop.remove_reader(self._sock)

    def go_on(self) -> None:
        if self._held and not self.ended.done():
            self._held = False
            self._heard = self._loop.time()
            self._loop.add_reader(self._sock, self._readable)

    def look(self) -> None:
        """Is it time to end it, or to say that all is well? To be called every `patience.look` seconds."""
        now, patience = self._loop.time(), self.patience
        if self._unsent and now - self._moved > patience.unread:
            self.end(f"nothing was read for {patience.unread:g} s")
        elif self._half and not self._held and now - self._begun > patience.whole:
            self.end(f"message not whole after {patience.whole:g} s")
        elif not self._held and now - self._heard > patience.deaf:
            text = f"nothing was heard for {patience.deaf:g} s; expected a beat every {patience.quiet:g} s"
            self.end(text)
        elif not self._unsent and now - self._said >= patience.quiet - patience.look:
            self.say(BEAT, b"")

    def _readable(self) -> None:
        try:
            size = self._sock.recv_into(_BUFFER)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            size = 0
        if size:
            self._heard = self._loop.time()
            with memoryview(_BUFFER) as whole, whole[:size] as read:
                self._take(read)
        else:
            self.end("")

    def _take(self, read: "memoryview | bytearray | bytes") -> None:
        try:
            if self._half:
                self._half += read
                if len(self._half) < HEADER.size or len(self._half) < self._length(self._half, 0):
                    return
                read, self._half = self._half, bytearray()
            with memoryview(read) as view:
                self._half += view[self._messages(view) :]
                self._begun = self._loop.time()
        except Refused as refused:
            self.end(str(refused))
        except Exception:  # noqa: BLE001 - told: a mistake with one line must not end the others
            _log.exception("a line is closed: a mistake in the mesh")
            self.end("closed for a mistake in the mesh; its log says more")

    def _messages(self, view: memoryview) -> int:
        """Hands over those that are whole; where the rest begins."""
        at, size = 0, len(view)
        while size - at >= HEADER.size and not self.ended.done():
            end = at + self._length(view, at)
            if end > size:
                break
            self._hear(view[at + 4], bytes(view[at + HEADER.size : end]))
            at = end
        return at

    def _length(self, data: "memoryview | bytearray", at: int) -> int:
        """Of the whole message there."""
        length, kind = HEADER.unpack_from(data, at)
        if not 1 <= length <= self.longest + 1:
            most = self.longest + 1
            raise Refused(f"expected a message of 1 to {most} bytes, found {length} (kind {kind})")
        return int(length) + 4

    def flush(self) -> None:
        """Does not wait for the end of this turn of the loop."""
        if self._out and not self._writing:
            self._flush()

    def _flush_planned(self) -> None:
        self._flushing = False
        self.flush()

    def _flush(self) -> None:
        was_full = self.full
        try:
            while self._out:
                pieces = tuple(islice(self._out, _AT_ONCE))
                sent = self._sock.sendmsg(pieces)
                self._moved = self._said = self._loop.time()
                self._forget(sent)
                if self._out and sent < sum(map(len, pieces)):
                    break
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._forget(self._unsent)
            self.end("")
        self._wait_to_write()
        if not self._out:
            self._emptied.set()
        if was_full and not self.full and not self.ended.done():
            self._loop.call_soon(self._room)

    def _wait_to_write(self) -> None:
        if bool(self._out) != self._writing:
            self._writing = not self._writing
            if self._writing:
                self._loop.add_writer(self._sock, self._flush)
            else:
                self._loop.remove_writer(self._sock)

    def _forget(self, sent: int) -> None:
        self._unsent -= sent
        while sent:
            piece = self._out[0]
            if len(piece) > sent:
                self._out[0] = memoryview(piece)[sent:]
                return
            sent -= len(piece)
            self._out.popleft()
