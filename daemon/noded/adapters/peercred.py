"""Who is calling on the control socket?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio

from nodeapi import door, socket_path
from nodeapi.door import Caller, Context, caller
from noded.ports import Refused, Unavailable

__all__ = ["Caller", "Context", "Handler", "caller", "serve"]

CONNECTIONS = 256
SHARE = 4
"""One uid holds at most 1/SHARE of the connections; the last share is kept for administrators, so that no
number of users can lock them out."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@asynccontextmanager
async def serve(
    path: Path,
    server: grpc.aio.Server,
    tasks: asyncio.TaskGroup,
    *,
    mode: int = 0o666,
    group: int | None = None,
    connections: int = CONNECTIONS,
    admins: frozenset[int] = frozenset(),
    preface_time: float = door.PREFACE_TIME,
) -> AsyncIterator[None]:
    """As `door.serve`; the last share of the connections is for root, our own uid and `admins`.

    Raises Refused for a path that cannot be used, Unavailable when another process serves it.
    """
    share = max(1, connections // SHARE)
    rooms = door.Rooms(connections, share, share, admins)
    try:
        async with door.serve(path, server, tasks, rooms, mode=mode, group=group, preface_time=preface_time):
            yield
    except socket_path.InUse as error:
        raise Unavailable(str(error)) from error
    except socket_path.Unusable as error:
        raise Refused(str(error)) from error
