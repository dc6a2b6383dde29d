"""Does the desk's answer reach who asks by gRPC, and can one who does not read hold up the mesh?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from nodeapi.v1 import mesh_pb2
from nodeapi.v1.mesh_pb2_grpc import MeshControlStub
from nodemesh.adapters.control import control_server
from nodemesh.ports import Unavailable
from tests.adapters.looped import looped, until
from tests.nodemesh.adapters.mesh_clients import short_folder
from tests.nodemesh.runtime.desk_room import DeskRoom, desk_room
from tests.nodemesh.runtime.mesh_room import PLACED


class FullDisk:
    async def listed(self, asked: mesh_pb2.DeadRequest) -> mesh_pb2.DeadReply:
        raise Unavailable("the disk is full")

    requeue = drop = listed


@asynccontextmanager
async def asked(stalled: float = 30.0, letters: Any = None) -> AsyncIterator[tuple[DeskRoom, Any]]:
    async with desk_room() as room:
        room.desk.letters = letters or room.desk.letters
        with short_folder() as folder:
            server = control_server(room.desk, stalled)
            server.add_insecure_port(f"unix:{folder}/s")
            await server.start()
            try:
                async with grpc.aio.insecure_channel(f"unix:{folder}/s") as channel:
                    yield room, MeshControlStub(channel)  # type: ignore[no-untyped-call]
            finally:
                await server.stop(0)


@looped
async def test_every_question_is_answered() -> None:
    async with asked() as (room, stub):
        a = await room.mesh.publisher()
        await a.say(b"1")
        await a.until(1)
        assert (await stub.GetMap(mesh_pb2.MapRequest())).newest == 1
        assert (await stub.Show(mesh_pb2.ShowRequest(id="s.1"))).data == b"1"
        assert (await stub.Send(mesh_pb2.SendRequest(type=PLACED, data=b"2"))).id == "nodectl-7.1"
        assert (await stub.Replay(mesh_pb2.ReplayRequest(node="b", id="s.1"))).events == 1
        for dead in (stub.ListDead, stub.RequeueDead, stub.DropDead):
            assert (await dead(mesh_pb2.DeadRequest(node="b"))).count == 0
        assert len((await stub.GetTrace(mesh_pb2.TraceRequest(id="s.1"))).events) == 1
        tailed = stub.Tail(mesh_pb2.TailRequest(since=1.0, stop_at_end=True))
        assert [event.id async for event in tailed] == ["s.1", "nodectl-7.1"]


@looped
async def test_an_error_keeps_its_words_and_its_kind() -> None:
    async with asked(letters=FullDisk()) as (_, stub):
        for question, code, words in (
            (stub.Show(mesh_pb2.ShowRequest(id="x")), "FAILED_PRECONDITION", "<stream>.<sequence>"),
            (stub.Show(mesh_pb2.ShowRequest(id="s.1")), "NOT_FOUND", "s.1"),
            (stub.DropDead(mesh_pb2.DeadRequest()), "UNAVAILABLE", "the disk is full"),
            (stub.Tail(mesh_pb2.TailRequest(types=["x"] * 101)).read(), "FAILED_PRECONDITION", "types"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await question
            assert caught.value.code().name == code
            assert words in str(caught.value.details())


@looped
async def test_who_does_not_read_loses_the_stream_with_words() -> None:
    async with asked(stalled=0.3) as (room, stub):
        a = await room.mesh.publisher()
        for number in range(300):
            await a.say(b"x" * 60_000)
            await a.until(number + 1)
        call = stub.Tail(mesh_pb2.TailRequest(since=1.0))
        assert (await call.read()).id == "s.1"
        assert room.mesh.broker._watchers

        async def ended() -> bool:
            return not room.mesh.broker._watchers

        await until(ended)
        with pytest.raises(grpc.aio.AioRpcError, match=r"nothing was read for 0.3 s"):
            while await call.read() is not grpc.aio.EOF:
                pass
        await a.say(b"2")
        await a.until(301)


@looped
async def test_who_goes_away_leaves_nothing() -> None:
    async with asked() as (room, stub):
        a = await room.mesh.publisher()
        await a.say(b"1")
        await a.until(1)
        call = stub.Tail(mesh_pb2.TailRequest(since=1.0))
        assert (await call.read()).id == "s.1"
        assert room.mesh.broker._watchers
        call.cancel()

        async def ended() -> bool:
            await asyncio.sleep(0)
            return not room.mesh.broker._watchers

        await until(ended)
