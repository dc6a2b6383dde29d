"""When does a port answer again, and who answers?"""

import asyncio
import json
import socket
import time
from collections.abc import Callable

EVERY = 0.002
"""Seconds between two requests."""
PATIENCE = 0.25
"""Seconds after which one request is given up: what hangs must not keep the client from asking again."""
AT_ONCE = 64
"""Requests under way; none is begun beyond them, so that a dead server is not buried."""
LARGEST = 64 * 1024
NO_ANSWER = (OSError, ValueError, KeyError, asyncio.IncompleteReadError)


async def ask(port: int, path: str = "/") -> int:
    """The pid that answers. Raises one of NO_ANSWER when nobody does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LARGEST)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if head[9:12] != b"200":
            raise ValueError(f"status {head[9:12]!r}")
        found = json.loads(await reader.read(LARGEST))
        return int(found["pid"])
    finally:
        writer.close()


async def _until(port: int, gone: int, trigger: Callable[[], None], timeout: float) -> float:
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[float] = loop.create_future()
    under_way: set[asyncio.Task[None]] = set()

    async def once() -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                pid = await ask(port)
        except NO_ANSWER:
            return
        if pid != gone and not answered.done():
            answered.set_result(time.monotonic())

    async def keep_asking() -> None:
        due = time.monotonic()
        while not answered.done():
            if len(under_way) < AT_ONCE:
                task = loop.create_task(once())
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            due = max(due + EVERY, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    began = time.monotonic()
    trigger()
    asking = loop.create_task(keep_asking())
    try:
        async with asyncio.timeout(timeout):
            return await answered - began
    except TimeoutError:
        raise TimeoutError(f"nobody answered on port {port} within {timeout:.0f} s") from None
    finally:
        asking.cancel()
        for task in tuple(under_way):
            task.cancel()
        await asyncio.gather(asking, *under_way, return_exceptions=True)


def until_answered(port: int, trigger: Callable[[], None], gone: int = 0, timeout: float = 60.0) -> float:
    """Seconds from the trigger to the first answer of another process than `gone`."""
    return asyncio.run(_until(port, gone, trigger, timeout))


def pid_at(port: int, timeout: float = 30.0) -> int:
    """Who answers there now; waits for somebody."""

    async def asked() -> int:
        async with asyncio.timeout(2.0):
            return await ask(port)

    until = time.monotonic() + timeout
    while True:
        try:
            return asyncio.run(asked())
        except NO_ANSWER:
            if time.monotonic() > until:
                raise TimeoutError(f"nobody answered on port {port} within {timeout:.0f} s") from None
            time.sleep(0.02)


def send(port: int, path: str) -> socket.socket:
    """A request whose answer nobody reads; it is under way until the socket is closed."""
    line = socket.create_connection(("127.0.0.1", port), timeout=2.0)
    line.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
    return line
