"""How is a batch of commands put to HAProxy's admin socket?

One short connection per batch, in prompt mode: HAProxy ends every answer with "\\n> ", so many
commands can be sent at once and every answer still be told from the next. What is asked while a
batch is under way goes together in the next: two hundred routes are told in a few connections.
"""

import asyncio
import socket as sockets
from collections.abc import Sequence
from pathlib import Path

from noded.ports import PortError, Refused, TimedOut, Unavailable

DEADLINE = 2.0
LARGEST_ANSWER = 32 * 2**20
"""10,000 servers fill about 3 MB of `show stat`."""
_AT_ONCE = 4
"""Connections for what cannot wait: HAProxy takes few (`stats maxconn`), the kernel refuses the others."""
_PROMPT = b"\n> "


async def ask(socket: Path, commands: Sequence[str], deadline: float = DEADLINE) -> list[str]:
    """The answers, one per command, without surrounding blank lines.

    HAProxy runs the commands in order; a refused one does not stop the next. Raises `Unavailable`
    when nothing was sent, `TimedOut` when the connection broke or stalled after that, `Refused` when
    the socket may not be opened.
    """
    # Without asyncio's streams: each leaves a cycle, and noded seldom looks for cycles.
    with sockets.socket(sockets.AF_UNIX) as line:
        line.setblocking(False)
        try:
            # Done at once, or refused: EAGAIN says that more wait already than HAProxy takes (unix(7)).
            line.connect(str(socket))
        except PermissionError as error:
            raise Refused(
                f"cannot open {socket}: not permitted; noded must be in the socket's group"
            ) from error
        except OSError as error:
            raise Unavailable(f"cannot reach HAProxy at {socket}: {error.strerror}") from error
        try:
            async with asyncio.timeout(deadline):
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(line, "\n".join(("prompt", *commands, "")).encode())
                answers = await _read(socket, line, len(commands) + 1)
        except TimeoutError as error:
            raise TimedOut(f"cannot finish {_first(commands)}: no answer within {deadline:g} s") from error
        except OSError as error:
            raise TimedOut(f"cannot finish {_first(commands)}: {error}") from error
    return answers[1:]


class Line:
    """Puts the commands of many callers into few batches; each caller gets the answers to its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._busy = asyncio.Lock()
        self._waiting: list[tuple[Sequence[str], asyncio.Future[list[str]]]] = []
        self._urgent = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, commands: Sequence[str]) -> list[str]:
        """As `ask`, behind the batch that is under way. An error is that of the whole batch."""
        mine: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, mine))
        async with self._busy:
            if not mine.done():
                await self._flush()
        return await mine

    async def urgent(self, commands: Sequence[str]) -> list[str]:
        """On a connection of its own, whatever is under way."""
        async with self._urgent:
            return await ask(self._socket, commands)

    async def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        try:
            answers = await ask(self._socket, [text for commands, _ in batch for text in commands])
        except PortError as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # whoever was cancelled meanwhile does not come for it
            return
        except asyncio.CancelledError:
            for _, future in batch:
                if not future.done():
                    future.set_exception(TimedOut("cannot finish a batch: whoever sent it was cancelled"))
                    future.exception()
            raise
        for commands, future in batch:
            told, answers = answers[: len(commands)], answers[len(commands) :]
            if not future.done():
                future.set_result(told)


async def _read(socket: Path, line: sockets.socket, count: int) -> list[str]:
    loop = asyncio.get_running_loop()
    chunks = bytearray()
    found = 0
    while found < count:
        chunk = await loop.sock_recv(line, 65_536)
        if not chunk:
            raise TimedOut(f"cannot finish a batch of {count - 1} commands: HAProxy closed {socket}")
        seam = max(0, len(chunks) - len(_PROMPT) + 1)
        chunks += chunk
        found += chunks.count(_PROMPT, seam)
        if len(chunks) > LARGEST_ANSWER:
            raise Refused(f"cannot read HAProxy's answer: more than {LARGEST_ANSWER} bytes")
    return [part.decode("utf-8", "replace").strip() for part in bytes(chunks).split(_PROMPT)[:count]]


def _first(commands: Sequence[str]) -> str:
    return f"'{commands[0]}' and {len(commands) - 1} more" if len(commands) > 1 else f"'{commands[0]}'"
