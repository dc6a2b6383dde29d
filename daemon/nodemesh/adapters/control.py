"""How is the mesh asked by noded? Administrators ask noded, which knows their role."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Protocol

import grpc
import grpc.aio

from nodeapi.v1 import mesh_pb2
from nodemesh.ports import NotFound, Refused, Unavailable

SERVICE = "nodeapi.v1.MeshControl"
LONGEST = 64 * 1024 * 1024
"""Bytes of a table: a contract has up to 256 KiB."""
STALLED = 30.0
"""Seconds after which who reads nothing of what they asked for is sent nothing more."""
Dead = mesh_pb2.DeadRequest


class Desk(Protocol):
    async def set_table(self, said: mesh_pb2.Table) -> mesh_pb2.TableSet: ...

    async def get_map(self, asked: mesh_pb2.MapRequest) -> mesh_pb2.MapReply: ...

    @property
    def tail(self) -> "Tail": ...

    @property
    def show(self) -> "Show": ...

    @property
    def person(self) -> "Person": ...

    @property
    def letters(self) -> "Letters": ...

    @property
    def traces(self) -> "Traces": ...


class Tail(Protocol):
    def follow(self, asked: mesh_pb2.TailRequest) -> AsyncIterator[mesh_pb2.Event]: ...


class Show(Protocol):
    async def event(self, asked: mesh_pb2.ShowRequest) -> mesh_pb2.Event: ...


class Person(Protocol):
    async def send(self, asked: mesh_pb2.SendRequest) -> mesh_pb2.SendReply: ...

    async def replay(self, asked: mesh_pb2.ReplayRequest) -> mesh_pb2.ReplayReply: ...


class Letters(Protocol):
    async def listed(self, asked: mesh_pb2.DeadRequest) -> mesh_pb2.DeadReply: ...

    async def requeue(self, asked: mesh_pb2.DeadRequest) -> mesh_pb2.DeadReply: ...

    async def drop(self, asked: mesh_pb2.DeadRequest) -> mesh_pb2.DeadReply: ...


class Traces(Protocol):
    async def get(self, asked: mesh_pb2.TraceRequest) -> mesh_pb2.TraceReply: ...


def control_server(desk: Desk, stalled: float = STALLED) -> grpc.aio.Server:
    server = grpc.aio.server(options=(("grpc.max_receive_message_length", LONGEST),))
    methods: dict[str, Any] = {
        "SetTable": _answer(desk.set_table, mesh_pb2.Table),
        "GetMap": _answer(desk.get_map, mesh_pb2.MapRequest),
        "Tail": _stream(desk.tail.follow, mesh_pb2.TailRequest, stalled),
        "Show": _answer(desk.show.event, mesh_pb2.ShowRequest),
        "Send": _answer(desk.person.send, mesh_pb2.SendRequest),
        "Replay": _answer(desk.person.replay, mesh_pb2.ReplayRequest),
        "ListDead": _answer(desk.letters.listed, Dead),
        "RequeueDead": _answer(desk.letters.requeue, Dead),
        "DropDead": _answer(desk.letters.drop, Dead),
        "GetTrace": _answer(desk.traces.get, mesh_pb2.TraceRequest),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    return server


def _answer(ask: Callable[[Any], Awaitable[Any]], kind: Any) -> Any:
    async def answer(request: Any, context: Any) -> Any:
        try:
            return await ask(request)
        except (Refused, NotFound, Unavailable) as error:
            await context.abort(_code(error), str(error))

    return grpc.unary_unary_rpc_method_handler(answer, kind.FromString, _written)


def _stream(ask: Callable[[Any], AsyncIterator[Any]], kind: Any, stalled: float) -> Any:
    async def answers(request: Any, context: Any) -> None:
        stream: Any = ask(request)
        try:
            async with aclosing(stream):
                async for event in stream:
                    await _send(context, event, stalled)
        except (Refused, NotFound, Unavailable) as error:
            await context.abort(_code(error), str(error))

    return grpc.unary_stream_rpc_method_handler(answers, kind.FromString, _written)


async def _send(context: Any, event: Any, stalled: float) -> None:
    try:
        async with asyncio.timeout(stalled):
            await context.write(event)
    except TimeoutError as error:
        text = f"nothing was read for {stalled:g} s, so that nothing more is sent"
        raise Refused(f"{text}; go on with: nodectl events tail --since 1m") from error


def _code(error: Exception) -> grpc.StatusCode:
    if isinstance(error, Refused):
        return grpc.StatusCode.FAILED_PRECONDITION
    return grpc.StatusCode.NOT_FOUND if isinstance(error, NotFound) else grpc.StatusCode.UNAVAILABLE


def _written(message: Any) -> Any:
    return message.SerializeToString()
