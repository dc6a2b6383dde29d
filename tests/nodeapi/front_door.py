"""A front door with a service behind it that says what it knows of the caller, and those who knock."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc

from nodeapi.door import CHUNK, Caller, Rooms, caller, serve
from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1.control_pb2_grpc import (
    ControlServiceServicer,
    ControlServiceStub,
    add_ControlServiceServicer_to_server,
)

ROOT = Path(__file__).resolve().parents[2]


class Control(ControlServiceServicer):
    """Answers with what it knows of the caller."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.watches = 0
        self.watches_ended = 0

    async def GetVersion(self, request: Any, context: Any) -> pb.GetVersionResponse:
        self.callers.append(caller(context))
        return pb.GetVersionResponse(version=str(caller(context).uid))

    async def Command(self, request: Any, context: Any) -> pb.CommandResponse:
        return pb.CommandResponse(text="done")

    async def Apply(self, requests: Any, context: Any) -> pb.ApplyResponse:
        size = 0
        async for one in requests:
            size += len(one.chunk)
        return pb.ApplyResponse(text=str(size))

    async def ReadLogs(self, request: Any, context: Any) -> AsyncIterator[pb.ReadLogsResponse]:
        for _ in range(request.lines):
            yield pb.ReadLogsResponse(text=bytes(CHUNK))

    async def WatchStatus(self, request: Any, context: Any) -> AsyncIterator[pb.WatchStatusResponse]:
        self.watches += 1
        try:
            yield pb.WatchStatusResponse()
            await asyncio.Event().wait()
        finally:
            self.watches_ended += 1


@asynccontextmanager
async def unwrapped() -> AsyncIterator[None]:
    try:
        yield
    except BaseExceptionGroup as errors:
        assert len(errors.exceptions) == 1
        raise errors.exceptions[0] from None


def to_all(path: Path, server: grpc.aio.Server, tasks: asyncio.TaskGroup, **options: Any) -> Any:
    return serve(path, server, tasks, **{"rooms": Rooms(all=256, share=64, kept=64), **options})


@asynccontextmanager
async def door(path: Path, served: Callable[..., Any] = to_all, **options: Any) -> AsyncIterator[Control]:
    control = Control()
    server = grpc.aio.server()
    add_ControlServiceServicer_to_server(control, server)
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    async with unwrapped(), asyncio.TaskGroup() as tasks:
        async with served(path, server, tasks, **options):
            yield control
        assert not tasks._tasks  # the block leaves no task behind


@asynccontextmanager
async def client(path: Path) -> AsyncIterator[Any]:
    # Without its own subchannel pool, a channel may reuse the connection of an earlier test step.
    async with grpc.aio.insecure_channel(f"unix:{path}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield ControlServiceStub(channel)  # type: ignore[no-untyped-call]


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for may be anything
            await asyncio.sleep(0.01)


PROBE = """
import os, sys, grpc
from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1.control_pb2_grpc import ControlServiceStub
uid = int(sys.argv[2])
os.setgroups([]), os.setgid(uid), os.setuid(uid)
stub = ControlServiceStub(grpc.insecure_channel(f"unix:{sys.argv[1]}"))
try:
    print(stub.GetVersion(pb.GetVersionRequest(), timeout=10).version)
    print(stub.Command(pb.CommandRequest(verb=pb.VERB_STOP, node="shop"), timeout=10).text)
except grpc.RpcError as error:
    print(error.code().name, error.details())
"""


async def as_uid(uid: int, path: Path) -> list[str]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROBE, str(path), str(uid)),
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "proto"), "GRPC_VERBOSITY": "NONE", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    out, _ = await asyncio.wait_for(child.communicate(), 20)
    return out.decode().splitlines()
