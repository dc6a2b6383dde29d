"""How is the mesh of another host asked?"""

import asyncio
from typing import Any

import grpc
import grpc.aio

from nodeapi.v1.mesh_pb2 import Announcement, ConsumeRequest
from nodemesh.adapters.peer_server import OPTIONS, SERVICE
from nodemesh.adapters.peer_tls import Certificates, for_client
from nodemesh.ports import Refused, Unavailable

RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
_REFUSALS = (
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
)


class PeerCalls:
    """Of one peer; its certificate must name it."""

    def __init__(self, name: str, address: str, certificates: Certificates) -> None:
        self.name, self.address = name, address
        self._certificates = certificates
        self._life = 0
        self._channel: grpc.aio.Channel | None = None
        self._old: list[grpc.aio.Channel] = []

    @property
    def lives(self) -> int:
        """Rises when certificates were replaced: older streams should be begun again."""
        return self._life

    async def announce(self, said: Announcement) -> None:
        """Raises Refused, Unavailable."""
        call: Any = self._open().unary_unary(f"/{SERVICE}/Announce")
        try:
            await call(said.SerializeToString())
        except grpc.aio.AioRpcError as error:
            raise _told(error) from error
        await self._close_old()

    def carry(self) -> "Stream":
        return Stream(self._open())

    async def close(self) -> None:
        for channel in (self._channel, *self._old):
            if channel is not None:
                await channel.close()

    def _open(self) -> grpc.aio.Channel:
        pems = self._certificates.now()
        if self._channel is None or self._certificates.lives != self._life:
            if self._channel is not None:
                self._old.append(self._channel)
            self._life = self._certificates.lives
            options = (*OPTIONS, *RECONNECT, ("grpc.ssl_target_name_override", self.name))
            self._channel = grpc.aio.secure_channel(self.address, for_client(pems), options)
        return self._channel

    async def _close_old(self) -> None:
        """The new one works. Streams of the one before go on until they are begun anew."""
        while len(self._old) > 1:
            await self._old.pop(0).close()


class Stream:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._call: Any = channel.stream_stream(f"/{SERVICE}/Carry")()

    async def say(self, request: ConsumeRequest) -> None:
        try:
            await self._call.write(request.SerializeToString())
        except grpc.aio.AioRpcError as error:
            raise _told(error) from error
        except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise Unavailable("the stream is over") from error

    async def hear(self) -> bytes | None:
        try:
            said = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise _told(error) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # It was the call that was cancelled, with its channel.
            raise Unavailable("the stream is over") from None
        return None if said is grpc.aio.EOF else bytes(said)

    async def finish(self) -> None:
        try:
            await self._call.done_writing()
        except grpc.aio.AioRpcError as error:
            raise _told(error) from error
        except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise Unavailable("the stream is over") from error

    def close(self) -> None:
        self._call.cancel()


def _told(error: grpc.aio.AioRpcError) -> Refused | Unavailable:
    text = error.details() or error.code().name
    return Refused(text) if error.code() in _REFUSALS else Unavailable(text)
