"""Can some callers take the place of others?"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.control_server import control_server
from noded.adapters.peercred import serve
from tests.adapters.office import Office, offices, opened
from tests.nodeapi.front_door import as_uid, client, door

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="taking other uids needs root")
ME = os.geteuid()


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def office() -> Iterator[Office]:
    yield from offices()


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


def test_connections_are_limited_per_user_and_come_back(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s", serve, connections=8):
            first = [await asyncio.open_unix_connection(str(folder / "s")) for _ in range(2)]
            # gRPC speaks first, so a connection that was let in has something to read.
            for reader, _ in first:
                assert await asyncio.wait_for(reader.read(1), 5)
            third, _ = await asyncio.open_unix_connection(str(folder / "s"))
            assert await asyncio.wait_for(third.read(), 5) == b""
            for _, writer in first:
                writer.close()
            async with client(folder / "s") as stub:
                await stub.GetVersion(pb.GetVersionRequest(), timeout=10, wait_for_ready=True)

    run(test())


HOLD = """
import os, socket, sys
uid = int(sys.argv[2])
os.setgroups([]), os.setgid(uid), os.setuid(uid)
held = []
for _ in range(int(sys.argv[3])):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].settimeout(10)
    held[-1].connect(sys.argv[1])

def let_in(one):
    # gRPC speaks first to those who are.
    try:
        return bool(one.recv(1))
    except ConnectionError:
        return False

print(sum(map(let_in, held)), flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def held_by(uid: int, path: Path, count: int) -> AsyncIterator[int]:
    """Idle connections of another user while the block runs, and how many of them were let in."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(path), str(uid), str(count)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None and child.stdin is not None
    try:
        yield int(await asyncio.wait_for(child.stdout.readline(), 10))
    finally:
        child.stdin.close()
        await asyncio.wait_for(child.wait(), 10)


@as_root
def test_no_number_of_users_locks_administrators_out(folder: Path) -> None:
    async def test() -> None:
        async with (
            door(folder / "s", serve, connections=8, admins=frozenset((4100,))),
            AsyncExitStack() as stack,
        ):
            let_in = [
                await stack.enter_async_context(held_by(uid, folder / "s", 2)) for uid in range(4001, 4005)
            ]
            assert let_in == [2, 2, 2, 0], "two each, six of eight"
            async with client(folder / "s") as stub:
                assert (await stub.GetVersion(pb.GetVersionRequest(), timeout=5)).version == str(ME)
            assert await as_uid(4100, folder / "s") == ["4100", "done"]

    run(test())


PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize("said", ["", "P", PREFACE[:-1]])
def test_who_does_not_say_its_preface_is_sent_away(folder: Path, said: str) -> None:
    async def test() -> None:
        async with door(folder / "s", serve, connections=4, preface_time=0.2):
            reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
            writer.write(said.encode())
            await asyncio.wait_for(reader.read(), 5)
            async with client(folder / "s") as stub:
                await stub.GetVersion(pb.GetVersionRequest(), timeout=10, wait_for_ready=True)
            writer.close()

    run(test())


def test_who_has_said_it_may_be_silent(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s", serve, preface_time=0.2), client(folder / "s") as stub:
            watch = stub.WatchStatus(pb.WatchStatusRequest())
            await watch.read()
            await asyncio.sleep(0.5)
            await stub.GetVersion(pb.GetVersionRequest(), timeout=5)
            assert not watch.done()

    run(test())


def test_a_connection_without_calls_ends_and_the_client_does_not_notice(office: Office) -> None:
    async def test() -> None:
        async with opened(office, control_server(office.desk, idle=0.5)) as stub:
            reader, writer = await asyncio.open_unix_connection(str(office.path))
            settings = b"\0\0\0\4\0\0\0\0\0"
            writer.write(PREFACE.encode() + settings)
            watch = stub.WatchStatus(pb.WatchStatusRequest())
            await watch.read()
            await asyncio.wait_for(reader.read(), 10)
            writer.close()
            assert not watch.done()
            watch.cancel()
            await asyncio.sleep(0.7)
            await stub.GetVersion(pb.GetVersionRequest(), timeout=5)

    run(test())
