"""Can a person look at dead letters, send them again, drop them, with none lost on the way?"""

import asyncio

import pytest

from nodeapi.v1 import mesh_pb2
from nodemesh.model.table import Consumer
from nodemesh.ports import NotFound, Refused, Unavailable
from nodemesh.runtime import letters
from nodemesh.runtime.session import Session
from tests.adapters.looped import looped
from tests.adapters.looped import until as until_async
from tests.nodemesh.runtime.desk_room import DeskRoom, desk_room
from tests.nodemesh.runtime.mesh_room import PAID, table, taken

Dead = mesh_pb2.DeadRequest


async def killed(room: DeskRoom, count: int) -> Session:
    """So many events of `a`, all of them rejected by `b`."""
    a, b = await room.mesh.publisher(), await room.mesh.session("b.1", granted=10_000)
    await a.say(*(b"%d" % number for number in range(count)))
    frame = await taken(b)
    failed = [
        mesh_pb2.Failed(delivery=1, event=n, how=mesh_pb2.Failed.REJECT, reason=f"no {n}")
        for n in range(len(frame.data))
    ]
    b.settle(mesh_pb2.Settle(through=1, failed=failed, granted=10_000))
    await settled(room, count)
    return b


async def settled(room: DeskRoom, count: int) -> None:
    async def seen() -> bool:
        return len(room.mesh.index.letters) == count

    await until_async(seen)


@looped
async def test_they_are_listed_with_their_reasons() -> None:
    async with desk_room() as room:
        await killed(room, 3)
        for node in ("b", ""):
            reply = await room.desk.letters.listed(Dead(node=node))
            assert (reply.count, len(reply.dead)) == (3, 3)
        last = reply.dead[2]
        assert (last.node, last.attempts, last.reason, last.version) == ("b", 1, "no 2", "1")
        assert (last.event.id, last.event.data, last.event.position, last.event.index) == ("s.3", b"2", 1, 2)
        limited = await room.desk.letters.listed(Dead(node="b", limit=2))
        assert (limited.count, [dead.event.id for dead in limited.dead]) == (3, ["s.1", "s.2"])
        one = await room.desk.letters.listed(Dead(node="b", ids=["s.2"]))
        assert [dead.event.id for dead in one.dead] == ["s.2"]
        assert (await room.desk.letters.listed(Dead(node="c"))).count == 0
        flows = (await room.desk.get_map(mesh_pb2.MapRequest())).flows
        assert {(flow.consumer, flow.dead) for flow in flows} == {("b", 3), ("c", 0)}


@looped
async def test_all_are_sent_again_to_that_node_alone_in_order() -> None:
    count = letters.PAGE * 2 + 10
    async with desk_room() as room:
        b = await killed(room, count)
        c = await room.mesh.session("c.1", granted=10_000)
        got = (await taken(c)).data
        assert len(got) == count
        assert (await room.desk.letters.requeue(Dead(node="b"))).count == count
        again: list[mesh_pb2.Frame] = []
        while len(again) < count:
            again.append(await taken(b))
        assert [frame.data[0] for frame in again] == [b"%d" % n for n in range(count)]
        assert [frame.head.first for frame in again] == list(range(1, count + 1)), "with the ids they had"
        assert not room.mesh.index.letters
        async with asyncio.timeout(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await c.take()


@looped
async def test_one_is_sent_again_or_dropped_by_its_id() -> None:
    async with desk_room() as room:
        b = await killed(room, 3)
        assert (await room.desk.letters.requeue(Dead(node="b", ids=["s.2"]))).count == 1
        assert list((await taken(b)).data) == [b"1"]
        assert (await room.desk.letters.drop(Dead(node="b", ids=["s.1", "s.9"]))).count == 1
        assert [dead.event.id for dead in (await room.desk.letters.listed(Dead())).dead] == ["s.3"]
        assert (await room.desk.letters.drop(Dead(node="b"))).count == 1
        assert (await room.desk.letters.drop(Dead(node="b"))).count == 0


@looped
async def test_what_cannot_be_kept_stays_a_letter() -> None:
    async with desk_room() as room:
        await killed(room, 2)
        room.mesh.log.problem = "the disk is full"
        with pytest.raises(Unavailable, match="disk is full"):
            await room.desk.letters.requeue(Dead(node="b"))
        assert len(room.mesh.index.letters) == 2


@looped
async def test_nonsense_is_refused_and_does_nothing() -> None:
    async with desk_room() as room:
        await killed(room, 1)
        ask = room.desk.letters
        for wrong, words in (
            (Dead(), "node: expected one"),
            (Dead(node="b", ids=["x"]), "<stream>.<sequence>"),
            (Dead(node="b", ids=["s.1"] * 1001), "at most 1000"),
        ):
            for order in (ask.requeue, ask.drop):
                with pytest.raises(Refused, match=words):
                    await order(wrong)
        for order in (ask.requeue, ask.drop):
            with pytest.raises(NotFound, match="no such dead letter"):
                await order(Dead(node="b", ids=["s.77"]))
        await room.mesh.broker.set_table(table(2, consumers={"b": Consumer("b", {PAID: False})}))
        with pytest.raises(Refused, match=r"does not consume any more.*\[\[consumes\]\]"):
            await ask.requeue(Dead(node="b"))
        with pytest.raises(Refused, match="consumes nothing here"):
            await ask.requeue(Dead(node="z"))
        assert len(room.mesh.index.letters) == 1
