"""Does the mesh serve a thousand connections, and one more beside them?"""

import asyncio
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeapi.door import GREETING as HTTP2
from tests.fakes.mesh_broker import MeshBroker
from tests.nodemesh.adapters.mesh_clients import (
    GrpcClient,
    RawClient,
    frame,
    hello,
    opened,
    run,
    subscribe,
    until,
)

MANY = 1000


@pytest.fixture(autouse=True)
def files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 6256:
        pytest.skip(f"needs 6256 open files, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 6256), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_nodes_publish_and_consume_over_raw_connections() -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path:
            shops = [await RawClient(path).__aenter__() for _ in range(MANY)]
            for number, shop in enumerate(shops):
                await shop.publish(hello(f"shop.{number}"))
                if number % 10 == 0:
                    await shop.consume(subscribe(f"shop.{number}"))
            for shop in shops:
                assert (await shop.published()).through == 0
            await until(lambda: len(broker.sessions) == MANY // 10)
            for number, shop in enumerate(shops):
                await shop.publish(frame(1, instance=f"shop.{number}"))
            for shop in shops:
                assert (await shop.published()).through == 1
            numbers = [(await shops[0].delivered()).delivery.number for _ in range(MANY)]
            assert numbers == list(range(1, MANY + 1))
            for shop in shops:
                await shop.__aexit__()
            await until(lambda: all(each.closed for each in (*broker.publishers, *broker.sessions)))

    run(test())


async def idle(path: Path) -> asyncio.StreamWriter:
    """A connection that speaks HTTP/2 and has no call."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(HTTP2 + b"\0\0\0\4\0\0\0\0\0")
    assert await asyncio.wait_for(reader.readexactly(9), 10)
    return writer


def test_a_thousand_idle_grpc_connections_leave_room_for_one_more() -> None:
    async def test() -> None:
        async with opened(MeshBroker()) as path:
            held = [await idle(path) for _ in range(MANY)]
            async with GrpcClient(path) as shop:
                await shop.publish(hello())
                assert (await shop.published()).through == 0
                await shop.publish(frame(1))
                assert (await shop.published()).through == 1
            for writer in held:
                writer.close()

    run(test())
