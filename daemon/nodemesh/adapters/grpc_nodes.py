"""How do nodes speak to the mesh over gRPC, in any language?

Frames pass as the bytes they are. One task reads a stream, one writes it: grpc.aio allows no more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from nodeapi.door import caller
from nodeapi.v1.mesh_pb2 import ConsumeRequest, Published
from nodemesh.adapters.broker import Broker, Publisher, Session
from nodemesh.adapters.frames import last
from nodemesh.adapters.patience import Patience
from nodemesh.model.frame import LONGEST_FRAME
from nodemesh.ports import Refused, Unavailable

SERVICE = "nodeapi.v1.Mesh"
STREAMS = 4
"""Of one connection at a time: gRPC reads up to 4 MiB of each before anybody looks at it."""
LONGEST_TEXT = 1500
"""Characters of a refusal: the text travels in a header, and those of one answer hold 8 KiB."""
OPTIONS = (
    ("grpc.max_receive_message_length", LONGEST_FRAME),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_concurrent_streams", STREAMS),
    ("grpc.http2.lookahead_bytes", 4 * 1024 * 1024),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Clients may ask as often as every second whether the mesh is there.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
)

_Opened = TypeVar("_Opened", Publisher, Session)


def node_server(broker: Broker, patience: Patience) -> grpc.aio.Server:
    third = int(patience.deaf * 1000 / 3)
    # Without ping_timeout_ms the others never find a client that is frozen.
    deaf = (
        ("grpc.keepalive_time_ms", 2 * third),
        ("grpc.keepalive_timeout_ms", third),
        ("grpc.http2.ping_timeout_ms", third),
    )
    server = grpc.aio.server(options=OPTIONS + deaf)
    nodes = _Nodes(broker, patience)
    methods: dict[str, Any] = {
        "Publish": grpc.stream_stream_rpc_method_handler(nodes.publish),
        "Consume": grpc.stream_stream_rpc_method_handler(nodes.consume),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    return server


class _Nodes:
    def __init__(self, broker: Broker, patience: Patience) -> None:
        self._broker, self._patience = broker, patience

    async def publish(self, _: object, context: Any) -> None:
        uid, hello = caller(context).uid, await _first(context, self._patience.first)
        publisher = await _opened(context, self._broker.publisher(uid, hello))
        answers = _Answers(publisher)

        async def read() -> None:
            frame = b""
            while (said := await context.read()) is not grpc.aio.EOF:
                frame = said
                await publisher.feed(frame)
            # It has said all; the rest of the answers is still its.
            await answers.reach(last(frame) if frame else 0)

        write = _write(context, answers.take, self._patience.unread)
        await _converse(context, read, write, publisher.close)

    async def consume(self, _: object, context: Any) -> None:
        uid, request = caller(context).uid, ConsumeRequest()
        try:
            request = _request(await _first(context, self._patience.first), "subscribe")
        except Refused as refused:
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(refused))
        session = await _opened(context, self._broker.session(uid, request.subscribe))

        async def read() -> None:
            while (said := await context.read()) is not grpc.aio.EOF:
                session.settle(_request(said, "settle").settle)

        write = _write(context, session.take, self._patience.unread)
        await _converse(context, read, write, session.close)


@dataclass(slots=True)
class _Answers:
    """What a publisher was told so far."""

    publisher: Publisher
    through: int = -1
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self) -> bytes:
        """Whoever asks for the next one has passed on the last."""
        self.told.set()
        answer = await self.publisher.take()
        self.through = Published.FromString(answer).through
        return answer

    async def reach(self, sequence: int) -> None:
        while self.through < sequence or not self.told.is_set():
            self.told.clear()
            await self.told.wait()


async def _first(context: Any, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            first = await context.read()
    except TimeoutError:
        first = grpc.aio.EOF
    if first is grpc.aio.EOF:
        text = f"expected a first message within {seconds:g} s"
        await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text)
    return bytes(first)


async def _opened(context: Any, opening: Awaitable[_Opened]) -> _Opened:
    try:
        return await opening
    except Refused as refused:
        return await _refuse(context, grpc.StatusCode.PERMISSION_DENIED, str(refused))
    except Unavailable as away:
        return await _refuse(context, grpc.StatusCode.UNAVAILABLE, str(away))


async def _converse(
    context: Any,
    read: Callable[[], Awaitable[None]],
    write: Coroutine[None, None, None],
    close: Callable[[], None],
) -> None:
    """Until the client has said all, or is refused. First what it held is free: it may not even listen."""
    status, why = grpc.StatusCode.OK, ""
    try:
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(write)
            await read()
            writer.cancel()
    except* Refused as refused:
        status, why = grpc.StatusCode.FAILED_PRECONDITION, str(refused.exceptions[0])
    except* Unavailable as away:
        status, why = grpc.StatusCode.UNAVAILABLE, str(away.exceptions[0])
    finally:
        close()
    if why:
        await _refuse(context, status, why)


async def _write(context: Any, take: Callable[[], Awaitable[bytes]], unread: float) -> None:
    while True:
        message = await take()
        try:
            async with asyncio.timeout(unread):
                await context.write(message)
        except TimeoutError:
            raise Unavailable(f"nothing was read for {unread:g} s") from None


def _request(said: bytes, expected: str) -> ConsumeRequest:
    try:
        request = ConsumeRequest.FromString(said)
    except DecodeError as error:
        raise Refused(f"expected a message nodeapi.v1.ConsumeRequest: {error}") from error
    found = request.WhichOneof("say")
    if found != expected:
        raise Refused(f"expected `{expected}`, found {found or 'nothing'}")
    return request


async def _refuse(context: Any, status: grpc.StatusCode, text: str) -> NoReturn:
    await context.abort(status, text[:LONGEST_TEXT])
    raise AssertionError("abort raises")
