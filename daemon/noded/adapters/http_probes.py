"""Does a program answer over HTTP, or take a connection?"""

import asyncio
import socket
from pathlib import Path

from noded.adapters import accepted
from noded.adapters.owned_socket import owned

LONGEST_HEAD = 4096
LOOK_AGAIN = 0.02
"""Until the program has taken a connection that the kernel took in its name."""
GOOD = b"2"
ANY = b"12345"
NOTHING = (
    OSError,  # TimeoutError too
    ValueError,
    OverflowError,
    asyncio.IncompleteReadError,
    asyncio.LimitOverrunError,
)


class HttpProbes:
    async def answers(self, address: str, uid: int, path: str, timeout: float) -> bool:
        return await _asked(address, uid, path, timeout, GOOD)

    async def responds(self, address: str, uid: int, path: str, timeout: float) -> bool:
        return await _asked(address, uid, path, timeout, ANY)

    async def connects(self, address: str, uid: int, timeout: float) -> bool:
        """The kernel takes connections for a stopped program too: the program itself must have taken it."""
        try:
            async with asyncio.timeout(timeout):
                with await _connected(address, uid) as ours:
                    while accepted.waits(ours):  # noqa: ASYNC110 - the kernel does not call us
                        await asyncio.sleep(LOOK_AGAIN)
                    return True
        except NOTHING:
            return False


async def _asked(address: str, uid: int, path: str, timeout: float, kinds: bytes) -> bool:
    try:
        async with asyncio.timeout(timeout):
            ours = await _connected(address, uid)
            reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_HEAD)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readuntil(b"\r\n")
                return status.startswith(b"HTTP/1.") and status[8:9] == b" " and status[9:10] in kinds
            finally:
                writer.close()
    except NOTHING:
        return False


async def _connected(address: str, uid: int) -> socket.socket:
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
