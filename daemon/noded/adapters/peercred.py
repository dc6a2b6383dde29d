"""Who is calling on the control socket?

grpcio does not tell the uid behind a unix socket. So the public socket is ours: the kernel names
each caller (SO_PEERCRED), and the bytes go to a private gRPC socket over a connection bound to an
abstract name that carries uid, gid and pid, which the handler finds in `context.peer()`. The
private socket lies in a folder of mode 0700: only root and our own uid could bring another name.
"""

import asyncio
import errno
import os
import re
import secrets
import socket
import stat
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio

from noded.ports import Refused, Unavailable

CONNECTIONS = 256
SHARE = 4
"""One uid holds at most 1/SHARE of the connections; the last share is kept for administrators, so that no
number of users can lock them out."""
PREFACE, PREFACE_TIME = 24, 10.0
"""Bytes every client says first (RFC 9113, 3.4), and seconds it has for them."""
CHUNK = 64 * 1024
GRACE = 1.0
"""Seconds that calls under way have to end when the daemon stops."""
LONGEST_PATH = 107
"""Bytes of a unix socket's path (sun_path without its final zero)."""

_CREDENTIALS = struct.Struct("iII")
_PEER = re.compile(r"unix-abstract:noded-control-(\d+)-(\d+)-(\d+)-[0-9a-f]{16}")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True, slots=True)
class Caller:
    """The process that opened the connection; its pid may belong to another process since."""

    uid: int
    gid: int
    pid: int


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
    *,
    mode: int = 0o666,
    group: int | None = None,
    connections: int = CONNECTIONS,
    admins: frozenset[int] = frozenset(),
    preface_time: float = PREFACE_TIME,
) -> AsyncIterator[None]:
    """Starts `server` behind the socket at `path`; socket, server and their tasks are gone after the block.

    The last share of the connections is for root, our own uid and `admins`.

    Raises Refused for a path that cannot be used, Unavailable when another process serves it.
    """
    folder = path.with_name(path.name + ".private")
    inner = folder / "grpc.sock"
    _check_path(path, inner)
    _make_private(folder)
    listener = _listen(path, folder / "front.sock", mode, group)
    ours = os.stat(path).st_ino
    first = frozenset((0, os.geteuid())) | admins
    door = _Door(listener, str(inner), connections, first, preface_time, tasks)
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
    connections: int
    first: frozenset[int]
    """Uids for whom the last share is kept."""
    preface_time: float
    group: asyncio.TaskGroup
    held: Counter[int] = field(default_factory=Counter)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

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
            except OSError:
                # Out of descriptors or memory, or the caller left again: the socket itself stays good.
                await asyncio.sleep(0.1)
                continue
            self._admit(client)
            # sock_accept does not yield while callers wait: a flood of them would hold the loop.
            await asyncio.sleep(0)

    def _admit(self, client: socket.socket) -> None:
        who = _credentials(client)
        if not self._has_room(who.uid):
            client.close()
            return

        def ended() -> None:
            client.close()
            self.held -= Counter({who.uid: 1})

        self.held[who.uid] += 1
        self._start(_connect(client, who, self.inner, self.preface_time), ended)

    def _has_room(self, uid: int) -> bool:
        share = max(1, self.connections // SHARE)
        if self.held[uid] >= share or self.held.total() >= self.connections:
            return False
        others = sum(count for each, count in self.held.items() if each not in self.first)
        return uid in self.first or others < self.connections - share

    def _start(self, work: Coroutine[None, None, None], ended: Callable[[], None] = lambda: None) -> None:
        def forget(done: asyncio.Task[None]) -> None:
            self.tasks.discard(done)
            ended()

        task = self.group.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(forget)


async def _connect(client: socket.socket, who: Caller, inner: str, preface_time: float) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        client.setblocking(False)
        server.setblocking(False)
        # Random, because anyone may take an abstract name before us.
        server.bind(f"\0noded-control-{who.uid}-{who.gid}-{who.pid}-{secrets.token_hex(8)}")
        with suppress(OSError):
            await asyncio.get_running_loop().sock_connect(server, inner)
            await relay(client, server, preface_time)


async def relay(client: socket.socket, server: socket.socket, preface_time: float = PREFACE_TIME) -> None:
    """Carries bytes both ways until the server ends the connection; never holds more than a chunk per way.

    The end of what the client says is passed on; the server then says the rest and hangs up.
    """
    async with asyncio.TaskGroup() as ways:
        upward = ways.create_task(_upward(client, server, preface_time))
        await _carry(server, client)
        upward.cancel()


async def _upward(client: socket.socket, server: socket.socket, preface_time: float) -> None:
    """One that holds a connection and says nothing takes the place of others: both ways are ended."""
    loop, missing = asyncio.get_running_loop(), PREFACE
    try:
        async with asyncio.timeout(preface_time):
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


def _check_path(path: Path, inner: Path) -> None:
    if len(os.fsencode(inner)) > LONGEST_PATH:
        room = LONGEST_PATH - len(os.fsencode(inner)) + len(os.fsencode(path))
        raise Refused(f"cannot serve {path}: its path is longer than {room} bytes; choose a shorter one")
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refused(f"cannot serve {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(kind):
        raise Refused(f"cannot serve {path}: something that is not a socket is there; move it away")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(str(path))
    if answer in (0, errno.EAGAIN):
        raise Unavailable(f"cannot serve {path}: another process listens there; stop it first")
    if answer not in (errno.ECONNREFUSED, errno.ENOENT):
        raise Refused(f"cannot serve {path}: {os.strerror(answer)}")


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise Refused(f"cannot use {folder}: expected a folder of uid {os.geteuid()}; remove it")
        folder.chmod(0o700)
    except OSError as error:
        raise Refused(f"cannot make {folder}: {error.strerror}") from error


def _listen(path: Path, aside: Path, mode: int, group: int | None) -> socket.socket:
    """Prepares the socket in the private folder, so that it appears at `path` with its final rights."""
    aside.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.setblocking(False)
        listener.bind(str(aside))
        if group is not None:
            os.chown(aside, -1, group)
        aside.chmod(mode)
        listener.listen(128)
        aside.rename(path)
    except OSError as error:
        listener.close()
        raise Refused(f"cannot serve {path}: {error.strerror}") from error
    return listener
