"""Does the door tell two protocols apart, however their first bytes come, and is there room for others?"""

import asyncio
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeapi.door import GREETING, Caller, Other, Rooms
from nodeapi.v1 import control_pb2 as pb
from tests.nodeapi.front_door import client, door

HELLO = b"HELLO-DOOR/1\n"
ME = Caller(os.geteuid(), os.getegid(), os.getpid())


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    yield made
    shutil.rmtree(made)


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


class Echo:
    """Says back what it was told, before and since."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []

    async def speak(self, sock: socket.socket, who: Caller, said: bytes) -> None:
        self.callers.append(who)
        loop = asyncio.get_running_loop()
        while said:
            await loop.sock_sendall(sock, said)
            said = await loop.sock_recv(sock, 1000)


@pytest.mark.parametrize("piece", [1, 5, 100])
def test_another_greeting_goes_to_another_with_all_that_was_said(folder: Path, piece: int) -> None:
    async def test() -> None:
        echo = Echo()
        async with door(folder / "s", other=Other(HELLO, echo.speak)):
            reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
            said = HELLO + b"and more"
            for at in range(0, len(said), piece):
                writer.write(said[at : at + piece])
                await asyncio.sleep(0.002)
            assert await asyncio.wait_for(reader.readexactly(len(said)), 5) == said
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 5) == b""
            assert echo.callers == [ME]
            writer.close()

    run(test())


def test_grpc_passes_as_before(folder: Path) -> None:
    async def test() -> None:
        options = {"other": Other(HELLO, Echo().speak)}
        async with door(folder / "s", **options) as control, client(folder / "s") as stub:
            assert (await stub.GetVersion(pb.GetVersionRequest(), timeout=5)).version == str(ME.uid)
            chunks = [pb.ApplyRequest(chunk=bytes(65_536))] * 40
            assert (await stub.Apply(iter(chunks), timeout=20)).text == str(40 * 65_536)
            assert control.callers == [ME]

    run(test())


def test_the_greeting_of_grpc_may_come_in_pieces(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s", other=Other(HELLO, Echo().speak)):
            reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
            for each in GREETING + b"\0\0\0\4\0\0\0\0\0":
                writer.write(bytes([each]))
                await asyncio.sleep(0.002)
            header = await asyncio.wait_for(reader.readexactly(9), 5)
            assert header[3] == 4, "a frame of kind SETTINGS"
            writer.close()

    run(test())


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n", b"HELLO-DOOR/2\n", b"\0", b"PRI * HTTP/1.1\r\n\r\n" + bytes(24)]
)
def test_any_other_greeting_ends_at_once(folder: Path, said: bytes) -> None:
    async def test() -> None:
        async with door(folder / "s", other=Other(HELLO, Echo().speak)):
            reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
            writer.write(said)
            assert await asyncio.wait_for(reader.read(), 1) == b""
            writer.close()

    run(test())


def test_half_a_greeting_waits_only_so_long(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s", other=Other(HELLO, Echo().speak), preface_time=0.2):
            reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
            writer.write(HELLO[:-1])
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

    run(test())


def test_stopping_ends_the_conversation_with_another(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s", other=Other(HELLO, Echo().speak)):
            reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
            writer.write(HELLO)
            await asyncio.wait_for(reader.readexactly(len(HELLO)), 5)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()

    run(test())


def test_those_sent_away_are_told_in_the_log_now_and_then(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        rooms = Rooms(all=8, share=2, kept=1)
        async with door(folder / "s", other=Other(HELLO, Echo().speak), rooms=rooms):
            held = [await asyncio.open_unix_connection(str(folder / "s")) for _ in range(5)]
            for _, writer in held[:2]:
                writer.write(HELLO)
            got = [await asyncio.wait_for(reader.read(1), 5) for reader, _ in held]
            assert got == [b"H", b"H", b"", b"", b""]
            for _, writer in held:
                writer.close()

    with caplog.at_level(logging.WARNING):
        run(test())
    assert [record.getMessage() for record in caplog.records] == [
        f"sent a caller of uid {ME.uid} away: it has 2 connections, which is its share"
    ]
