"""How is noded-mesh asked and told, on its control socket?"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

import grpc
import grpc.aio

from nodeapi.v1 import mesh_pb2
from noded.model.mesh import Contract, Part, Table
from noded.model.signals import Handled
from noded.ports import Held, PortError, Refused, TimedOut, Unavailable
from nodespec.contracts import read_schema
from nodespec.manifest import Check

log = logging.getLogger("noded")

SERVICE = "/nodeapi.v1.MeshControl/"
LOOK = 2.0
"""Seconds for a word about which table it holds."""
TELL = 10.0
LARGEST_TABLE = 64 * 1024 * 1024
"""Bytes: a contract has up to 256 KiB."""
LARGEST_ANSWER = 16 * 1024 * 1024
OPTIONS = (
    ("grpc.max_send_message_length", LARGEST_TABLE),
    ("grpc.max_receive_message_length", LARGEST_ANSWER),
    # Else a mesh that was away for long would be looked for every two minutes only.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
)
MODES = {
    Check.REJECT: mesh_pb2.Contract.REJECT,
    Check.WARN: mesh_pb2.Contract.WARN,
    Check.OFF: mesh_pb2.Contract.OFF,
}
REFUSED = (
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
)


class GrpcMesh:
    """`noded.ports.Mesh` on the control socket of noded-mesh; administrators' questions go on by it too."""

    def __init__(
        self, control: Path, release: Callable[[str], Path], wall: Callable[[], float] = time.time
    ) -> None:
        """`release` is the folder of a digest, where the schemas lie."""
        self._control, self._release, self._wall = control, release, wall
        self._channel: grpc.aio.Channel | None = None
        self._schemas: dict[tuple[str, str], str] = {}

    @property
    def away(self) -> str:
        """What a person is told while it does not answer."""
        return f"noded-mesh does not answer at {self._control}: systemctl status noded-mesh"

    async def held(self) -> Held:
        asked = mesh_pb2.MapRequest(brief=True)
        answer = mesh_pb2.MapReply.FromString(await self._ask("GetMap", asked, LOOK))
        return Held(answer.generation, answer.table)

    async def handled(self, versions: Mapping[str, Collection[str]]) -> tuple[Handled, ...]:
        asked = mesh_pb2.MapRequest(brief=True, nodes=sorted(versions))
        answer = mesh_pb2.MapReply.FromString(await self._ask("GetMap", asked, LOOK))
        told: list[Handled] = []
        for flow in answer.flows:
            counts = {count.version: (count.first, count.first_failed) for count in flow.versions}
            wanted = versions.get(flow.consumer, ())
            told += [Handled(flow.consumer, each, *counts.get(each, (0, 0))) for each in wanted]
        return tuple(told)

    async def damaged(self) -> tuple[mesh_pb2.Damaged, ...]:
        """Files that it found damaged, until somebody removes them."""
        asked = mesh_pb2.MapRequest(brief=True, damaged=True)
        return tuple(mesh_pb2.MapReply.FromString(await self._ask("GetMap", asked, LOOK)).damaged)

    async def install(self, table: Table) -> None:
        self._schemas = await asyncio.to_thread(self._read, table)
        await self._ask("SetTable", message_of(table, self._schemas, self._wall()), TELL)

    async def unary(self, method: str, request: bytes, timeout: float) -> bytes:
        """The answer as it came. Raises AioRpcError as the mesh answered, Unavailable where none ever was."""
        ask: Any = self._line().unary_unary(SERVICE + method)
        return cast(bytes, await ask(request, timeout=timeout))

    async def stream(self, method: str, request: bytes) -> AsyncGenerator[bytes, None]:
        """Likewise; it goes on until either side ends it."""
        ask: Any = self._line().unary_stream(SERVICE + method)
        call = ask(request)
        try:
            async for answer in call:
                yield answer
        finally:
            call.cancel()

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def _ask(self, method: str, request: Any, timeout: float) -> bytes:
        try:
            return await self.unary(method, request.SerializeToString(), timeout)
        except grpc.aio.AioRpcError as error:
            self._raise(method, error)

    def _raise(self, method: str, error: grpc.aio.AioRpcError) -> NoReturn:
        text = f"cannot call {method} of noded-mesh: {error.details() or error.code().name}"
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise Unavailable(self.away) from error
        kind: type[PortError] = Refused if error.code() in REFUSED else TimedOut
        raise kind(text) from error

    def _line(self) -> grpc.aio.Channel:
        # Most hosts have no mesh: nothing is opened or tried until there is one.
        if self._channel is None and not self._control.exists():
            raise Unavailable(self.away)
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(f"unix:{self._control}", options=OPTIONS)
        return self._channel

    def _read(self, table: Table) -> dict[tuple[str, str], str]:
        """The schemas that the table names. A release never changes, so each is read once."""
        wanted = {
            (c.digest, c.schema): c for part in table.parts.values() for c in part.contracts if c.schema
        }
        return {key: self._schemas.get(key) or self._text(c) for key, c in wanted.items()}

    def _text(self, contract: Contract) -> str:
        try:
            return read_schema(self._release(contract.digest), contract.schema)
        except (OSError, ValueError) as error:
            # Better all events of this type than none of any.
            text = "the contract of %s cannot be read, its events are not judged: %s: %s"
            log.error(text, contract.type, contract.schema, error)
            return ""


def message_of(table: Table, schemas: Mapping[tuple[str, str], str], now: float) -> mesh_pb2.Table:
    """`schemas` by digest and path; `now` in seconds since the epoch, from which the shares' lease counts."""
    said = mesh_pb2.Table(number=table.number, host=table.host, gone=table.gone)
    for name, part in table.parts.items():
        for speaker in part.speakers:
            said.members.add(instance=speaker.instance, node=name, version=speaker.version, uid=speaker.uid)
        if part.subscriptions:
            _consumer(said.consumers.add(node=name, stable=part.stable), part, now + table.lease)
        for contract in part.contracts:
            said.contracts.add(
                type=contract.type,
                node=name,
                version=contract.version,
                schema=schemas.get((contract.digest, contract.schema), ""),
                mode=MODES[contract.check],
            )
    return said


def _consumer(said: mesh_pb2.Consumer, part: Part, until: float) -> None:
    for subscription in part.subscriptions:
        said.consumed.add(type=subscription.type, ordered=subscription.ordered)
    if part.share:
        said.shares.add(version=part.canary, share=part.share, valid_until=until)
