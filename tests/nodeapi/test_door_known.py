"""What does the front door let a user do of whom nobody has told yet?"""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeapi.door import Rooms
from nodeapi.v1 import control_pb2 as pb
from tests.nodeapi.front_door import as_uid, client, door

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="taking other uids needs root")
STRANGER = 65534


class Told:
    def __init__(self, *uids: int) -> None:
        self.uids = set(uids)
        self.asked = asyncio.Event()
        self.news = asyncio.Event()

    def knows(self, uid: int) -> bool:
        return uid in self.uids

    def share(self, uid: int) -> int:
        return 2 if uid in self.uids else 1

    async def known(self, uid: int) -> bool:
        self.asked.set()
        if uid not in self.uids:
            await self.news.wait()
        return uid in self.uids


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


@as_root
@pytest.mark.parametrize("comes", [True, False])
def test_a_stranger_waits_before_grpc_hears_of_it(folder: Path, comes: bool) -> None:
    async def test() -> None:
        told = Told()
        async with door(folder / "s", rooms=Rooms(all=256, share=64, kept=64, known=told)) as control:
            asking = asyncio.create_task(as_uid(STRANGER, folder / "s"))
            await asyncio.wait_for(told.asked.wait(), 10)
            assert not control.callers
            if comes:
                told.uids.add(STRANGER)
            told.news.set()
            answer = (await asking)[0]
            assert (answer == str(STRANGER)) is comes
            assert bool(control.callers) is comes

    run(test())


def test_our_own_user_needs_nobody_to_tell_of_it(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s", rooms=Rooms(256, 64, 64, known=Told())), client(folder / "s") as stub:
            assert await stub.GetVersion(pb.GetVersionRequest(), timeout=5)

    run(test())


@as_root
def test_strangers_have_a_tenth_of_the_room(folder: Path) -> None:
    async def test() -> None:
        told = Told(1000)
        async with door(folder / "s", rooms=Rooms(all=10, share=8, kept=1, known=told)):
            asking = asyncio.create_task(as_uid(STRANGER, folder / "s"))
            await asyncio.wait_for(told.asked.wait(), 10)
            assert (await as_uid(STRANGER - 1, folder / "s"))[0] != str(STRANGER - 1)
            assert (await as_uid(1000, folder / "s"))[0] == "1000"
            told.news.set()
            await asking

    run(test())


def held_as(uid: int, path: Path) -> socket.socket:
    """A connection of that user that says nothing."""
    made = socket.socket(socket.AF_UNIX)
    os.seteuid(uid)
    try:
        made.connect(str(path))
    finally:
        os.seteuid(0)
    return made


@as_root
def test_one_user_has_what_its_instances_need(folder: Path) -> None:
    async def test() -> None:
        told = Told(1000, 1001)
        async with door(folder / "s", rooms=Rooms(all=256, share=64, kept=4, known=told)):
            held = [held_as(1000, folder / "s") for _ in range(2)]
            assert (await as_uid(1000, folder / "s"))[0] != "1000"
            assert (await as_uid(1001, folder / "s"))[0] == "1001"
            for each in held:
                each.close()

    run(test())
