"""Clients of the mesh that say only what a test lets them say: one for each transport, the same words."""

import asyncio
import os
import shutil
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from nodeapi.v1.mesh_pb2 import ConsumeRequest, Frame, Head, Published, Settle, Subscribe
from nodemesh.adapters import doors
from nodemesh.adapters.patience import Patience
from tests.fakes.mesh_broker import MeshBroker

GREETING = b"NODED-MESH/1\n"
FRAME, PUBLISHED, REQUEST, DELIVERED, REASON, BEAT = range(1, 7)
HEADER = struct.Struct("<IB")
SECONDS = 10.0
ROOT = Path(__file__).resolve().parents[3]
PLACES = os.pathsep.join(str(ROOT / each) for each in ("", "daemon", "proto", "nodes"))
ENVIRONMENT = {"PYTHONPATH": PLACES, "PYTHONDONTWRITEBYTECODE": "1"}


def hello(instance: str = "shop.1", stream: str = "") -> bytes:
    head = Head(source="/shop", stream=stream or f"{instance}-x", instance=instance, checked=True)
    return Frame(head=head).SerializeToString()


def frame(first: int, count: int = 1, size: int = 256, instance: str = "shop.1") -> bytes:
    head = Head(source="/shop", stream=f"{instance}-x", first=first, count=count, types=["shop.sold"])
    head.at = int(time.time() * 1e6)
    return Frame(head=head, data=[bytes(size)] * count).SerializeToString()


def subscribe(instance: str = "shop.1") -> bytes:
    return ConsumeRequest(subscribe=Subscribe(instance=instance, granted=1000)).SerializeToString()


def settle(through: int) -> bytes:
    return ConsumeRequest(settle=Settle(through=through)).SerializeToString()


def message(kind: int, body: bytes) -> bytes:
    return HEADER.pack(len(body) + 1, kind) + body


@contextmanager
def short_folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


@asynccontextmanager
async def opened(broker: MeshBroker, patience: Patience | None = None, **options: Any) -> AsyncIterator[Path]:
    """The socket of the mesh; nothing is left of it after the block."""
    with short_folder() as folder:
        async with asyncio.TaskGroup() as tasks:
            path = folder / "mesh.sock"
            async with doors.for_nodes(path, broker, tasks, patience=patience or Patience(), **options):
                yield path
            assert not tasks._tasks


async def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for may be anything
            await asyncio.sleep(0.01)


class Ended(Exception):
    """The mesh ended it; why."""


class RawClient:
    transport = "raw"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.heard: dict[int, list[bytes]] = {PUBLISHED: [], DELIVERED: [], BEAT: []}

    async def __aenter__(self) -> "RawClient":
        self.reader, self.writer = await asyncio.open_unix_connection(str(self.path))
        self.writer.write(GREETING)
        assert await asyncio.wait_for(self.reader.readexactly(len(GREETING)), SECONDS) == GREETING
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def publish(self, said: bytes) -> None:
        await self._say(FRAME, said)

    async def consume(self, said: bytes) -> None:
        await self._say(REQUEST, said)

    async def published(self) -> Published:
        return Published.FromString(await self._hear(PUBLISHED))

    async def delivered(self) -> Frame:
        return Frame.FromString(await self._hear(DELIVERED))

    async def _say(self, kind: int, body: bytes) -> None:
        self.writer.write(message(kind, body))
        with suppress(ConnectionError):  # the reason can still be read
            await self.writer.drain()

    async def _hear(self, wanted: int) -> bytes:
        async with asyncio.timeout(SECONDS):
            while not self.heard[wanted]:
                kind, body = await self.next()
                if kind == REASON:
                    raise Ended(body.decode())
                self.heard[kind].append(body)
        return self.heard[wanted].pop(0)

    async def next(self) -> tuple[int, bytes]:
        try:
            length, kind = HEADER.unpack(await self.reader.readexactly(HEADER.size))
            return kind, await self.reader.readexactly(length - 1)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Ended("") from error


class GrpcClient:
    transport = "grpc"

    def __init__(self, path: Path) -> None:
        self.channel = grpc.aio.insecure_channel(
            f"unix:{path}", [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        )
        self.publishing: Any = None
        self.consuming: Any = None

    async def __aenter__(self) -> "GrpcClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def publish(self, said: bytes) -> None:
        if self.publishing is None:
            self.publishing = self.channel.stream_stream("/nodeapi.v1.Mesh/Publish")()
        await _written(self.publishing, said)

    async def consume(self, said: bytes) -> None:
        if self.consuming is None:
            self.consuming = self.channel.stream_stream("/nodeapi.v1.Mesh/Consume")()
        await _written(self.consuming, said)

    async def published(self) -> Published:
        return Published.FromString(await _read(self.publishing))

    async def delivered(self) -> Frame:
        return Frame.FromString(await _read(self.consuming))


async def _written(call: Any, said: bytes) -> None:
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the reason can still be read
        await asyncio.wait_for(call.write(said), SECONDS)


async def _read(call: Any) -> bytes:
    try:
        said = await asyncio.wait_for(call.read(), SECONDS)
    except grpc.aio.AioRpcError as error:
        raise Ended(f"{error.code().name}: {error.details()}") from error
    if said is grpc.aio.EOF:
        code, details = await call.code(), await call.details()
        raise Ended(f"{code.name}: {details}" if code is not grpc.StatusCode.OK else "")
    return bytes(said)


CLIENTS: tuple[type[RawClient] | type[GrpcClient], ...] = (RawClient, GrpcClient)
