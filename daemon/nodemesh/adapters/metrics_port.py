"""Who may ask for the metrics, and how often are they read off? Any local user may: all of it is bounded."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from nodemesh.ports import Clock, Refused, Unavailable

CONNECTIONS = 16
PATIENCE = 5.0
"""Seconds for a question and its answer."""
LONGEST_QUESTION = 8192
FRESH = 1.0
"""Seconds for which an answer is given again: to read it off takes the mesh's time."""
TYPE = "text/plain; version=0.0.4; charset=utf-8"
Text = Callable[[], Awaitable[bytes]]
"""The metrics of this moment. Raises Unavailable."""


@asynccontextmanager
async def serving(text: Text, listen: str, clock: Clock) -> AsyncIterator[None]:
    """Serves /metrics while the block runs. Raises Refused when the address cannot be had."""
    if listen == "off":
        yield
        return
    host, _, port = listen.rpartition(":")
    asked = _Asked(text, clock)
    try:
        server = await asyncio.start_server(
            asked.answer, host.strip("[]"), int(port), limit=LONGEST_QUESTION, backlog=CONNECTIONS
        )
    except OSError as error:
        problem = f"cannot serve metrics on {listen}: {error.strerror}: choose another in [mesh] listen"
        raise Refused(problem) from error
    async with server:
        yield
        server.close()


class _Asked:
    def __init__(self, text: Text, clock: Clock) -> None:
        self._text, self._clock = text, clock
        self._connections = 0
        self._reading = asyncio.Lock()
        self._last, self._at = b"", float("-inf")

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections > CONNECTIONS:
                return
            async with asyncio.timeout(PATIENCE):
                question = await reader.readuntil(b"\r\n\r\n")
                status, body = await self._answer_to(question.split(b" ", 2)[:2])
                head = f"HTTP/1.1 {status}\r\nContent-Type: {TYPE}\r\nContent-Length: {len(body)}\r\n"
                writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
                await writer.drain()
                # Its system holds what is left.
                writer.write_eof()
                await reader.read(1)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass
        finally:
            self._connections -= 1
            writer.transport.abort()

    async def _answer_to(self, question: list[bytes]) -> tuple[str, bytes]:
        if question not in ([b"GET", b"/metrics"], [b"GET", b"/"]):
            return "404 Not Found", b"expected GET /metrics\n"
        async with self._reading:
            if self._clock.now() - self._at >= FRESH:
                with suppress(Unavailable):
                    self._last, self._at = await self._text(), self._clock.now()
        return "200 OK", self._last
