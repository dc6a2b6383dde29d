"""The way to the mesh that any language can take: gRPC, with the bytes of nodekit's own codec.

The only module of nodekit that needs a package; imported only when the raw way is not there or not wanted.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from .fields import WireError
from .raw import DELIVERED, FRAME, LONGEST, PUBLISHED, Hear, NotSpoken

CONNECT_TIME = 10.0
# Ended by a stop of the node anyway; this is for a reconnect.
CLOSE_TIME = 1.0
OPTIONS = (
    ("grpc.max_receive_message_length", LONGEST),
    ("grpc.max_send_message_length", LONGEST),
    ("grpc.http2.lookahead_bytes", 4 * 1024 * 1024),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Without ping_timeout_ms a frozen mesh is not noticed, whatever keepalive_timeout_ms says.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),
)


async def connect_grpc(path: str, hear: Hear) -> "GrpcConnection":
    """Raises TimeoutError, and NotSpoken when there is no grpc."""
    try:
        from grpc import aio
    except ImportError:
        raise NotSpoken(
            "it speaks only gRPC, and the package grpcio is not there: add grpcio to the requirements"
        ) from None
    channel = aio.insecure_channel(f"unix:{path}", options=OPTIONS)
    try:
        async with asyncio.timeout(CONNECT_TIME):
            await channel.channel_ready()
    except BaseException:
        await channel.close()
        raise
    return GrpcConnection(channel, hear)


class GrpcConnection:
    """Two streams on one channel, each begun when there is something to say on it."""

    def __init__(self, channel: Any, hear: Hear) -> None:
        self.channel, self.hear = channel, hear
        self.loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[str] = self.loop.create_future()
        self.queues: dict[str, asyncio.Queue[bytes | None]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def write(self, kind: int, body: bytes) -> None:
        name, answer = ("Publish", PUBLISHED) if kind == FRAME else ("Consume", DELIVERED)
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = asyncio.Queue()
            self.tasks.append(self.loop.create_task(self.stream(name, answer, queue)))
        queue.put_nowait(body)

    async def stream(self, name: str, answer: int, queue: "asyncio.Queue[bytes | None]") -> None:
        from grpc import RpcError

        call = self.channel.stream_stream(f"/nodeapi.v1.Mesh/{name}")(outgoing(queue))
        why = "the mesh ended the stream"
        try:
            async for body in call:
                self.hear(answer, body)
        except WireError as error:
            why = f"a message that cannot be read: {error}"
        except RpcError as error:
            why = getattr(error, "details", lambda: "")() or str(error)
        finally:
            if not self.gone.done():
                self.gone.set_result(why)

    async def ended(self) -> str:
        return await asyncio.shield(self.gone)

    async def close(self) -> None:
        for queue in self.queues.values():
            queue.put_nowait(None)
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=CLOSE_TIME)
            for task in self.tasks:
                task.cancel()
            await asyncio.wait(self.tasks)
        if not self.gone.done():
            self.gone.set_result("closed")
        await self.channel.close()


async def outgoing(queue: "asyncio.Queue[bytes | None]") -> AsyncIterator[bytes]:
    while (body := await queue.get()) is not None:
        yield body
