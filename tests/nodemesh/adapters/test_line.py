"""What can a client without gRPC do to the mesh, and how long?"""

import asyncio
import contextlib
import os
import random
import socket
import struct
from pathlib import Path

import pytest

from nodemesh.adapters.patience import Patience
from nodemesh.adapters.raw_nodes import LONGEST_FIRST, MOST_UNFED
from nodemesh.model.frame import LONGEST_FRAME
from tests.fakes.mesh_broker import MeshBroker
from tests.nodemesh.adapters.mesh_clients import (
    BEAT,
    DELIVERED,
    FRAME,
    GREETING,
    PUBLISHED,
    REASON,
    REQUEST,
    Ended,
    RawClient,
    frame,
    hello,
    message,
    opened,
    run,
    subscribe,
    until,
)


async def still_serves(path: Path) -> bool:
    async with RawClient(path) as shop:
        await shop.publish(hello())
        return (await shop.published()).through == 0


@pytest.mark.parametrize("piece", [1, 7, 300])
def test_messages_may_come_in_any_pieces(piece: int) -> None:
    async def test() -> None:
        said = GREETING + message(REQUEST, subscribe()) + message(BEAT, b"") + message(FRAME, hello())
        async with opened(MeshBroker()) as path:
            reader, writer = await asyncio.open_unix_connection(str(path))
            for at in range(0, len(said), piece):
                writer.write(said[at : at + piece])
                await asyncio.sleep(0.001)
            assert await asyncio.wait_for(reader.readexactly(len(GREETING)), 5) == GREETING
            assert (await asyncio.wait_for(reader.readexactly(5), 5))[4] == PUBLISHED
            writer.close()

    run(test())


def test_many_messages_may_come_in_one_piece() -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path, RawClient(path) as shop:
            await shop.consume(subscribe())
            await shop.publish(hello())
            await shop.published()
            shop.writer.write(b"".join(message(FRAME, frame(first)) for first in range(1, 1001)))
            for number in range(1, 1001):
                assert (await shop.delivered()).delivery.number == number
            while (await shop.published()).through < 1000:
                pass

    run(test())


TOLD = {
    "unknown kind": (message(9, b"x"), "expected a message of kind 1, 3, 5 or 6, found 9"),
    "kind of the mesh": (message(DELIVERED, b"x"), "found 4"),
    "no kind": (b"\0\0\0\0\0", "expected a message of 1 to 65537 bytes, found 0"),
    "endless": (b"\xff\xff\xff\xff\1", "expected a message of 1 to 65537 bytes, found 4294967295"),
    "long hello": (struct.pack("<IB", LONGEST_FIRST + 2, FRAME), "found 65538 (kind 1)"),
    "frame first": (message(FRAME, frame(1)), "expected no events"),
    "garbage": (b"GET / HTTP/1.1\r\n\r\n", "expected a message of 1 to"),
}


@pytest.mark.parametrize("kind", TOLD)
def test_what_is_no_message_is_told_and_ended(kind: str) -> None:
    said, why = TOLD[kind]

    async def test() -> None:
        async with opened(MeshBroker()) as path:
            async with RawClient(path) as shop:
                shop.writer.write(said)
                with pytest.raises(Ended) as ended:
                    await shop.published()
                assert why in str(ended.value)
                assert await shop.reader.read() == b""
            assert await still_serves(path)

    run(test())


def test_only_who_was_let_in_may_say_much() -> None:
    async def test() -> None:
        async with opened(MeshBroker()) as path, RawClient(path) as shop:
            await shop.publish(hello())
            await shop.published()
            shop.writer.write(struct.pack("<IB", LONGEST_FRAME + 2, FRAME))
            with pytest.raises(Ended, match=f"1 to {LONGEST_FRAME + 1} bytes, found {LONGEST_FRAME + 2}"):
                await shop.published()

    run(test())


def test_garbage_hurts_nobody_else() -> None:
    dice = random.Random(4)

    async def test() -> None:
        async with opened(MeshBroker()) as path, RawClient(path) as other:
            await other.publish(hello())
            await other.published()
            for number in range(60):
                said = dice.randbytes(dice.randrange(1, 3000))
                start = (b"", GREETING, GREETING + message(FRAME, hello()))[number % 3]
                reader, writer = await asyncio.open_unix_connection(str(path))
                writer.write(start + said)
                if dice.random() < 0.5:
                    writer.write_eof()
                    with contextlib.suppress(ConnectionError):
                        await asyncio.wait_for(reader.read(), 10)
                writer.close()
            await other.publish(frame(1))
            assert (await other.published()).through == 1

    run(test())


SHORT = Patience(greeting=0.3, first=0.5, whole=0.5, unread=0.5, quiet=0.3, deaf=0.6, look=0.05)


@pytest.mark.parametrize("said", [b"", b"N", GREETING[:-1], b"PRI * HT"])
def test_who_does_not_greet_is_sent_away(said: bytes) -> None:
    async def test() -> None:
        async with opened(MeshBroker(), SHORT) as path:
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(said)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

    run(test())


def test_who_greets_and_says_nothing_is_sent_away() -> None:
    async def test() -> None:
        async with opened(MeshBroker(), SHORT) as path, RawClient(path) as shop:
            with pytest.raises(Ended, match=r"expected a hello or a subscription within 0.5 s"):
                while True:
                    shop.writer.write(message(BEAT, b""))
                    kind, body = await asyncio.wait_for(shop.next(), 5)
                    if kind == REASON:
                        raise Ended(body.decode())

    run(test())


def test_a_side_with_nothing_to_say_says_so_and_a_silent_one_is_gone() -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker, SHORT) as path, RawClient(path) as shop:
            await shop.publish(hello())
            beats = 0
            with pytest.raises(Ended, match=r"nothing was heard for 0.6 s; expected a beat every 0.3 s"):
                while True:
                    kind, body = await asyncio.wait_for(shop.next(), 5)
                    beats += kind == BEAT
                    if kind == REASON:
                        raise Ended(body.decode())
            assert 1 <= beats <= 3
            await until(lambda: broker.publishers[0].closed)

    run(test())


def test_who_beats_may_stay() -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker, SHORT) as path, RawClient(path) as shop:
            await shop.publish(hello())
            await shop.published()
            for _ in range(12):
                shop.writer.write(message(BEAT, b""))
                await asyncio.sleep(0.1)
            await shop.publish(frame(1))
            assert (await shop.published()).through == 1

    run(test())


def test_half_a_message_waits_only_so_long() -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker, SHORT) as path, RawClient(path) as shop:
            await shop.publish(hello())
            await shop.published()
            rest = iter(message(FRAME, frame(1, 448)))

            async def drip() -> None:
                for each in rest:
                    shop.writer.write(bytes([each]))
                    await asyncio.sleep(0.02)

            dripping = asyncio.create_task(drip())
            with pytest.raises(Ended, match=r"message not whole after 0.5 s"):
                await shop.published()
            dripping.cancel()
            await until(lambda: broker.publishers[0].closed)

    run(test())


def test_the_time_of_a_message_begins_with_it() -> None:
    async def test() -> None:
        async with opened(MeshBroker(), SHORT) as path, RawClient(path) as shop:
            await shop.publish(hello())
            for _ in range(8):
                shop.writer.write(message(BEAT, b""))
                await asyncio.sleep(0.1)
            said = message(FRAME, frame(1))
            shop.writer.write(said[:100])
            await asyncio.sleep(0.2)
            shop.writer.write(said[100:])
            while (await shop.published()).through < 1:
                pass

    run(test())


def test_many_halves_cost_what_was_sent() -> None:
    async def test() -> None:
        async with opened(MeshBroker(), Patience(look=0.05)) as path:
            shops = [await RawClient(path).__aenter__() for _ in range(100)]
            for number, shop in enumerate(shops):
                await shop.publish(hello(f"shop.{number}"))
                await shop.published()
            before = resident()
            for shop in shops:
                shop.writer.write(struct.pack("<IB", LONGEST_FRAME, FRAME) + bytes(1000))
            await asyncio.sleep(0.2)
            assert resident() - before < 20 * 1024 * 1024, "105 MiB were announced"
            for shop in shops:
                await shop.__aexit__()

    run(test())


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_who_sends_more_than_may_be_under_way_is_held_back() -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker, SHORT) as path:
            sent = 0
            with socket.socket(socket.AF_UNIX) as plain:
                plain.connect(str(path))
                plain.setblocking(False)
                plain.send(GREETING + message(FRAME, hello("shop.2")))
                await until(lambda: bool(broker.publishers))
                broker.full.set()
                said = memoryview(
                    b"".join(message(FRAME, frame(1 + 448 * n, 448, instance="shop.2")) for n in range(100))
                )
                for _ in range(100):
                    with contextlib.suppress(BlockingIOError):
                        sent += plain.send(said[sent:])
                    await asyncio.sleep(0.01)
                assert MOST_UNFED - 200_000 < sent < MOST_UNFED + 1_000_000
                assert not broker.publishers[0].closed, "it waits, and is not deaf"
                broker.full.clear()

                async def rest() -> None:
                    nonlocal sent
                    while sent < len(said):
                        with contextlib.suppress(BlockingIOError):
                            sent += plain.send(said[sent:])
                        await asyncio.sleep(0.001)

                await asyncio.wait_for(rest(), 10)
                await until(lambda: broker.publishers[0].through == 44_800)

    run(test())


def test_a_client_may_leave_with_its_reason() -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path, RawClient(path) as shop:
            await shop.publish(hello())
            await shop.published()
            shop.writer.write(message(REASON, b"it stops"))
            await until(lambda: broker.publishers[0].closed)
            with pytest.raises(Ended):
                await shop.published()

    run(test())


def test_a_reason_is_read_even_by_who_was_busy_talking() -> None:
    async def test() -> None:
        async with opened(MeshBroker()) as path, RawClient(path) as shop:
            await shop.publish(hello())
            await shop.published()
            shop.writer.write(b"".join(message(FRAME, frame(99, 448)) for _ in range(30)))
            with pytest.raises(Ended, match=r"head.first: expected 1, found 99"):
                await shop.published()

    run(test())
