"""Does a person who asks for one event learn what became of it, at everybody who consumes it?"""

import asyncio

import pytest

from nodeapi.v1 import mesh_pb2
from nodemesh.model.table import Consumer
from nodemesh.ports import NotFound, Refused
from tests.adapters.looped import looped, until
from tests.nodemesh.runtime.desk_room import DeskRoom, desk_room
from tests.nodemesh.runtime.mesh_room import PLACED, table, taken


@looped
async def test_waiting_in_hand_handled() -> None:
    async with desk_room() as room:
        a = await room.mesh.publisher()
        await a.say(b"1", b"2")
        await a.until(2)
        assert {name: o.state for name, o in (await room.shown("s.1")).items()} == {
            "b": "waiting",
            "c": "waiting",
        }
        b = await room.mesh.session("b.1")
        await taken(b)
        outcome = (await room.shown("s.2"))["b"]
        assert (outcome.state, outcome.attempts, outcome.instance) == ("in hand", 1, "b.1")
        failed = mesh_pb2.Failed(delivery=1, event=0, how=mesh_pb2.Failed.RETRY, after=60, reason="later")
        b.settle(mesh_pb2.Settle(through=1, failed=[failed], granted=1000))
        outcome = (await room.shown("s.1"))["b"]
        assert (outcome.state, outcome.attempts, outcome.reason) == ("retrying", 1, "later")
        assert 50 < outcome.at - room.mesh.broker.world.clock.wall() < 70
        assert (await room.shown("s.2"))["b"].state == "handled"
        assert (await room.shown("s.2"))["c"].state == "waiting"


@looped
async def test_dead_with_its_reason_then_sent_again() -> None:
    async with desk_room() as room:
        a, b = await room.mesh.publisher(), await room.mesh.session("b.1")
        await a.say(b"1")
        frame = await taken(b)
        failed = mesh_pb2.Failed(delivery=1, how=mesh_pb2.Failed.REJECT, reason="no such order")
        b.settle(mesh_pb2.Settle(failed=[failed], granted=1000))
        await _is(room, "dead")
        dead = (await room.shown("s.1"))["b"]
        assert (dead.attempts, dead.reason) == (1, "no such order")
        assert dead.at > 1.7e9
        await room.desk.letters.requeue(mesh_pb2.DeadRequest(node="b"))
        frame = await taken(b)
        assert (frame.head.first, list(frame.data)) == (1, [b"1"])
        await _is(room, "in hand")
        b.settle(mesh_pb2.Settle(through=frame.delivery.number, granted=1000))
        await _is(room, "replayed")
        assert (await room.shown("s.1"))["b"].reason == "sent 2 times"


@looped
async def test_nothing_is_said_of_who_came_later() -> None:
    async with desk_room() as room:
        a = await room.mesh.publisher()
        await a.say(b"1")
        await a.until(1)
        consumers = {**table().consumers, "d": Consumer("d", {PLACED: False}, "1")}
        await room.mesh.broker.set_table(table(2, consumers=consumers))
        await a.say(b"2")
        await a.until(2)
        assert "d" not in await room.shown("s.1"), "it never was for it"
        assert (await room.shown("s.2"))["d"].state == "waiting"


@pytest.mark.parametrize("id", ["", "s", "s.", ".1", "s.x", "s.-1", "s.²", "s." + "9" * 30])
def test_what_is_no_id_is_refused(id: str) -> None:
    @looped
    async def story() -> None:
        async with desk_room() as room:
            with pytest.raises(Refused, match=r"<stream>.<sequence>"):
                await room.shown(id)

    story()


@looped
async def test_what_the_log_does_not_hold_is_not_found() -> None:
    async with desk_room() as room:
        with pytest.raises(NotFound, match=r"s.7"):
            await room.shown("s.7")


async def _is(room: DeskRoom, state: str) -> None:
    async def seen() -> bool:
        await asyncio.sleep(0)
        return (await room.shown("s.1"))["b"].state == state

    await until(seen)
