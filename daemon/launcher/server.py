"""Who may give orders, and how do requests and replies travel? Lines of JSON on a unix stream socket."""

import contextlib
import json
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable

from launcher.loop import Loop, Task
from launcher.orders import Asker, Hello, Inspect, Kind, List, Order, Refusal, Result, Status, Trim, Unlisten
from launcher.requests import LARGEST_REQUEST, read_request

_MOST_CLIENTS = 64
_REST = 0.5  # after a connection that could not be accepted, usually for lack of descriptors
_FAREWELL = 1.0
_MOST_UNREAD = 16 * 1024 * 1024
_PAUSE_READING = 1024 * 1024
_MOST_OPEN_REQUESTS = 1024


class Client:
    """One connection. Replies come in the order in which orders end, not in which they were given."""

    def __init__(self, server: "Server", connection: socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._waiting = 0
        self._closing = False
        self._lingering = False
        self.closed = False
        self._asker = Asker()
        self._server.loop.watch(connection.fileno(), self._ready)

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush()
        if events & selectors.EVENT_READ and not self.closed and not self._closing:
            self._receive()

    def _receive(self) -> None:
        try:
            news = self._socket.recv(LARGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            news = b""
        if not news:
            self.close()
            return
        self._inbox += news
        self._take_lines()

    def _take_lines(self) -> None:
        while not self.closed and not self._closing and self._waiting < _MOST_OPEN_REQUESTS:
            end = self._inbox.find(b"\n")
            if end > LARGEST_REQUEST or (end < 0 and len(self._inbox) > LARGEST_REQUEST):
                # Where the next request begins cannot be told any more.
                self.refuse(f"request is larger than {LARGEST_REQUEST} bytes; the connection is closed")
                break
            if end < 0:
                break
            line = bytes(self._inbox[:end])
            del self._inbox[: end + 1]
            self._take(line)
        self._rewatch()

    def _take(self, line: bytes) -> None:
        number, order = read_request(line)
        if number is None and isinstance(order, Refusal):
            # Not our protocol: perhaps an HTTP request that somebody led here, whose body holds orders.
            self.refuse(f"{order}; the connection is closed")
            return
        began = time.monotonic()
        self._waiting += 1

        def ended(result: Result | Refusal) -> None:
            self._waiting -= 1
            self.send(_reply(number, order, result))
            log_order(order, result, time.monotonic() - began)
            if self._waiting == _MOST_OPEN_REQUESTS - 1:
                self._server.loop.after(0.0, self._take_lines)

        if isinstance(order, Refusal):
            ended(order)
        else:
            self._server.loop.begin(self._server.task(order, self._asker), ended)

    def refuse(self, text: str, kind: Kind = "refused") -> None:
        self._closing = True
        self.send({"id": None, "ok": False, "kind": kind, "error": text})

    def send(self, message: Result) -> None:
        if self.closed or self._lingering:
            return
        self._outbox += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self._flush()
        if len(self._outbox) > _MOST_UNREAD:
            log(f"client does not read its replies: {len(self._outbox)} bytes wait, connection closed")
            self.close()

    def _flush(self) -> None:
        try:
            while self._outbox:
                del self._outbox[: self._socket.send(self._outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._closing and not self._outbox:
            self._linger()
            return
        self._rewatch()

    def _linger(self) -> None:
        """Who still speaks when the door closes would get an error instead of the reason: listen a moment."""
        self._lingering = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._server.loop.watch(self._socket.fileno(), self._discard)
        self._server.loop.after(_FAREWELL, self.close)

    def _discard(self, _events: int) -> None:
        try:
            more = self._socket.recv(LARGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        if not more:
            self.close()

    def _rewatch(self) -> None:
        if self.closed or self._lingering:
            return
        full = len(self._outbox) > _PAUSE_READING or self._waiting >= _MOST_OPEN_REQUESTS or self._closing
        events = (0 if full else selectors.EVENT_READ) | (selectors.EVENT_WRITE if self._outbox else 0)
        if events:
            self._server.loop.watch(self._socket.fileno(), self._ready, events)
        else:
            self._server.loop.forget(self._socket.fileno())

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._server.loop.forget(self._socket.fileno())
        self._socket.close()
        self._server.clients.discard(self)
        self._asker.gone = True
        self._server.left(self._asker)


class Server:
    def __init__(self, loop: Loop, listener: socket.socket, peers: frozenset[int]) -> None:
        self.loop = loop
        self.clients: set[Client] = set()
        self.task: Callable[[Order, Asker], Task]
        self.left: Callable[[Asker], None]
        """Told of everyone who has gone."""
        self._listener = listener
        self._peers = peers
        self._listen()

    def _listen(self) -> None:
        self.loop.watch(self._listener.fileno(), self._accept)

    def tell(self, event: Result) -> None:
        for client in list(self.clients):
            client.send(event)

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log(f"connection not accepted: {error.strerror}; next try in {_REST:g} s")
            self.loop.forget(self._listener.fileno())
            self.loop.after(_REST, self._listen)
            return
        connection.setblocking(False)
        client = Client(self, connection)
        uid = peer_uid(connection)
        if uid not in self._peers:
            log(f"connection of uid {uid} refused")
            client.refuse(f"not permitted: uid {uid} is not among `peers` of the launcher's settings")
        elif len(self.clients) >= _MOST_CLIENTS:
            client.refuse(f"{_MOST_CLIENTS} connections are open already", "unavailable")
        else:
            self.clients.add(client)


def peer_uid(connection: socket.socket) -> int:
    """Who connected, as the kernel says."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3I", raw)[1])


def _reply(number: int | None, order: Order | Refusal, result: Result | Refusal) -> Result:
    if not isinstance(result, Refusal):
        return {"id": number, "ok": True, "result": result}
    text = str(result) if isinstance(order, Refusal) else f"cannot {_name(order)}: {result}"
    return {"id": number, "ok": False, "kind": result.kind, "error": text}


def _name(order: Order) -> str:
    op = type(order).__name__.lower()
    if isinstance(order, Hello | List):
        return op
    return f"{op} {order.node if isinstance(order, Unlisten) else order.instance}"


def log_order(order: Order | Refusal, result: Result | Refusal, seconds: float) -> None:
    """One line per order; those that only read are not worth one unless refused."""
    if isinstance(result, Refusal):
        what = "request" if isinstance(order, Refusal) else _name(order)
        log(f"{what}: {result.kind}: {result}")
    elif not isinstance(order, Refusal | Hello | List | Status | Inspect | Trim):
        pid = f" pid={result['pid']} uid={result['uid']}" if "uid" in result else ""
        log(f"{_name(order)}: ok{pid} {seconds * 1000:.1f} ms")


def log(text: str) -> None:
    """To stderr. Nobody listening there is no reason to fail."""
    with contextlib.suppress(OSError):
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{text}\n".encode(errors="replace"))
