"""Does an instance see the events of two meshes as those of one?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from nodeapi.v1 import mesh_pb2
from nodemesh.adapters import frames
from nodemesh.adapters.clock import BootClock
from nodemesh.ports import Refused
from nodemesh.runtime.inbound import Inbound
from nodemesh.runtime.joint import Joint
from tests.nodemesh.runtime.mesh_room import PLACED, Room, made, nothing, room, taken


@dataclass
class Both:
    room: Room
    joint: Joint
    inbound: Inbound
    left: list[Joint] = field(default_factory=list)
    came: int = 0

    def elsewhere(self, *data: bytes, alone: bool = False) -> None:
        """Published on the other host."""
        self.came += 1
        delivery = mesh_pb2.Delivery(number=self.came, position=70, attempt=3, epoch=9, alone=alone)
        self.inbound.take_in(frames.delivered(made("far", 1, data, PLACED), delivery))

    async def here(self, *data: bytes) -> None:
        speaker = await self.room.publisher(stream=f"near{self.joint.hands.sent}")
        await speaker.say(*data)
        await speaker.until(len(data))

    async def take(self) -> mesh_pb2.Frame:
        return await taken(self.joint)  # type: ignore[arg-type]  # it takes as a session does

    async def rests(self) -> bool:
        return await nothing(self.joint)  # type: ignore[arg-type]


@asynccontextmanager
async def both(granted: int = 1000) -> AsyncIterator[Both]:
    async with room() as here:
        session = await here.session(granted=granted)
        left: list[Joint] = []
        joint = Joint(session, BootClock(), left.append)  # type: ignore[arg-type]  # no links: a plain one
        inbound = Inbound(here.broker.table.consumers["b"], "far", frames, BootClock())
        joint.add(inbound)
        yield Both(here, joint, inbound, left)


def settled(**said: object) -> mesh_pb2.Settle:
    return mesh_pb2.Settle(**said)  # type: ignore[arg-type]


def test_one_count_for_all_and_each_is_settled_where_it_is_from() -> None:
    async def run() -> None:
        async with both() as two:
            two.elsewhere(b"1", b"2")
            far = await two.take()
            await two.here(b"3")
            near = await two.take()
            two.elsewhere(b"4")
            last = await two.take()
            assert [f.delivery.number for f in (far, near, last)] == [1, 2, 3]
            assert [f.delivery.origin for f in (far, near, last)] == ["far", "", "far"]
            assert (far.delivery.attempt, far.delivery.position, far.delivery.epoch) == (3, 70, 9)
            two.joint.settle(settled(through=2))
            word = two.inbound.word()
            assert word is not None and (word.through, list(word.done)) == (1, [])
            assert two.room.broker.consumers["b"].delivery.waiting == 0
            two.joint.settle(settled(failed=[mesh_pb2.Failed(delivery=3, event=0, reason="no", after=2)]))
            word = two.inbound.word()
            assert word is not None and word.through == 2
            assert [(f.delivery, f.event, f.reason, f.after) for f in word.failed] == [(2, 0, "no", 2.0)]

    asyncio.run(run())


def test_what_is_granted_is_for_all_meshes_together() -> None:
    async def run() -> None:
        async with both(granted=3) as two:
            two.elsewhere(b"1", b"2")
            await two.here(b"3", b"4")
            found = [await two.take(), await two.take()]
            assert sorted(len(f.data) for f in found) == [1, 2] and await two.rests()
            two.joint.settle(settled(through=1, granted=4))
            assert len((await two.take()).data) == 1 and await two.rests()

    asyncio.run(run())


def test_the_other_mesh_is_asked_for_what_is_free_here() -> None:
    async def run() -> None:
        async with both(granted=10) as two:
            word = two.inbound.word()
            assert word is not None and word.granted == 10 and two.inbound.word() is None
            await two.here(b"1", b"2", b"3")
            await two.take()
            two.elsewhere(*[b"x"] * 7)
            await two.take()
            assert two.inbound.word() is None, "nothing is free"
            two.joint.settle(settled(through=2, granted=20))
            word = two.inbound.word()
            assert word is not None and word.granted == 7 + 10

    asyncio.run(run())


def test_a_suspect_is_alone_in_the_hands_whatever_mesh_it_is_from() -> None:
    async def run() -> None:
        async with both() as two:
            await two.here(b"1")
            await two.take()
            two.elsewhere(b"2", alone=True)
            await two.here(b"3")
            assert await two.rests()
            two.joint.settle(settled(through=1))
            assert (await two.take()).data == [b"2"] and await two.rests()
            two.joint.settle(settled(through=2))
            assert (await two.take()).data == [b"3"]

    asyncio.run(run())


def test_a_stream_that_ends_takes_its_events_along() -> None:
    async def run() -> None:
        async with both(granted=2) as two:
            two.elsewhere(b"1")
            await two.take()
            two.inbound.end()
            await two.here(b"2")
            assert (await two.take()).delivery.number == 2
            two.joint.settle(settled(through=2, granted=4))
            await two.here(b"3", b"4")
            assert len((await two.take()).data) == 2

    asyncio.run(run())


def test_an_instance_that_goes_loses_what_it_had() -> None:
    async def run() -> None:
        async with both() as two:
            two.elsewhere(b"1")
            await two.take()
            two.joint.close()
            assert two.left == [two.joint]
            word = two.inbound.word()
            assert word is not None and [f.how for f in word.failed] == [mesh_pb2.Failed.LOST]
            with pytest.raises(Refused):
                await two.joint.take()

    asyncio.run(run())


def test_nonsense_is_refused() -> None:
    async def run() -> None:
        async with both() as two:
            for said in (settled(through=1), settled(granted=10**9)):
                with pytest.raises(Refused, match=r"settle\.(through|granted)"):
                    two.joint.settle(said)
            gap = frames.delivered(made("far", 1, [b"1"], PLACED), mesh_pb2.Delivery(number=5, position=1))
            with pytest.raises(Refused, match=r"delivery\.number: expected 1, found 5"):
                two.inbound.take_in(gap)
            with pytest.raises(Refused):
                two.inbound.take_in(b"\xff\xff")

    asyncio.run(run())


def test_what_comes_after_the_last_word_is_not_taken() -> None:
    async def run() -> None:
        async with both() as two:
            two.inbound.is_over = True
            two.elsewhere(b"1")
            assert await two.rests()

    asyncio.run(run())
