"""Does a program answer over HTTP?"""

import asyncio
from pathlib import Path

from noded.adapters.owned_socket import owned

LONGEST_HEAD = 4096


class HttpProbes:
    async def answers(self, address: str, uid: int, path: str, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                return await _asked(address, uid, path)
        except (OSError, ValueError, OverflowError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return False


async def _asked(address: str, uid: int, path: str) -> bool:
    if address.startswith("unix:"):
        with owned(Path(address.removeprefix("unix:")), uid) as place:
            reader, writer = await asyncio.open_unix_connection(place, limit=LONGEST_HEAD)
    else:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=LONGEST_HEAD)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        status = await reader.readuntil(b"\r\n")
        return status.startswith(b"HTTP/1.") and status[8:10] == b" 2"
    finally:
        writer.close()
