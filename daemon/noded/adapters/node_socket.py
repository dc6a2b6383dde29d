"""What do instances say of themselves, and how are they told something?

One datagram socket per instance, so that a message's sender is known by the path it came on and by
the uid the kernel attaches to it. Everything said is data from an untrusted program.
"""

import asyncio
import contextlib
import json
import os
import select
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from noded.adapters.owned_socket import owned
from noded.model.inputs import InstanceReady
from noded.model.signals import Answers
from noded.ports import Clock, Heartbeat, Inbox, NotFound, Refused, TimedOut, Unavailable

LARGEST = 64 * 1024
CREDENTIALS = struct.Struct("iII")
ANCILLARY = socket.CMSG_SPACE(CREDENTIALS.size)
PREFIX = "NODED="
NOBODY = 2**32 - 1
"""What the kernel never gives to a user."""
MESSAGES_AT_ONCE = 8
LINES = 16
"""Of one message; systemd's own have fewer."""
PAUSE = 0.02
"""A node that talks without pause gets its turn and no more."""
MOST_EDGES = 64
PAUSE_OF_MANY = 0.2
"""The same of those that are ready: what they say can wait, and many heartbeats are taken at one waking."""


@dataclass(slots=True)
class Line:
    """One instance's socket and what was heard on it."""

    node: str
    notify: socket.socket
    orders: Path
    uid: int | None = None
    ready: bool = False
    heartbeat: Heartbeat | None = None
    answers: Answers | None = None
    asked: dict[int, asyncio.Future[Mapping[str, object]]] = field(default_factory=dict)


class NodeSockets:
    def __init__(self, run: Path, notify: Path, inbox: Inbox, clock: Clock) -> None:
        self._run = run
        self._notify = notify
        self._inbox = inbox
        self._clock = clock
        self._lines: dict[str, Line] = {}
        self._heard = select.epoll()
        """The sockets of those that are ready, behind one descriptor for the loop."""
        self._names: dict[int, str] = {}
        """Instances by the descriptors in it."""
        self._listening = False
        self._buffer = bytearray(LARGEST)
        self._number = 0
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def listen(self, node: str, instance: str) -> str:
        path = self._notify / f"{instance}.sock"
        if instance not in self._lines:
            try:
                heard = _bound(path)
            except OSError as error:
                raise Unavailable(f"cannot listen to {instance} on {path}: {error}") from error
            self._lines[instance] = Line(node, heard, self._run / instance / "orders.sock")
        return str(path)

    def expect(self, node: str, instance: str, uid: int) -> None:
        line = self._lines.get(instance)
        if line is None:
            raise NotFound(f"cannot listen to {instance}: its socket is not open")
        line.uid = uid
        if line.notify.fileno() not in self._names:
            self._listen_to(instance, line)

    async def order(self, instance: str, order: Mapping[str, object], timeout: float) -> Mapping[str, object]:
        line = self._lines.get(instance)
        what = f"cannot have {instance} {order.get('do')}"
        if line is None:
            raise NotFound(f"{what}: it is gone")
        self._number += 1
        waiting: asyncio.Future[Mapping[str, object]] = asyncio.get_running_loop().create_future()
        line.asked[self._number] = waiting
        number = self._number
        try:
            with owned(line.orders, -1 if line.uid is None else line.uid) as place:
                self._sender.sendto(json.dumps({"order": number, **order}).encode(), place)
            async with asyncio.timeout(timeout):
                return await waiting
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotFound(f"{what}: it does not listen for orders (no SDK?)") from error
        except TimeoutError as error:
            raise TimedOut(f"{what}: no answer in {timeout:.0f} s") from error
        except BlockingIOError as error:
            raise Unavailable(f"{what}: it has not read the orders before this one") from error
        except OSError as error:
            raise Refused(f"{what}: {error.strerror or error}") from error
        finally:
            line.asked.pop(number, None)

    def heartbeat(self, instance: str) -> Heartbeat | None:
        line = self._lines.get(instance)
        return line.heartbeat if line else None

    def answers(self, instance: str) -> Answers | None:
        line = self._lines.get(instance)
        return line.answers if line else None

    def forget(self, instance: str) -> None:
        line = self._lines.pop(instance, None)
        if line is None:
            return
        if self._names.pop(line.notify.fileno(), None):
            self._heard.unregister(line.notify)
        else:
            asyncio.get_running_loop().remove_reader(line.notify.fileno())
        line.notify.close()
        with contextlib.suppress(OSError):
            (self._notify / f"{instance}.sock").unlink()
        for waiting in line.asked.values():
            if not waiting.done():
                waiting.set_exception(NotFound(f"{instance} is gone"))

    def _listen_to(self, instance: str, line: Line) -> None:
        if self._lines.get(instance) is line:
            asyncio.get_running_loop().add_reader(line.notify.fileno(), self._hear, instance, line)

    def _hear(self, instance: str, line: Line) -> None:
        """One that is awaited is heard at once."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(line.notify.fileno())
        for _ in range(MESSAGES_AT_ONCE):
            if not self._receive(instance, line):
                break
        if not line.ready:
            loop.call_later(PAUSE, self._listen_to, instance, line)
            return
        self._heard.register(line.notify.fileno(), select.EPOLLIN)
        self._names[line.notify.fileno()] = instance
        if not self._listening:
            self._listen_to_many()

    def _listen_to_many(self) -> None:
        self._listening = True
        asyncio.get_running_loop().add_reader(self._heard.fileno(), self._hear_many)

    def _hear_many(self) -> None:
        asyncio.get_running_loop().remove_reader(self._heard.fileno())
        self._turn()

    def _turn(self) -> None:
        """From every instance that has said something up to so many messages, and again a moment later until
        nobody says anything: whoever talks without pause waits, in the kernel's short queue."""
        heard = False
        for _ in range(MESSAGES_AT_ONCE):
            ready = self._heard.poll(0)
            if not ready:
                break
            heard = True
            for descriptor, _event in ready:
                name = self._names[descriptor]
                self._receive(name, self._lines[name])
        if heard:
            asyncio.get_running_loop().call_later(PAUSE_OF_MANY, self._turn)
        else:
            self._listen_to_many()

    def _receive(self, instance: str, line: Line) -> bool:
        """False when there is nothing left."""
        try:
            size, ancillary, flags, _ = line.notify.recvmsg_into([self._buffer], ANCILLARY)
        except OSError:
            return False
        if not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) and _uid(ancillary) == line.uid:
            self._take(instance, line, self._buffer[:size].decode("utf-8", "replace"))
        return True

    def _take(self, instance: str, line: Line, text: str) -> None:
        for said in text.split("\n", LINES)[:LINES]:
            if said == "READY=1":
                self._ready(instance, line, "it said so")
            elif said.startswith(PREFIX):
                with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                    self._message(instance, line, json.loads(said.removeprefix(PREFIX)))

    def _message(self, instance: str, line: Line, message: Mapping[str, object]) -> None:
        if message["kind"] == "heartbeat":
            line.heartbeat = Heartbeat(
                self._clock.now(),
                _bounded(message.get("lag")),
                int(_bounded(message.get("progress"))),
                max(0.0, _bounded(message.get("stuck"))),
                max(0.0, _bounded(message.get("oldest"))),
            )
            # Told only when they change; what cannot be meant leaves the last word as it is.
            line.answers = _answers(instance, message.get("answers")) or line.answers
            # A word after noded was away: what it said while nobody listened is lost, but it lives.
            self._ready(instance, line, "its heartbeat")
            return
        waiting = line.asked.get(int(str(message["order"])))
        if message["kind"] != "done" or waiting is None or waiting.done():
            return
        result = message.get("result")
        if message.get("ok") is True:
            waiting.set_result(result if isinstance(result, Mapping) else {})
        else:
            error = "".join(c if c.isprintable() else " " for c in str(message.get("error"))[:200])
            waiting.set_exception(Refused(f"{instance} answered: {error}"))

    def _ready(self, instance: str, line: Line, how: str) -> None:
        if not line.ready:
            line.ready = True
            self._inbox.put(InstanceReady(self._clock.now(), line.node, instance, how, True))


def _bound(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        # The queue is short: whoever may send can fill it and silence the node. The launcher gives it to the
        # node. A socket is bound with the mode that it has before.
        os.fchmod(heard.fileno(), 0o600)
        heard.bind(str(path))
    except OSError:
        heard.close()
        raise
    return heard


def _uid(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return int(CREDENTIALS.unpack(value[: CREDENTIALS.size])[1])
    return NOBODY


def _answers(instance: str, said: object) -> Answers | None:
    """None for nothing, and for what is not whole or contradicts itself."""
    if not isinstance(said, Mapping):
        return None
    edges, within = said.get("edges", []), said.get("within", [])
    if not isinstance(edges, list) or not isinstance(within, list) or len(edges) > MOST_EDGES:
        return None
    counts = (*within, said.get("bad", 0), said.get("total"))
    if not all(type(count) is int and 0 <= count < 2**53 for count in counts):
        return None
    if not all(type(edge) in (int, float) and 0 < edge < 2**53 for edge in edges):
        return None
    told = Answers(instance, counts[-1], counts[-2], tuple(map(float, edges)), tuple(within))
    rising = all(a < b for a, b in pairwise(told.edges)) and all(a <= b for a, b in pairwise(told.within))
    whole = len(edges) == len(within) and max((told.bad, *within[-1:])) <= told.total
    return told if rising and whole else None


def _bounded(value: object) -> float:
    """0 for what is no number, or none a float can hold exactly."""
    return float(value) if isinstance(value, int | float) and abs(value) < 2**53 else 0.0
