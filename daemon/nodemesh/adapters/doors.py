"""Where do nodes come in, and where noded?"""

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc.aio

from nodeapi import door, socket_path
from nodemesh.adapters.broker import Broker
from nodemesh.adapters.grpc_nodes import node_server
from nodemesh.adapters.patience import USUAL, Patience
from nodemesh.adapters.raw_nodes import GREETING, RawNodes
from nodemesh.ports import Refused, Unavailable

CONNECTIONS = 2000
LEAST = 16
FILES = 3
"""Descriptors of one connection: two more when it speaks gRPC."""
OTHER_FILES = 256
"""Descriptors for the log, peers and all else."""
_log = logging.getLogger(__name__)


@asynccontextmanager
async def for_nodes(
    path: Path,
    broker: Broker,
    tasks: asyncio.TaskGroup,
    connections: int = CONNECTIONS,
    patience: Patience = USUAL,
    known: door.Known | None = None,
) -> AsyncIterator[None]:
    """The socket is there for every user while the block runs; who may speak is the broker's to say.

    Raises Refused for a path that cannot be used, Unavailable when another process serves it.
    """
    allowed = _allowed(connections)
    # In a checkout all nodes run as one user, and it is ours; elsewhere three quarters are enough for any.
    rooms = door.Rooms(allowed, share=allowed * 3 // 4, kept=max(1, allowed // 20), known=known)
    other = door.Other(GREETING, RawNodes(broker, patience).speak)
    with _told():
        async with door.serve(
            path, node_server(broker, patience), tasks, rooms, preface_time=patience.greeting, other=other
        ):
            yield


@asynccontextmanager
async def for_control(
    path: Path, server: grpc.aio.Server, tasks: asyncio.TaskGroup, group: int | None = None
) -> AsyncIterator[None]:
    """As above, for `server` and for root, our own user and that group; `door.caller` tells who calls."""
    rooms = door.Rooms(all=64, share=32, kept=32)
    with _told():
        async with door.serve(path, server, tasks, rooms, mode=0o660, group=group):
            yield


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except socket_path.InUse as error:
        raise Unavailable(str(error)) from error
    except socket_path.Unusable as error:
        raise Refused(str(error)) from error


def _allowed(connections: int) -> int:
    """So many of them as the limit of open files lets in; the limit is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections * FILES + OTHER_FILES
    if 0 <= soft < wanted:  # RLIM_INFINITY is -1
        soft = wanted if hard < 0 else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allowed = connections if soft < 0 else min(connections, (soft - OTHER_FILES) // FILES)
    if allowed < min(LEAST, connections):
        least = LEAST * FILES + OTHER_FILES
        raise Refused(f"limit of open files is {soft}: expected {least} or more; set LimitNOFILE={wanted}")
    if allowed < connections:
        text = "at most %d connections instead of %d: the limit of open files is %d; set LimitNOFILE=%d"
        _log.warning(text, allowed, connections, soft, wanted)
    return allowed
