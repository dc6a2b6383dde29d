"""Does every transport carry the same words, and end as it should?"""

import asyncio
import os
import signal
import sys
from typing import Any

import pytest

from nodemesh.adapters.patience import Patience
from nodemesh.model.frame import LONGEST_EVENT, LONGEST_FRAME
from tests.fakes.mesh_broker import MeshBroker
from tests.nodemesh.adapters.mesh_clients import (
    CLIENTS,
    ENVIRONMENT,
    Ended,
    GrpcClient,
    frame,
    hello,
    opened,
    run,
    settle,
    subscribe,
    until,
)

both = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.transport)


@both
def test_what_is_published_is_answered_and_delivered(client: Any) -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path, client(path) as shop:
            await shop.consume(subscribe("shop.2"))
            await until(lambda: bool(broker.sessions))
            await shop.publish(hello("shop.1"))
            first = await shop.published()
            assert (first.through, first.window > 0) == (0, True)
            await shop.publish(frame(1, 448))
            assert (await shop.published()).through == 448
            got = await shop.delivered()
            assert (got.head.first, len(got.data), got.delivery.number) == (1, 448, 1)
            await shop.consume(settle(1))
            await until(lambda: bool(broker.sessions[0].settled))
            assert broker.sessions[0].settled[0].through == 1
            assert broker.uids == {"shop.1": os.geteuid(), "shop.2": os.geteuid()}

    run(test())


@both
def test_the_longest_event_passes_whole(client: Any) -> None:
    async def test() -> None:
        async with opened(MeshBroker()) as path, client(path) as shop:
            await shop.publish(hello())
            await shop.published()
            await shop.consume(subscribe())
            await shop.publish(frame(1, size=LONGEST_EVENT))
            assert (await shop.published()).through == 1

    run(test())


@both
def test_much_passes_in_order_and_unchanged(client: Any) -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path, client(path) as shop:
            await shop.consume(subscribe())
            await until(lambda: bool(broker.sessions))
            await shop.publish(hello())
            await shop.published()

            async def send() -> None:
                for number in range(200):
                    await shop.publish(frame(1 + number * 400, 400))

            sending = asyncio.create_task(send())
            for number in range(200):
                got = await shop.delivered()
                assert (got.head.first, got.delivery.number) == (1 + number * 400, number + 1)
                assert list(got.data) == [bytes(256)] * 400
            await sending

    run(test())


@both
def test_a_stranger_is_told_and_sent_away(client: Any) -> None:
    async def test() -> None:
        async with opened(MeshBroker()) as path:
            for say in ("publish", "consume"):
                async with client(path) as shop:
                    await getattr(shop, say)(
                        hello("stranger.1") if say == "publish" else subscribe("stranger.1")
                    )
                    with pytest.raises(Ended, match="no instance of this host has that name and uid"):
                        await (shop.published() if say == "publish" else shop.delivered())

    run(test())


@both
def test_an_instance_may_wait_for_its_table(client: Any) -> None:
    async def test() -> None:
        broker = MeshBroker()
        broker.known.clear()
        async with opened(broker) as path, client(path) as shop:
            await shop.publish(hello())
            await shop.consume(subscribe())
            await asyncio.sleep(0.1)
            assert not broker.publishers and not broker.sessions
            broker.known.set()
            assert (await shop.published()).through == 0
            await until(lambda: bool(broker.sessions))

    run(test())


@both
def test_who_leaves_frees_what_it_held(client: Any) -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path:
            async with client(path) as shop:
                await shop.publish(hello())
                await shop.consume(subscribe())
                await shop.published()
                await until(lambda: bool(broker.sessions))
            await until(lambda: broker.publishers[0].closed and broker.sessions[0].closed)

    run(test())


@both
def test_who_leaves_while_the_log_is_full_frees_what_it_held(client: Any) -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path:
            async with client(path) as shop:
                await shop.publish(hello())
                await shop.published()
                broker.full.set()
                await shop.publish(frame(1))
                await asyncio.sleep(0.05)
            await until(lambda: broker.publishers[0].closed)

    run(test())


@both
def test_settling_goes_on_while_the_log_is_full(client: Any) -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path, client(path) as shop:
            await shop.publish(hello())
            await shop.published()
            await shop.consume(subscribe())
            await until(lambda: bool(broker.sessions))
            broker.full.set()
            for first in range(1, 9):  # a whole window
                await shop.publish(frame(1 + 448 * (first - 1), 448))
            await shop.consume(settle(0))
            await until(lambda: bool(broker.sessions[0].settled))
            assert broker.publishers[0].through == 0
            broker.full.clear()
            while (await shop.published()).through < 8 * 448:
                pass

    run(test())


def test_who_has_said_all_over_grpc_still_gets_its_answers() -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path, GrpcClient(path) as shop:
            await shop.publish(hello())
            await shop.published()
            broker.disk.clear()
            await shop.publish(frame(1, 100))
            await shop.publish(frame(101, 100))
            await shop.publishing.done_writing()
            await until(lambda: broker.publishers[0].through == 200)
            await asyncio.sleep(0.1)
            broker.disk.set()
            while (await shop.published()).through < 200:
                pass
            with pytest.raises(Ended) as ended:
                await shop.published()
            assert str(ended.value) == ""
            await until(lambda: broker.publishers[0].closed)

    run(test())


NONSENSE: dict[str, tuple[bytes, str]] = {
    "gap": (frame(7), "head.first: expected 1, found 7"),
    "garbage": (b"\xff" * 100, "expected field 1"),
    "cut": (frame(1)[:-5], "expected a message nodeapi.v1.Frame"),
    "empty": (b"", "expected field 1"),
    "second hello": (hello(), "head.first"),
    "too big": (frame(1, size=LONGEST_EVENT + 1), "at most 1048576 bytes"),
    "too many": (frame(1, 513, 1), "head.count: expected 1 to 512"),
}


@both
@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_from_a_publisher_ends_its_stream_with_the_reason(client: Any, kind: str) -> None:
    said, why = NONSENSE[kind]

    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path, client(path) as shop:
            await shop.publish(hello())
            await shop.published()
            await shop.publish(said)
            with pytest.raises(Ended, match=why):
                await shop.published()
            await until(lambda: broker.publishers[0].closed)

    run(test())


WORDS: dict[str, tuple[bytes, str]] = {
    "garbage": (b"\xff" * 100, "expected a message nodeapi.v1.ConsumeRequest"),
    "nothing": (b"", "found nothing"),
    "twice": (subscribe(), "found .*subscri"),
    "impossible": (settle(10), "settle.through: expected at most 0, found 10"),
}


@both
@pytest.mark.parametrize("kind", WORDS)
def test_nonsense_from_a_consumer_ends_its_session_with_the_reason(client: Any, kind: str) -> None:
    said, why = WORDS[kind]

    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path, client(path) as shop:
            await shop.consume(subscribe())
            await until(lambda: bool(broker.sessions))
            await shop.consume(said)
            with pytest.raises(Ended, match=why):
                await shop.delivered()
            await until(lambda: broker.sessions[0].closed)

    run(test())


@both
def test_settling_before_subscribing_is_refused(client: Any) -> None:
    async def test() -> None:
        async with opened(MeshBroker()) as path, client(path) as shop:
            await shop.consume(settle(0))
            with pytest.raises(Ended, match=r"expected .*subscri"):
                await shop.delivered()

    run(test())


@both
def test_a_message_longer_than_any_frame_is_refused_unread(client: Any) -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path, client(path) as shop:
            await shop.publish(hello())
            await shop.published()
            sending = asyncio.create_task(shop.publish(bytes(LONGEST_FRAME + 1)))
            with pytest.raises(Ended, match=r"bytes, found 1114114|larger than max"):
                await shop.published()
            await sending
            await until(lambda: broker.publishers[0].closed)

    run(test())


@both
def test_a_mistake_of_the_broker_hurts_one_client(client: Any) -> None:
    async def test() -> None:
        async with opened(MeshBroker()) as path, client(path) as other:
            await other.publish(hello())
            await other.published()
            async with client(path) as shop:
                await shop.consume(subscribe("mistake.1"))
                with pytest.raises(Ended, match="mistake"):
                    await shop.delivered()
            await other.publish(frame(1))
            assert (await other.published()).through == 1

    run(test())


@both
def test_a_client_that_never_reads_costs_little_and_is_sent_away(client: Any) -> None:
    async def test() -> None:
        broker = MeshBroker()
        impatient = opened(broker, Patience(unread=1.0, look=0.1))
        async with impatient as path, client(path) as stuck, client(path) as shop:
            await stuck.consume(subscribe("shop.2"))
            await until(lambda: bool(broker.sessions))
            if client.transport == "raw":
                stuck.writer.transport.pause_reading()
            await shop.publish(hello())
            for number in range(100):
                await shop.published()
                await shop.publish(frame(1 + 448 * number, 448))
            session = broker.sessions[0]
            await until(lambda: session.closed)
            # What lies in sockets, and in gRPC 4 MiB; 11 MiB were waiting.
            assert session.taken < (10 if client.transport == "raw" else 60)

    run(test())


CONSUME = """
import asyncio, sys
from pathlib import Path
from tests.nodemesh.adapters.mesh_clients import CLIENTS, subscribe

async def consume():
    async with CLIENTS[int(sys.argv[2])](Path(sys.argv[1])) as shop:
        await shop.consume(subscribe())
        await asyncio.sleep(60)

asyncio.run(consume())
"""


@both
def test_a_frozen_client_is_found(client: Any) -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker, Patience(deaf=3.0, look=0.1)) as path:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", CONSUME, str(path), str(CLIENTS.index(client))), env=ENVIRONMENT
            )
            await until(lambda: bool(broker.sessions))
            child.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1.0)
            assert not broker.sessions[0].closed
            await until(lambda: broker.sessions[0].closed)
            child.kill()
            await child.wait()

    run(test())


@both
def test_stopping_ends_open_streams(client: Any) -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path:
            shop = client(path)
            await shop.__aenter__()
            await shop.publish(hello())
            await shop.consume(subscribe())
            await shop.published()
            await until(lambda: bool(broker.sessions))
        assert broker.publishers[0].closed and broker.sessions[0].closed
        await shop.__aexit__()

    run(test())
