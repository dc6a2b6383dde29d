"""Who is calling on the control socket?

grpcio does not tell the uid behind a unix socket. So the public socket is ours: the kernel names
each caller (SO_PEERCRED), and the bytes go to a private gRPC socket over a connection bound to an
abstract name that carries uid, gid and pid, which the handler finds in `context.peer()`. The
private socket lies in a folder of mode 0700: only root and our own uid could bring another name.
"""

import asyncio
import contextlib
import errno
import os
import re
import secrets
import socket
import stat
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from noded.ports import Refused, Unavailable

CONNECTIONS = 256
SHARE = 4
"""One uid holds at most 1/SHARE of the connections, so that no user can lock the others out."""
CHUNK = 64 * 1024
GRACE = 1.0
LONGEST_PATH = 107
"""Bytes a unix socket's path may have (sun_path, without the final zero)."""

_CREDENTIALS = struct.Struct("iII")
_PEER = re.compile(r"unix-abstract:noded-control-(\d+)-(\d+)-(\d+)-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Caller:
    """The process that opened the connection; a pid may have been taken by another since."""

    uid: int
    gid: int
    pid: int


type_of_context = grpc.aio.ServicerContext[Any, Any]


def caller(context: "grpc.aio.ServicerContext[Any, Any]") -> Caller:
    """Raises PermissionError for a connection that did not come through the front door."""
    found = _PEER.fullmatch(context.peer())
    if found is None:
        raise PermissionError(f"the caller is unknown: {context.peer()!r} did not come through the control socket")
    uid, gid, pid = map(int, found.groups())
    return Caller(uid, gid, pid)
