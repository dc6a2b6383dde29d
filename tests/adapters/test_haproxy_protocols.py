"""Does the real HAProxy carry HTTP/2, gRPC and plain connections as routes promise?"""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from noded.model.route import Place, Route, Server
from tests.adapters.grpc_shop import GrpcServer, call
from tests.adapters.looped import at_end, looped, until
from tests.adapters.running_haproxy import RunningHaproxy, running
from tests.adapters.shop import CANARY, DRAINING, PINNED, SPARE, Shop, opened
from tests.adapters.small_client import ask_once, connect_once


@pytest.fixture
def haproxy() -> Iterator[RunningHaproxy]:
    with running() as one:
        yield one


@looped
async def test_http_2_and_http_1_have_the_same_port(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await shop.server(1)
    await shop.install((1, PINNED))
    assert await ask_once(shop.port) == (200, "shop.1")
    assert await asked_in_http_2(shop.port) == b"shop.1"


async def asked_in_http_2(port: int) -> bytes:
    """The body of one answer, by the few frames of RFC 9113 and words of RFC 7541 that it takes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    fields = b"\x82\x86\x84\x41\x01a"  # GET, http, /, and "a" as authority
    headers = len(fields).to_bytes(3, "big") + b"\x01\x05" + (1).to_bytes(4, "big") + fields
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0" + headers)
    try:
        async with asyncio.timeout(10):
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == 0:
                    return payload
    finally:
        writer.close()


# gRPC


def grpc_route(shop: Shop, *places: tuple[int, Place], share: float = 0.0, posts: bool = False) -> Route:
    servers = tuple(Server(f"shop.{n}", shop.address(n), place, h2=True) for n, place in places)
    lease = 60.0 if share else 0.0
    return Route("shop", shop.port, servers, share, lease, idempotent=("POST",) if posts else ("GET",))


async def grpc_server(shop: Shop, number: int) -> GrpcServer:
    server = await GrpcServer(f"shop.{number}", shop.address(number)).start()
    at_end(server.stop)
    return server


@looped
async def test_calls_of_one_channel_are_shared(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await grpc_server(shop, 1)
    two = await grpc_server(shop, 2)
    await shop.proxy.install(grpc_route(shop, (1, PINNED), (2, CANARY), share=0.5))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{shop.port}") as channel:
        told = Counter([await call(channel) for _ in range(300)])
        two.status = grpc.StatusCode.INTERNAL
        told += Counter([await call(channel) for _ in range(20)])
    assert set(told) == {"shop.1", "shop.2", "INTERNAL"}
    assert 90 <= told["shop.2"] <= 210
    counts = await shop.counts()
    # HAProxy sees 200 whatever the status in the trailer says: the program has to tell.
    assert counts["shop.2"].requests == told["shop.2"] + told["INTERNAL"]
    assert (counts["shop.2"].bad, counts["shop.2"].up) == (0, True)


@looped
async def test_a_killed_grpc_server_loses_no_call_where_calls_may_be_repeated(
    haproxy: RunningHaproxy,
) -> None:
    shop = await opened(haproxy)
    spare = await grpc_server(shop, 2)
    script = str(Path(__file__).with_name("grpc_shop.py"))
    process = subprocess.Popen(
        [sys.executable, script, str(haproxy.folder / "1.sock"), "shop.1"], stdout=subprocess.PIPE
    )
    assert process.stdout and process.stdout.readline() == b"ready\n"
    await shop.proxy.install(grpc_route(shop, (1, PINNED), (2, SPARE), posts=True))
    told: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{shop.port}") as channel:

        async def caller() -> None:
            while told["shop.2"] < 200:
                told[await call(channel)] += 1

        async def has_begun() -> bool:
            return told["shop.1"] >= 100

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(caller())
            await until(has_begun)
            process.kill()
            process.wait()
    process.stdout.close()
    assert set(told) == {"shop.1", "shop.2"}
    assert spare.calls >= 200
    assert (await shop.counts())["shop.1"].bad >= 1


@looped
async def test_one_version_may_speak_grpc_and_the_next_http(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await grpc_server(shop, 1)
    await shop.server(2)
    servers = (
        Server("shop.1", shop.address(1), PINNED, h2=True),
        Server("shop.2", shop.address(2), CANARY),
    )
    await shop.proxy.install(Route("shop", shop.port, servers, 1.0, 60.0))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{shop.port}") as channel:
        assert await call(channel) != "shop.1", "what answers is no gRPC"
        await shop.proxy.install(Route("shop", shop.port, servers))
        assert await call(channel) == "shop.1"


# Connections


class Greeter:
    """Says its name on every connection and keeps it open until the other side ends it."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.path = name, address.removeprefix("unix:")
        self.greeted = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> "Greeter":
        self._server = await asyncio.start_unix_server(self._greet, self.path)
        return self

    def die(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await reader.readline():
                self.greeted += 1
                writer.write(f"{self.name}\n".encode())
        except ConnectionError:
            pass
        finally:
            self._open.discard(writer)
            writer.close()


def tcp_route(shop: Shop, *places: tuple[int, Place], share: float = 0.0, lease: float = 60.0) -> Route:
    servers = tuple(Server(f"shop.{n}", shop.address(n), place) for n, place in places)
    return Route("shop", shop.haproxy.tcp, servers, share, lease if share else 0.0, tcp=True)


async def greeters(shop: Shop, count: int) -> list[Greeter]:
    return [await Greeter(f"shop.{n}", shop.address(n)).start() for n in range(1, count + 1)]


@looped
async def test_connections_are_shared_and_counted(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await greeters(shop, 2)
    assert await connect_once(haproxy.tcp) == "", "nobody serves there yet"
    await shop.proxy.install(tcp_route(shop, (1, PINNED), (2, CANARY), share=0.5))
    told = Counter([await connect_once(haproxy.tcp) for _ in range(300)])
    assert 90 <= told["shop.2"] <= 210
    assert told.total() == told["shop.1"] + told["shop.2"]
    counts = await shop.counts()
    for name in ("shop.1", "shop.2"):
        assert (counts[name].requests, counts[name].bad) == (told[name], 0)


@looped
async def test_the_share_of_connections_ends_with_its_lease(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await greeters(shop, 2)
    await shop.proxy.install(tcp_route(shop, (1, PINNED), (2, CANARY), share=1.0, lease=0.5))
    assert await connect_once(haproxy.tcp) == "shop.2"

    async def is_over() -> bool:
        return await connect_once(haproxy.tcp) == "shop.1"

    await until(is_over, 3)


@looped
async def test_a_dead_servers_connections_go_to_the_spare(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    one, _ = await greeters(shop, 2)
    await shop.proxy.install(tcp_route(shop, (1, PINNED), (2, SPARE)))
    assert await connect_once(haproxy.tcp) == "shop.1"
    one.die()
    assert {await connect_once(haproxy.tcp) for _ in range(20)} == {"shop.2"}
    counted = (await shop.counts())["shop.1"]
    assert (counted.requests, counted.bad) == (1 + counted.bad, counted.bad)
    assert counted.bad >= 1


@looped
async def test_a_connection_outlives_its_servers_pin(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await greeters(shop, 2)
    await shop.proxy.install(tcp_route(shop, (1, PINNED), (2, SPARE)))
    reader, writer = await asyncio.open_connection("127.0.0.1", haproxy.tcp)
    writer.write(b"hello\n")
    assert await reader.readline() == b"shop.1\n"
    await shop.proxy.install(tcp_route(shop, (1, DRAINING), (2, PINNED)))
    assert await connect_once(haproxy.tcp) == "shop.2"
    assert (await shop.counts())["shop.1"].sessions == 1
    writer.write(b"still there?\n")
    assert await reader.readline() == b"shop.1\n"
    writer.close()

    async def is_idle() -> bool:
        return (await shop.counts())["shop.1"].sessions == 0

    await until(is_idle)
    await shop.proxy.install(tcp_route(shop, (2, PINNED)))
    assert set(await shop.counts()) == {"shop.2"}
