"""A node as the proxy sees it: a few lines of HTTP/1.1 that can be told to fail.

In process (`SmallServer`), or as a process to kill: `python small_server.py SOCKET NAME`.
"""

import asyncio
import contextlib
import sys
from collections import Counter


class SmallServer:
    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.answered: Counter[str] = Counter()
        """Requests by method, counted when they arrive."""
        self.status = "200 OK"
        self.hang_up = False
        """Close the connection instead of answering."""
        self.cut_short = False
        """Promise more body than is sent, then close."""
        self.seconds = 0.0
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> "SmallServer":
        path = self.address.removeprefix("unix:")
        self._server = await asyncio.start_unix_server(self.client, path)
        return self

    def die(self) -> None:
        """What kill -9 looks like from outside: the socket refuses, open connections are reset."""
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            # Cancelled when the test ends with a connection open.
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._answer(reader, writer):
                    pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        self.answered[head.split(b" ", 1)[0].decode()] += 1
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.hang_up:
            return False
        length = len(self.name) + (100 if self.cut_short else 0)
        writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: {length}\r\n\r\n{self.name}".encode())
        await writer.drain()
        return not self.cut_short


async def _main() -> None:
    await SmallServer(sys.argv[2], f"unix:{sys.argv[1]}").start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
