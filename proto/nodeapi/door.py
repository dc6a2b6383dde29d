"""Who is calling on a unix socket?

grpcio does not tell the uid behind a unix socket. So the public socket is ours: the kernel names
each caller (SO_PEERCRED), and the bytes go to a private gRPC socket over a connection bound to an
abstract name that carries uid, gid and pid, which the service finds in `context.peer()`. The
private socket lies in a folder of mode 0700: only root and our own uid could bring another name.

Callers that begin with another greeting than HTTP/2's can be given to somebody else.
"""

import asyncio
import logging
import os
import re
import secrets
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import grpc.aio

from nodeapi import socket_path

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What every HTTP/2 client says first (RFC 9113, 3.4)."""
PREFACE_TIME = 10.0
"""Seconds for what a caller says first."""
CHUNK = 64 * 1024
GRACE = 1.0
"""Seconds that calls under way have to end when the daemon stops."""
SILENCE = 60.0
"""Seconds between two words in the log about callers who were sent away."""

STRANGERS = 10
"""Of so many connections one may be of a user that is not known."""

_CREDENTIALS = struct.Struct("iII")
_PEER = re.compile(r"unix-abstract:noded-control-(\d+)-(\d+)-(\d+)-[0-9a-f]{16}")
_log = logging.getLogger(__name__)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class Caller:
    """The process that opened the connection; its pid may belong to another process since."""

    uid: int
    gid: int
    pid: int


Speak: TypeAlias = Callable[[socket.socket, Caller, bytes], Coroutine[None, None, None]]
"""Holds a conversation on an accepted, non-blocking socket, closed when it returns: who called, and what was
read so far, greeting and all. What it raises ends the daemon."""


class Known(Protocol):
    """Whose users may take more than a little: gRPC reads megabytes of each before anyone asks who it is."""

    def knows(self, uid: int) -> bool: ...

    def share(self, uid: int) -> int:
        """Connections that this user may have."""
        ...

    async def known(self, uid: int) -> bool:
        """Waits until that user is known; False when nobody has heard of it for a while."""
        ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """How many connections there may be."""

    all: int
    share: int
    """Of one uid, at most."""
    kept: int
    """Only for root, our own uid and `first`, so that no number of others can lock them out."""
    first: frozenset[int] = frozenset()
    known: Known | None = None
    """Without it, every user is."""


@dataclass(frozen=True, slots=True)
class Other:
    """Those who begin with `greeting` are not gRPC's."""

    greeting: bytes
    speak: Speak


def caller(context: Context) -> Caller:
    """Raises PermissionError for a connection that did not come through the front door."""
    found = _PEER.fullmatch(context.peer())
    if found is None:
        raise PermissionError(f"unknown caller {context.peer()!r}: not connected through the control socket")
    uid, gid, pid = map(int, found.groups())
    return Caller(uid, gid, pid)


@asynccontextmanager
async def serve(
    path: Path,
    server: grpc.aio.Server,
    tasks: asyncio.TaskGroup,
    rooms: Rooms,
    *,
    mode: int = 0o666,
    group: int | None = None,
    preface_time: float = PREFACE_TIME,
    other: Other | None = None,
) -> AsyncIterator[None]:
    """Starts `server` behind the socket at `path`; socket, server and their tasks are gone after the block.

    Raises socket_path.Unusable.
    """
    folder = path.with_name(path.name + ".private")
    inner = folder / "grpc.sock"
    socket_path.check(path, inner)
    socket_path.make_private(folder)
    listener = socket_path.listen(path, folder / "front.sock", mode, group)
    ours = os.stat(path).st_ino
    door = _Door(listener, str(inner), rooms, preface_time, other, tasks)
    try:
        # What an earlier daemon left behind when it was killed.
        inner.unlink(missing_ok=True)
        server.add_insecure_port(f"unix:{inner}")
        await server.start()
        door.open()
        yield
    finally:
        await door.close(server)
        with suppress(FileNotFoundError):
            if os.stat(path).st_ino == ours:
                os.unlink(path)


@dataclass(slots=True)
class _Door:
    listener: socket.socket
    inner: str
    rooms: Rooms
    preface_time: float
    other: Other | None
    group: asyncio.TaskGroup
    held: Counter[int] = field(default_factory=Counter)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    told: float = float("-inf")

    def open(self) -> None:
        self._start(self._accept())

    async def close(self, server: grpc.aio.Server) -> None:
        """Nobody new comes in, calls under way get their grace, then the rest is cut."""
        self.listener.close()
        try:
            await server.stop(GRACE)
        finally:
            left = set(self.tasks)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self.listener)
            except OSError as error:
                # Out of descriptors or memory, or the caller left again: the socket itself stays good.
                self._tell(f"cannot accept a connection: {error.strerror}")
                await asyncio.sleep(0.1)
                continue
            self._admit(client)
            # sock_accept does not yield while callers wait: a flood of them would hold the loop.
            await asyncio.sleep(0)

    def _admit(self, client: socket.socket) -> None:
        client.setblocking(False)
        who = _credentials(client)
        if problem := self._no_room(who.uid):
            client.close()
            self._tell(f"sent a caller of uid {who.uid} away: {problem}")
            return

        def ended() -> None:
            client.close()
            self.held -= Counter({who.uid: 1})

        self.held[who.uid] += 1
        self._start(self._connect(client, who), ended)

    def _no_room(self, uid: int) -> str:
        rooms, first = self.rooms, self.rooms.first | {0, os.geteuid()}
        share = rooms.share
        if rooms.known and uid not in first:
            share = min(share, rooms.known.share(uid))
        if self.held[uid] >= share:
            return f"it has {share} connections, which is its share"
        others = sum(count for each, count in self.held.items() if each not in first)
        if rooms.known and uid not in first and not rooms.known.knows(uid):
            knows = rooms.known.knows
            strangers = sum(count for each, count in self.held.items() if not (each in first or knows(each)))
            if strangers >= rooms.all // STRANGERS:
                return f"{strangers} connections are of users that nobody has told of"
        if self.held.total() >= rooms.all or (uid not in first and others >= rooms.all - rooms.kept):
            return (
                f"there are {self.held.total()} connections, {rooms.kept} of {rooms.all} are kept for admins"
            )
        return ""

    def _tell(self, text: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self.told >= SILENCE:
            self.told = now
            _log.warning("%s", text)

    async def _connect(self, client: socket.socket, who: Caller) -> None:
        said = b""
        if self.other is not None:
            said = await _greeting(client, self.other.greeting, self.preface_time)
            if said.startswith(self.other.greeting):
                return await self.other.speak(client, who, said)
            if not said:
                return None
        if not await self._is_known(who.uid):
            return None
        with suppress(OSError):
            await _to_grpc(client, who, self.inner, self.preface_time, said)
        return None

    async def _is_known(self, uid: int) -> bool:
        known = self.rooms.known
        if known is None or uid in self.rooms.first | {0, os.geteuid()} or await known.known(uid):
            return True
        self._tell(f"sent a caller of uid {uid} away: nobody has told of that user")
        return False

    def _start(self, work: Coroutine[None, None, None], ended: Callable[[], None] = lambda: None) -> None:
        def forget(done: asyncio.Task[None]) -> None:
            self.tasks.discard(done)
            ended()

        task = self.group.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(forget)


async def _greeting(client: socket.socket, other: bytes, seconds: float) -> bytes:
    """What the client said up to now, once it is known whose greeting it is; empty when it is nobody's."""
    loop, said = asyncio.get_running_loop(), b""
    with suppress(OSError):  # of which TimeoutError is one
        async with asyncio.timeout(seconds):
            while chunk := await loop.sock_recv(client, CHUNK):
                said += chunk
                if said.startswith((other, GREETING)):
                    return said
                if not (other.startswith(said) or GREETING.startswith(said)):
                    break
    return b""


async def _to_grpc(client: socket.socket, who: Caller, inner: str, preface_time: float, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.setblocking(False)
        # Random, because anyone may take an abstract name before us.
        server.bind(f"\0noded-control-{who.uid}-{who.gid}-{who.pid}-{secrets.token_hex(8)}")
        await asyncio.get_running_loop().sock_connect(server, inner)
        await relay(client, server, preface_time, said)


async def relay(
    client: socket.socket, server: socket.socket, preface_time: float = PREFACE_TIME, said: bytes = b""
) -> None:
    """Carries bytes both ways until the server ends the connection; never holds more than a chunk per way.

    The end of what the client says is passed on; the server then says the rest and hangs up. `said` was read
    of the client before.
    """
    async with asyncio.TaskGroup() as ways:
        upward = ways.create_task(_upward(client, server, preface_time, said))
        await _carry(server, client)
        upward.cancel()


async def _upward(client: socket.socket, server: socket.socket, preface_time: float, said: bytes) -> None:
    """One that holds a connection and says nothing takes the place of others: both ways are ended."""
    loop, missing = asyncio.get_running_loop(), len(GREETING) - len(said)
    try:
        async with asyncio.timeout(preface_time):
            await loop.sock_sendall(server, said)
            while missing > 0 and (chunk := await loop.sock_recv(client, CHUNK)):
                await loop.sock_sendall(server, chunk)
                missing -= len(chunk)
    except TimeoutError:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        return
    except OSError:
        pass  # As in _carry, which now finds the end and passes it on.
    await _carry(client, server)


async def _carry(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    # A side that went away is an ordinary end: the other side is told by the end of the stream.
    with suppress(OSError):
        while chunk := await loop.sock_recv(source, CHUNK):
            await loop.sock_sendall(sink, chunk)
            # Neither call yields while the kernel takes all: one eager caller would hold the loop.
            await asyncio.sleep(0)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _credentials(client: socket.socket) -> Caller:
    raw = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Caller(uid, gid, pid)
