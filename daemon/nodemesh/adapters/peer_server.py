"""How do meshes of other hosts come in? By TLS, with a certificate that names the host they say they are."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from nodeapi.v1.mesh_pb2 import Announced, Announcement, ConsumeRequest, Subscribe
from nodemesh.adapters.broker import Session
from nodemesh.adapters.peer_tls import Certificates, for_server, is_named
from nodemesh.model.frame import LONGEST_FRAME
from nodemesh.ports import Refused, Unavailable

SERVICE = "nodeapi.v1.MeshPeer"
BEAT = 1.0
"""Seconds after which we say that we are there."""
DEAF = 4.0
"""Seconds without a word, after which a peer is gone."""
LONGEST_TEXT = 1500
LONGEST_DELIVERY = 1024
"""Bytes that a mesh adds to a frame."""
OPTIONS = (
    ("grpc.max_receive_message_length", LONGEST_FRAME + LONGEST_DELIVERY),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.lookahead_bytes", 4 * 1024 * 1024),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    # Without ping_timeout_ms the others never find a peer that is frozen.
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 1_000),
    ("grpc.http2.ping_timeout_ms", 1_000),
)
_log = logging.getLogger("nodemesh")


class Broker(Protocol):
    async def announce(self, said: Announcement) -> None:
        """Raises Refused, Unavailable."""
        ...

    def peer_session(self, host: str, subscribe: Subscribe) -> Session:
        """Raises Refused."""
        ...


@asynccontextmanager
async def for_peers(
    listen: str, broker: Broker, certificates: Certificates | None, hosts: Collection[str], generation: str
) -> AsyncIterator[None]:
    """Served while the block runs; `hosts` are let in. Raises Refused for an address that cannot be had."""
    if listen == "off" or certificates is None:
        yield
        return
    server = grpc.aio.server(options=OPTIONS)
    peers = _Peers(broker, hosts, generation)
    methods: dict[str, Any] = {
        "Announce": grpc.unary_unary_rpc_method_handler(
            peers.announce, Announcement.FromString, Announced.SerializeToString
        ),
        "Carry": grpc.stream_stream_rpc_method_handler(peers.carry),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    host, _, port = listen.rpartition(":")
    address = f"[{host}]:{port}" if ":" in host else listen
    try:
        server.add_secure_port(address, for_server(certificates))
        await server.start()
    except RuntimeError as error:
        text = f"cannot listen for peers on {listen}: choose another in [mesh] peer_listen"
        raise Refused(text) from error
    try:
        yield
    finally:
        await server.stop(0)


class _Peers:
    def __init__(self, broker: Broker, hosts: Collection[str], generation: str) -> None:
        self._broker, self._hosts, self._generation = broker, hosts, generation

    async def announce(self, said: Announcement, context: Any) -> Announced:
        await self._check(said.host, context)
        try:
            await self._broker.announce(said)
        except Refused as refused:
            await _refuse(context, grpc.StatusCode.FAILED_PRECONDITION, str(refused))
        except Unavailable as away:
            await _refuse(context, grpc.StatusCode.UNAVAILABLE, str(away))
        return Announced(generation=self._generation)

    async def carry(self, _: object, context: Any) -> None:
        try:
            subscribe = _request(await _heard(context) or b"").subscribe
        except (Refused, Unavailable) as error:
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        host = subscribe.instance.removeprefix("peer:")
        await self._check(host, context)
        try:
            session = self._broker.peer_session(host, subscribe)
        except Refused as refused:
            await _refuse(context, grpc.StatusCode.FAILED_PRECONDITION, str(refused))
        await _converse(context, session)

    async def _check(self, host: str, context: Any) -> None:
        if not is_named(context.auth_context(), host):
            text = f"the certificate is not {host!r}'s: expected spiffe://noded/{host} or DNS:{host} in it"
        elif host not in self._hosts:
            text = f"{host!r} is no peer of this host: add it to [mesh] peers in noded.toml here"
        else:
            return
        _log.warning("a peer at %s was refused: %s", context.peer(), text)
        await _refuse(context, grpc.StatusCode.PERMISSION_DENIED, text)


class _Finished(Exception):
    """The peer has said all."""


async def _converse(context: Any, session: Session) -> None:
    status, why = grpc.StatusCode.OK, ""
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_write(context, session, tasks))
            while (said := await _heard(context)) is not None:
                session.settle(_request(said).settle)
            raise _Finished
    except* _Finished:
        pass
    except* Refused as refused:
        status, why = grpc.StatusCode.FAILED_PRECONDITION, str(refused.exceptions[0])
    except* Unavailable as away:
        status, why = grpc.StatusCode.UNAVAILABLE, str(away.exceptions[0])
    finally:
        session.close()
    if why:
        await _refuse(context, status, why)


async def _write(context: Any, session: Session, tasks: asyncio.TaskGroup) -> None:
    while True:
        while (frame := session.take_now()) is not None:
            await context.write(frame)
        taking = tasks.create_task(session.take())
        done: set[asyncio.Task[bytes]] = set()
        while not done:
            # Never cancelled while the stream goes on: what it takes would be in nobody's hands.
            done, _ = await asyncio.wait([taking], timeout=BEAT)
            await context.write(taking.result() if done else b"")


async def _heard(context: Any) -> bytes | None:
    try:
        async with asyncio.timeout(DEAF):
            said = await context.read()
    except TimeoutError:
        raise Unavailable(f"nothing was heard for {DEAF:g} s") from None
    return None if said is grpc.aio.EOF else bytes(said)


def _request(said: bytes) -> ConsumeRequest:
    try:
        return ConsumeRequest.FromString(said)
    except DecodeError as error:
        raise Refused(f"expected a message nodeapi.v1.ConsumeRequest: {error}") from error


async def _refuse(context: Any, status: grpc.StatusCode, text: str) -> NoReturn:
    await context.abort(status, text[:LONGEST_TEXT])
    raise AssertionError("abort raises")
