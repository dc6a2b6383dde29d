"""What must hold for all probes?"""

import asyncio
import os
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import pytest

from noded.adapters.http_probes import HttpProbes
from noded.ports import Probes
from tests.adapters.looped import looped
from tests.fakes.probes import FakeProbes

UID = os.geteuid()
MUTE = "-mute"
NOBODY = "-nobody"
SOON = 0.2
Make: TypeAlias = Callable[[], AbstractAsyncContextManager[tuple[Probes, str]]]


@pytest.fixture(params=["fake", "http"])
def made(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Probes, and an address whose `/up` is fine and `/down` is not. Beside it one that accepts nothing."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))

    @asynccontextmanager
    async def fake() -> AsyncIterator[tuple[Probes, str]]:
        good, bad = ("unix:/s", "/up"), ("unix:/s", "/down")
        yield FakeProbes({good}, {bad}, mute={f"unix:/s{MUTE}"}), "unix:/s"

    @asynccontextmanager
    async def real() -> AsyncIterator[tuple[Probes, str]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(
                    b"HTTP/1.1 200 OK\r\n\r\n" if b"GET /up " in head else b"HTTP/1.1 503 No\r\n\r\n"
                )
            writer.close()

        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.bind(str(folder / f"s{MUTE}"))
            deaf.listen()
            async with await asyncio.start_unix_server(serve, str(folder / "s")):
                yield HttpProbes(), f"unix:{folder / 's'}"

    yield fake if request.param == "fake" else real
    shutil.rmtree(folder)


@looped
async def test_only_2xx_is_good(made: Make) -> None:
    async with made() as (probes, address):
        assert await probes.answers(address, UID, "/up", 5.0)
        assert not await probes.answers(address, UID, "/down", 5.0)


@looped
async def test_any_answer_is_a_sign_of_life(made: Make) -> None:
    async with made() as (probes, address):
        assert await probes.responds(address, UID, "/up", 5.0)
        assert await probes.responds(address, UID, "/down", 5.0)


@looped
async def test_a_connection_is_taken(made: Make) -> None:
    async with made() as (probes, address):
        assert await probes.connects(address, UID, 5.0)


@looped
async def test_silence_costs_its_time_and_no_more(made: Make) -> None:
    async with made() as (probes, address):
        for ask in (
            probes.answers(address + MUTE, UID, "/up", SOON),
            probes.responds(address + MUTE, UID, "/up", SOON),
            probes.connects(address + MUTE, UID, SOON),
        ):
            began = time.monotonic()
            assert not await ask
            assert SOON * 0.9 <= time.monotonic() - began < 5


@looped
async def test_where_nobody_is_nobody_answers(made: Make) -> None:
    async with made() as (probes, address):
        assert not await probes.answers(address + NOBODY, UID, "/up", 5.0)
        assert not await probes.responds(address + NOBODY, UID, "/up", 5.0)
        assert not await probes.connects(address + NOBODY, UID, 5.0)
