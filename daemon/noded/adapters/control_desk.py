"""With what does each call on the control socket do its work, and how does it refuse?"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc

from noded.adapters.answers import PendingAnswers, Reply
from noded.adapters.audit import Audit
from noded.adapters.control_status import Facts
from noded.adapters.mesh import GrpcMesh
from noded.adapters.node_logs import NodeLogs
from noded.adapters.releases import FolderReleases
from noded.adapters.roles import Roles
from noded.adapters.trials import LauncherTrials
from noded.launch import Launch
from noded.model.inputs import ApplyRequested, CommandRequested
from noded.model.instance import Instance
from noded.model.state import HostState
from noded.ports import Chronicle, Clock, Inbox, PortError, Processes, Registry
from nodespec.host import Settings

T = TypeVar("T")

ANSWER_TIME = 10.0
CHUNK = 64 * 1024
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
INSTANCE = re.compile(r"[a-z][a-z0-9-]{0,31}\.[0-9]{1,9}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,63}")
CODES = {
    "not found": grpc.StatusCode.NOT_FOUND,
    "refused": grpc.StatusCode.FAILED_PRECONDITION,
    "conflict": grpc.StatusCode.ABORTED,
}


@dataclass(frozen=True, slots=True)
class Desk:
    """What the control service works with."""

    view: Callable[[], HostState]
    changed: Callable[[], asyncio.Event]
    facts: Callable[[], Facts]
    clock: Clock
    inbox: Inbox
    answers: PendingAnswers
    chronicle: Chronicle
    registry: Registry
    releases: FolderReleases
    logs: NodeLogs
    roles: Roles
    audit: Audit
    processes: Processes
    launch: Callable[[Instance, tuple[str, ...]], Launch]
    """How a program is started inside an instance."""
    hello: Callable[[], Awaitable[Mapping[str, object]]]
    """What the launcher says of itself."""
    trials: LauncherTrials
    mesh: GrpcMesh
    settings: Settings
    policy: Path
    """Of policy.toml; noded.toml lies beside it."""
    build: str
    archives: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while one is made or taken in."""


async def refuse(context: Any, code: grpc.StatusCode, text: str) -> NoReturn:
    await context.abort(code, text)
    raise AssertionError("abort does not return")


async def reading(context: Any, work: Awaitable[T]) -> T:
    """What the work gives; a PortError is the caller's to read."""
    try:
        return await work
    except PortError as error:
        await refuse(context, grpc.StatusCode.INTERNAL, str(error))


async def decided(desk: Desk, ask: Callable[[int], ApplyRequested | CommandRequested], context: Any) -> Reply:
    """What the policy answered, when it accepted."""
    reply = await answered(desk, ask)
    if reply is None:
        text = f"noded took the request and has not decided within {ANSWER_TIME:.0f} s"
        await refuse(context, grpc.StatusCode.DEADLINE_EXCEEDED, text)
    if reply.kind:
        await refuse(context, CODES.get(reply.kind, grpc.StatusCode.INTERNAL), reply.text)
    return reply


async def answered(desk: Desk, ask: Callable[[int], ApplyRequested | CommandRequested]) -> Reply | None:
    """What the policy answered; None when it did not in time."""
    number, answer = desk.answers.open()
    desk.inbox.put(ask(number))
    try:
        async with asyncio.timeout(ANSWER_TIME):
            return await answer
    except TimeoutError:
        return None


async def receive(
    parts: AsyncIterator[Any], blob: Any, size: int, most: int, what: str, context: Any
) -> None:
    """Take in exactly what the header announced."""
    if not 0 < size <= most:
        text = f"{what} of {size} bytes: expected 1 to {most}"
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text)
    received = 0
    async for part in parts:
        received += len(part.chunk)
        if received > size:
            break
        blob.write(part.chunk)
    if received != size:
        text = f"{what} came as {received} bytes and {size} were announced"
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text)
    blob.flush()


async def named(node: str, context: Any) -> str:
    if not NAME.fullmatch(node):
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, f"not a node's name: {node[:40]!r}")
    return node
