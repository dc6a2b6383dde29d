"""What do a few clients that never stop asking see?"""

import asyncio
from collections import Counter
from types import TracebackType


async def ask_once(port: int, method: str = "GET", host: str = "a") -> tuple[int, str]:
    """Status and body of one request on its own connection; status 0 when there was no answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await request(reader, writer, method, host)
    finally:
        writer.close()


async def request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str = "GET", host: str = "a"
) -> tuple[int, str]:
    body = "Content-Length: 0\r\n" if method == "POST" else ""
    writer.write(f"{method} / HTTP/1.1\r\nHost: {host}\r\n{body}\r\n".encode())
    try:
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
            if "content-length" in fields:
                content = await reader.readexactly(int(fields["content-length"]))
            else:
                content = await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        return 0, ""
    return int(head.split(" ")[1]), content.decode()


async def connect_once(port: int) -> str:
    """What is said at once on a new connection; empty when it is closed instead."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"hello\n")
            return (await reader.readline()).decode().strip()
        except ConnectionError:
            return ""
        finally:
            writer.close()


class Load:
    """Clients on keep-alive connections between `async with` and its end."""

    def __init__(self, port: int, clients: int = 8, method: str = "GET", pause: float = 0.0) -> None:
        self.by_server: Counter[str] = Counter()
        self.failed: list[tuple[int, str]] = []
        self._port, self._clients, self._method, self._pause = port, clients, method, pause
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def count(self) -> int:
        return self.by_server.total() + len(self.failed)

    async def reach(self, count: int) -> None:
        """Wait for `count` more answers."""
        goal = self.count + count
        async with asyncio.timeout(30):
            while True:
                if self.count >= goal:
                    return
                await asyncio.sleep(0.005)

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _client(self) -> None:
        while not self._stop.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            while not self._stop.is_set():
                status, body = await request(reader, writer, self._method)
                if status == 200:
                    self.by_server[body] += 1
                else:
                    self.failed.append((status, body.strip()))
                    break
                await asyncio.sleep(self._pause)
            writer.close()
