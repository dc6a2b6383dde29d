"""How is the mesh asked by noded? Administrators ask noded, which knows their role."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import grpc
import grpc.aio

from nodeapi.v1 import mesh_pb2
from nodemesh.ports import NotFound, Refused, Unavailable

SERVICE = "nodeapi.v1.MeshControl"
LONGEST = 64 * 1024 * 1024
"""Bytes of a table: a contract has up to 256 KiB."""


class Desk(Protocol):
    async def set_table(self, said: mesh_pb2.Table) -> mesh_pb2.TableSet: ...

    async def get_map(self, asked: mesh_pb2.MapRequest) -> mesh_pb2.MapReply: ...


def control_server(desk: Desk) -> grpc.aio.Server:
    server = grpc.aio.server(options=(("grpc.max_receive_message_length", LONGEST),))
    methods: dict[str, Any] = {
        "SetTable": _answer(desk.set_table, mesh_pb2.Table.FromString),
        "GetMap": _answer(desk.get_map, mesh_pb2.MapRequest.FromString),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    return server


def _answer(ask: Callable[[Any], Awaitable[Any]], read: Callable[[bytes], Any]) -> Any:
    async def answer(request: Any, context: Any) -> Any:
        try:
            return await ask(request)
        except Refused as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except NotFound as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except Unavailable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

    return grpc.unary_unary_rpc_method_handler(answer, read, lambda reply: reply.SerializeToString())
