"""Does a program answer over HTTP, or take a connection?"""

import asyncio
import contextlib
import socket
from pathlib import Path

from noded.adapters import accepted
from noded.adapters.owned_socket import owned

LONGEST_HEAD = 4096
LOOK_AGAIN = 0.02
"""Until the program has taken a connection that the kernel took in its name."""
HEADERS = "Host: localhost\r\nUser-Agent: noded\r\nConnection: close\r\n"
"""By its name a program can leave noded's questions out of its figures, as nodekit does."""
GOOD = b"2"
ANY = b"12345"
NOTHING = (OSError, ValueError, OverflowError)
"""A time that is over is an OSError too."""


class HttpProbes:
    """What has arrived counts, also when we ourselves come too late to see it in time."""

    async def answers(self, address: str, uid: int, path: str, timeout: float) -> bool:
        return await _asked(address, uid, path, timeout, GOOD)

    async def responds(self, address: str, uid: int, path: str, timeout: float) -> bool:
        return await _asked(address, uid, path, timeout, ANY)

    async def connects(self, address: str, uid: int, timeout: float) -> bool:
        """The kernel takes connections for a stopped program too: the program itself must have taken it."""
        until = asyncio.get_running_loop().time() + timeout
        try:
            async with asyncio.timeout_at(until):
                ours = await connected(address, uid)
            with ours:
                while accepted.waits(ours):
                    if asyncio.get_running_loop().time() > until:
                        return False
                    await asyncio.sleep(LOOK_AGAIN)
                return True
        except NOTHING:
            return False


async def _asked(address: str, uid: int, path: str, timeout: float, kinds: bytes) -> bool:
    until = asyncio.get_running_loop().time() + timeout
    try:
        async with asyncio.timeout_at(until):
            ours = await connected(address, uid)
        with ours:
            # A few bytes fit into the buffer of a new connection.
            ours.send(f"GET {path} HTTP/1.1\r\n{HEADERS}\r\n".encode())
            status, end, _ = (await _heard(ours, until)).partition(b"\r\n")
    except NOTHING:
        return False
    # "HTTP/1.1 204 No Content"
    code = status[9:10]
    return bool(end and code) and status[:9] in (b"HTTP/1.0 ", b"HTTP/1.1 ") and code in kinds


async def _heard(ours: socket.socket, until: float) -> bytes:
    """The first line and what came with it."""
    heard = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            while b"\r\n" not in heard and len(heard) < LONGEST_HEAD:
                await _readable(ours)
                more = ours.recv(LONGEST_HEAD)
                if not more:
                    break
                heard += more
        return heard
    with contextlib.suppress(BlockingIOError):
        heard += ours.recv(LONGEST_HEAD)
    return heard


async def _readable(ours: socket.socket) -> None:
    """Takes nothing out: what a question that was given up leaves unread is not lost."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(ours, _done, ready)
    try:
        await ready
    finally:
        loop.remove_reader(ours)


def _done(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def connected(address: str, uid: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    path = address.removeprefix("unix:") if address.startswith("unix:") else ""
    host, _, port = address.rpartition(":")
    family = socket.AF_UNIX if path else socket.AF_INET6 if ":" in host else socket.AF_INET
    ours = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_UNIX:
            with owned(Path(path), uid) as place:
                await loop.sock_connect(ours, place)
        else:
            await loop.sock_connect(ours, (host.strip("[]"), int(port)))
    except BaseException:
        # Also when the time is over: a question leaves no descriptor behind.
        ours.close()
        raise
    return ours
