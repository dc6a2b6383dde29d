"""What may administrators ask of the mesh through noded, which knows their role?

Questions and answers go on as they came. How it is told apart who may ask what stands in roles.py; only
noded itself gives the mesh its table.
"""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, NoReturn

import grpc
import grpc.aio

from nodeapi.v1 import mesh_pb2
from noded.adapters.control_desk import Desk, refuse
from noded.adapters.peercred import caller
from noded.adapters.roles import WHOLE
from noded.ports import Unavailable

SERVICE = "nodeapi.v1.MeshControl"
QUICK, SLOW = 10.0, 60.0
"""Seconds for an answer; what goes through the log, or writes to it for each event, gets the longer time."""
ASKED: dict[str, tuple[Any, float]] = {
    "GetMap": (mesh_pb2.MapRequest, QUICK),
    "Show": (mesh_pb2.ShowRequest, QUICK),
    "Send": (mesh_pb2.SendRequest, QUICK),
    "Replay": (mesh_pb2.ReplayRequest, SLOW),
    "ListDead": (mesh_pb2.DeadRequest, QUICK),
    "RequeueDead": (mesh_pb2.DeadRequest, SLOW),
    "DropDead": (mesh_pb2.DeadRequest, SLOW),
    "GetTrace": (mesh_pb2.TraceRequest, SLOW),
}
BROKEN = re.compile(
    "failed to connect|socket closed|connection reset|broken pipe|goaway|cancelling all calls", re.I
)
"""What gRPC says of itself, where the mesh says nothing."""


def relay(desk: Desk) -> grpc.GenericRpcHandler:
    methods: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(_answer(desk, name, seconds), asked.FromString)
        for name, (asked, seconds) in ASKED.items()
    }
    methods["Tail"] = grpc.unary_stream_rpc_method_handler(_answers(desk), mesh_pb2.TailRequest.FromString)
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def _answer(desk: Desk, name: str, longest: float) -> Callable[[Any, Any], Any]:
    async def answer(request: Any, context: Any) -> bytes:
        left = context.time_remaining()
        seconds = longest if left is None else min(longest, left)
        try:
            found = await desk.mesh.unary(name, request.SerializeToString(), seconds)
        except Unavailable as error:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, str(error))
        except grpc.aio.AioRpcError as error:
            await _passed_on(desk, error, context)
        if name not in WITHOUT_DATA or await desk.roles.of(caller(context)) >= WHOLE:
            return found
        return WITHOUT_DATA[name](found)

    return answer


def _answers(desk: Desk) -> Callable[[Any, Any], AsyncIterator[bytes]]:
    async def answers(request: Any, context: Any) -> AsyncIterator[bytes]:
        try:
            async with aclosing(desk.mesh.stream("Tail", request.SerializeToString())) as events:
                async for event in events:
                    yield event
        except Unavailable as error:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, str(error))
        except grpc.aio.AioRpcError as error:
            await _passed_on(desk, error, context)

    return answers


async def _passed_on(desk: Desk, error: grpc.aio.AioRpcError, context: Any) -> NoReturn:
    """The mesh's own word; where it has none, what a person can do."""
    code, text = error.code(), error.details() or error.code().name
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or (
        code is grpc.StatusCode.UNAVAILABLE and BROKEN.search(text)
    ):
        text = desk.mesh.away
    await refuse(context, code, text)


def _trace(found: bytes) -> bytes:
    reply = mesh_pb2.TraceReply.FromString(found)
    for event in reply.events:
        _emptied(event)
    return reply.SerializeToString()


def _dead(found: bytes) -> bytes:
    reply = mesh_pb2.DeadReply.FromString(found)
    for dead in reply.dead:
        _emptied(dead.event)
    return reply.SerializeToString()


def _emptied(event: mesh_pb2.Event) -> None:
    event.ClearField("data")
    event.ClearField("attributes")


WITHOUT_DATA = {"GetTrace": _trace, "ListDead": _dead}
"""Viewers learn what became of events, not what is in them."""
