"""Nodes that do not consume a type cost nothing when it is published, miss nothing, and hold up nothing."""

import asyncio

from nodeapi.v1 import mesh_pb2
from nodemesh.model.frame import Stored
from nodemesh.model.table import Consumer, Member, Table
from nodemesh.runtime.consumer import ConsumingNode
from tests.adapters.looped import looped
from tests.nodemesh.runtime.desk_room import desk_room
from tests.nodemesh.runtime.mesh_room import PAID, PLACED, UID, room, table, taken

MANY = 300


def many() -> Table:
    members = {f"n{n}.1": Member(f"n{n}.1", f"n{n}", "1", UID) for n in range(MANY)}
    consumers = {f"n{n}": Consumer(f"n{n}", {PAID: False}, "1") for n in range(MANY)}
    return table(
        members={**table().members, **members},
        consumers={"b": Consumer("b", {PLACED: False}, "1"), **consumers},
    )


@looped
async def test_who_does_not_consume_it_is_not_asked_and_gets_what_is_its() -> None:
    asked = 0

    class Asked(ConsumingNode):
        def written_now(self, stored: Stored) -> bool:
            nonlocal asked
            asked += 1
            return super().written_now(stored)

    async with room(many()) as mesh:
        for node in mesh.broker.consumers.values():
            node.__class__ = Asked
        a, b = await mesh.publisher(), await mesh.session("b.1")
        other = await mesh.session("n7.1")
        for n in range(20):
            await a.say(b"%d" % n)
        await a.until(20)
        assert asked == 20
        await a.say(b"paid", type=PAID)
        assert (await taken(other)).data == [b"paid"]
        for _ in range(20):
            frame = await taken(b)
            b.settle(mesh_pb2.Settle(through=frame.delivery.number, granted=1000))
        other.settle(mesh_pb2.Settle(through=1))
        assert mesh.broker.consumers["n7"].floor == 22
        assert mesh.broker.floor == 21, "what the others have not handled"


@looped
async def test_its_lag_is_none_and_its_floor_moves() -> None:
    async with desk_room() as room_:
        mesh = room_.mesh
        a, b = await mesh.publisher(), await mesh.session("b.1")
        c = await mesh.session("c.1")
        await a.say(b"1", type=PAID)
        await taken(c)
        c.settle(mesh_pb2.Settle(through=1))
        flows = (await room_.desk.get_map(mesh_pb2.MapRequest())).flows
        assert all(flow.lag == 0 for flow in flows)
        assert mesh.broker.floor == 2
        assert b.hands.sent == 0


@looped
async def test_a_type_that_is_asked_for_later_comes_from_then_on() -> None:
    async with room() as mesh:
        a, b = await mesh.publisher(), await mesh.session("b.1")
        await a.say(b"before", type=PAID)
        await a.until(1)
        consumers = {**table().consumers, "b": Consumer("b", {PLACED: False, PAID: False}, "1")}
        await mesh.broker.set_table(table(2, consumers=consumers))
        b.close()
        again = await mesh.session("b.1")
        await a.say(b"after", type=PAID)
        assert (await taken(again)).data == [b"after"]


@looped
async def test_what_is_read_before_it_is_told_is_given_once() -> None:
    """A reader may find a frame on disk before the mesh tells of it."""
    async with room() as mesh:
        a, b = await mesh.publisher(), await mesh.session("b.1")
        await a.say(b"1")
        stored = (await taken(b), mesh.log.frames[1])[1]
        assert mesh.broker.consumers["b"].written_now(stored) is False
        await a.say(b"2")
        assert (await taken(b)).data == [b"2"]
        await asyncio.sleep(0)
