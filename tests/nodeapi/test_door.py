"""Does the front door name callers truly, carry every byte, and leave nothing behind?"""

import asyncio
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from nodeapi.door import CHUNK, Caller, caller
from nodeapi.v1 import control_pb2 as pb
from tests.nodeapi.front_door import as_uid, client, door, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="taking other uids needs root")
ME = Caller(os.geteuid(), os.getegid(), os.getpid())


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


def test_the_kernel_names_the_caller(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s") as control, client(folder / "s") as stub:
            assert (await stub.GetVersion(pb.GetVersionRequest(), timeout=5)).version == str(ME.uid)
            assert control.callers == [ME]

    run(test())


@as_root
@pytest.mark.parametrize("uid", [1000, 65534])
def test_the_kernel_names_another_user(folder: Path, uid: int) -> None:
    async def test() -> None:
        async with door(folder / "s"):
            assert (await as_uid(uid, folder / "s"))[0] == str(uid)

    run(test())


@as_root
def test_another_user_cannot_reach_the_private_socket(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s"):
            assert stat.S_IMODE((folder / "s.private").stat().st_mode) == 0o700
            (answer,) = await as_uid(65534, folder / "s.private" / "grpc.sock")
            assert answer.startswith("UNAVAILABLE")
            assert await as_uid(65534, folder / "s") == ["65534", "done"]

    run(test())


@as_root
def test_the_mode_and_group_of_the_socket(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s"):
            assert stat.S_IMODE((folder / "s").stat().st_mode) == 0o666
        async with door(folder / "s", mode=0o660, group=1234):
            found = (folder / "s").stat()
            assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, 1234)
            (answer,) = await as_uid(65534, folder / "s")
            assert answer.startswith("UNAVAILABLE")
            assert (await as_uid(1234, folder / "s"))[0] == "1234"

    run(test())


def test_who_comes_round_the_front_door_is_refused(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s"):
            async with client(folder / "s.private" / "grpc.sock") as stub:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await stub.GetVersion(pb.GetVersionRequest(), timeout=5)
            assert refused.value.code() is grpc.StatusCode.UNKNOWN
            assert "unknown caller 'unix:'" in str(refused.value.details())

    run(test())


@pytest.mark.parametrize(
    "peer",
    [
        "unix:",
        "unix:/tmp/noded-control-0-0-1-0123456789abcdef",
        "unix-abstract:noded-control-0-0-1",
        "unix-abstract:noded-control-0-0-1-0123456789abcdef0",
        "unix-abstract:x-noded-control-0-0-1-0123456789abcdef",
        "unix-abstract:noded-control-0-0--1-0123456789abcdef",
        "ipv4:127.0.0.1:1",
        "",
    ],
)
def test_any_other_peer_name_is_unknown(peer: str) -> None:
    class Context:
        def peer(self) -> str:
            return peer

    with pytest.raises(PermissionError, match="unknown caller"):
        caller(Context())  # type: ignore[arg-type]


def test_every_byte_comes_through(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s"), client(folder / "s") as stub:
            chunks = [pb.ApplyRequest(chunk=bytes(CHUNK))] * 160
            assert (await stub.Apply(iter(chunks), timeout=20)).text == str(160 * CHUNK)
            got = [len(one.text) async for one in stub.ReadLogs(pb.ReadLogsRequest(lines=160), timeout=20)]
            assert got == [CHUNK] * 160

    run(test())


def test_a_cancelled_call_ends_its_handler(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s") as control, client(folder / "s") as stub:
            watch = stub.WatchStatus(pb.WatchStatusRequest())
            await watch.read()
            watch.cancel()
            await until(lambda: control.watches_ended == 1)

    run(test())


def test_stopping_ends_open_calls_and_removes_the_socket(folder: Path) -> None:
    async def test() -> None:
        async with client(folder / "s") as stub:
            async with door(folder / "s") as control:
                watch = stub.WatchStatus(pb.WatchStatusRequest())
                await watch.read()
                idle = socket.socket(socket.AF_UNIX)
                idle.connect(str(folder / "s"))
            assert control.watches_ended == 1
            with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
                await watch.read()
            assert not (folder / "s").exists()
            idle.settimeout(5)
            with idle, suppress(ConnectionResetError):
                while idle.recv(CHUNK):
                    pass

    run(test())


def test_an_error_inside_the_block_comes_out_as_it_was(folder: Path) -> None:
    async def test() -> None:
        with pytest.raises(KeyError, match="lost"):
            async with door(folder / "s"):
                raise KeyError("lost")
        assert not (folder / "s").exists()

    run(test())


def test_cancelling_the_daemon_ends_everything(folder: Path) -> None:
    async def test() -> None:
        inside = asyncio.Event()

        async def daemon() -> None:
            async with door(folder / "s"):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(daemon())
        await inside.wait()
        idle = socket.socket(socket.AF_UNIX)
        with idle:
            idle.connect(str(folder / "s"))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not (folder / "s").exists()

    run(test())


GARBAGE = {
    "nothing": b"",
    "zeroes": b"\0" * 100_000,
    "http1": b"GET / HTTP/1.1\r\n\r\n",
    "random": os.urandom(5000),
    "bad frame": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 9,
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE)
def test_garbage_hurts_nobody_else(folder: Path, said: bytes) -> None:
    async def test() -> None:
        async with door(folder / "s"), client(folder / "s") as stub:
            for _ in range(5):
                reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
                writer.write(said)
                writer.write_eof()
                with suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), 10)
                writer.close()
            await stub.GetVersion(pb.GetVersionRequest(), timeout=5)

    run(test())


def test_many_callers_at_once(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s") as control:

            async def one() -> None:
                async with client(folder / "s") as stub:
                    await stub.GetVersion(pb.GetVersionRequest(), timeout=20)

            await asyncio.gather(*(one() for _ in range(40)))
            assert control.callers == [ME] * 40

    run(test())
