"""What must hold for all probes?"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from noded.adapters.http_probes import HttpProbes
from noded.ports import Probes
from tests.adapters.looped import looped
from tests.fakes.probes import FakeProbes

UID = os.geteuid()
Make: TypeAlias = Callable[[], AbstractAsyncContextManager[tuple[Probes, str]]]


@pytest.fixture(params=["fake", "http"])
def made(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Probes, and an address whose `/up` is fine and `/down` is not."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))

    @asynccontextmanager
    async def fake() -> AsyncIterator[tuple[Probes, str]]:
        yield FakeProbes({("unix:/s", "/up")}), "unix:/s"

    @asynccontextmanager
    async def real() -> AsyncIterator[tuple[Probes, str]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" if b"GET /up " in head else b"HTTP/1.1 503 No\r\n\r\n")
            writer.close()

        async with await asyncio.start_unix_server(serve, str(folder / "s")):
            yield HttpProbes(), f"unix:{folder / 's'}"

    yield fake if request.param == "fake" else real
    shutil.rmtree(folder)


@looped
async def test_good_bad_and_nobody(made: Make) -> None:
    async with made() as (probes, address):
        assert await probes.answers(address, os.getuid(), "/up", 5.0)
        assert not await probes.answers(address, os.getuid(), "/down", 5.0)
        assert not await probes.answers(address + "-nobody", os.getuid(), "/up", 5.0)
