"""How does noded talk to the launcher? One JSON object per line over a unix socket."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from noded.ports import Conflict, NotFound, PortError, Refused, TimedOut, Unavailable

LONGEST_LINE = 16 * 1024 * 1024
"""A listing of a full host, or what a program printed."""
LONGEST_ORDER = 256 * 1024
"""The launcher closes the connection on a longer line, and with it everybody's."""
READING = frozenset(["hello", "status", "list", "inspect"])
"""Orders after which nothing can be different."""
KINDS: Mapping[str, type[PortError]] = {
    "refused": Refused,
    "conflict": Conflict,
    "not_found": NotFound,
    "unavailable": Unavailable,
    "timed_out": TimedOut,
}
Waiting: TypeAlias = asyncio.Future[Mapping[str, object]]
Asked: TypeAlias = dict[int, Waiting]
Told: TypeAlias = Callable[[Mapping[str, object]], None]


class LauncherSocket:
    """Asks the launcher. A connection that breaks is made again with the next question."""

    def __init__(self, path: Path, group: asyncio.TaskGroup) -> None:
        self._path = path
        self._group = group
        self._writer: asyncio.StreamWriter | None = None
        self._asked: Asked = {}
        self._number = 0
        self._opening = asyncio.Lock()
        self.told: Told = lambda event: None
        """Gets what the launcher says without being asked."""

    @property
    def connected(self) -> bool:
        return self._writer is not None and not self._writer.is_closing()

    async def ask(self, op: str, within: float = 10.0, **fields: object) -> Mapping[str, object]:
        """The result of an order. Raises the PortError that fits the launcher's refusal."""
        instance = fields.get("instance")
        what = f"cannot {op} {instance}" if instance else f"cannot ask the launcher ({op})"
        answer = await self._exchange(op, what, within, fields)
        if answer.get("ok") is True:
            result = answer.get("result")
            return result if isinstance(result, Mapping) else {}
        kind = KINDS.get(str(answer.get("kind")), Refused)
        raise kind(str(answer.get("error", f"{what}: refused without a reason")))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def _exchange(
        self, op: str, what: str, within: float, fields: Mapping[str, object]
    ) -> Mapping[str, object]:
        self._number += 1
        number = self._number
        line = json.dumps({"id": number, "op": op, **fields}, separators=(",", ":")).encode() + b"\n"
        if len(line) > LONGEST_ORDER:
            raise Refused(f"{what}: the order has {len(line)} bytes, at most {LONGEST_ORDER} are possible")
        try:
            async with asyncio.timeout(within):
                writer, asked = await self._open(what)
                waiting: Waiting = asyncio.get_running_loop().create_future()
                asked[number] = waiting
                try:
                    writer.write(line)
                    await writer.drain()
                    return await waiting
                finally:
                    del asked[number]
        except TimeoutError as error:
            raise TimedOut(f"{what}: the launcher did not answer in {within:.0f} s") from error
        except OSError as error:
            text = f"{what}: the launcher went away: {error}"
            if op in READING:
                raise Unavailable(text) from error
            raise TimedOut(f"{text}; it may have been done") from error

    async def _open(self, what: str) -> tuple[asyncio.StreamWriter, Asked]:
        async with self._opening:
            if self._writer is not None and not self._writer.is_closing():
                return self._writer, self._asked
            try:
                reader, self._writer = await asyncio.open_unix_connection(str(self._path), limit=LONGEST_LINE)
            except OSError as error:
                text = f"{what}: no launcher at {self._path} ({error.strerror}): is noded-launcher running?"
                raise Unavailable(text) from error
            # Answers to an earlier connection's questions will never come on this one.
            self._asked = {}
            self._group.create_task(_read(reader, self._writer, self._asked, self._hear))
            return self._writer, self._asked

    def _hear(self, event: Mapping[str, object]) -> None:
        self.told(event)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked, told: Told) -> None:
    try:
        while line := await reader.readline():
            _take(line, asked, told)
    except (OSError, ValueError, RecursionError):
        pass
    finally:
        writer.close()
        for waiting in asked.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("connection closed"))


def _take(line: bytes, asked: Asked, told: Told) -> None:
    message = json.loads(line)
    if isinstance(message, dict) and "event" in message:
        told(message)
        return
    number = message.get("id") if isinstance(message, dict) else None
    waiting = asked.get(number) if isinstance(number, int) else None
    if waiting is not None and not waiting.done():
        waiting.set_result(message)
