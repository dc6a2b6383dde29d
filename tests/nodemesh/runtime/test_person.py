"""What a person publishes and sends again: judged, durable, to whom it was meant?"""

import json

import pytest

from nodeapi.v1 import mesh_pb2
from nodemesh.model.table import Contract, Judging
from nodemesh.ports import NotFound, Refused, Unavailable
from tests.adapters.looped import looped
from tests.nodemesh.runtime.desk_room import AT, desk_room
from tests.nodemesh.runtime.mesh_room import PAID, PLACED, made, nothing, table, taken

SCHEMA = json.dumps({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}})
Send, Replay = mesh_pb2.SendRequest, mesh_pb2.ReplayRequest


@looped
async def test_a_persons_event_reaches_its_consumers() -> None:
    async with desk_room() as room:
        b = await room.mesh.session("b.1")
        asked = Send(type=PLACED, data=b"{}", subject="o-1", attributes={"who": "anna"})
        assert (await room.desk.person.send(asked)).id == "nodectl-7.1"
        frame = await taken(b)
        assert (frame.head.source, frame.head.stream, frame.head.first) == ("/nodectl", "nodectl-7", 1)
        assert list(frame.columns.subject) == ["o-1"]
        assert frame.extra[0].attributes["who"] == "anna"
        assert (await room.desk.person.send(asked)).id == "nodectl-7.2"
        assert [event.id for event in await room.tailed(source="nodectl")] == ["nodectl-7.1", "nodectl-7.2"]


@looped
async def test_it_is_held_against_its_contract() -> None:
    async with desk_room(first=table(contracts={(PLACED, "a"): Contract(PLACED, "a", "1", SCHEMA)})) as room:
        for data in (b'{"id":"x"}', b"{}", b"nonsense"):
            with pytest.raises(Refused, match=r"breaks the contract of shop.placed in a 1: \$"):
                await room.desk.person.send(Send(type=PLACED, data=data))
        assert (await room.desk.person.send(Send(type=PLACED, data=b'{"id":1}'))).id == "nodectl-7.1"
        warned = {(PLACED, "a"): Contract(PLACED, "a", "1", SCHEMA, Judging.WARN)}
        await room.mesh.broker.set_table(table(2, contracts=warned))
        await room.desk.person.send(Send(type=PLACED, data=b"{}"))


@looped
async def test_what_cannot_be_is_refused_with_what_was_expected() -> None:
    async with desk_room() as room:
        for wrong, words in (
            (Send(type="shop.place", data=b"{}"), "did you mean shop.placed"),
            (Send(type="zzz", data=b"{}"), "nobody publishes or consumes 'zzz': nodectl map"),
            (Send(type=PLACED, data=b"x" * (1024 * 1024 + 1)), "data: expected at most 1048576"),
            (Send(type=PLACED, subject="a\nb"), "columns.subject"),
            (Send(type=PLACED, attributes={"Bad": "x"}), "extra.attributes"),
        ):
            with pytest.raises(Refused, match=words):
                await room.desk.person.send(wrong)
        assert room.mesh.log.span.newest == 0
        room.mesh.log.problem = "the disk is full"
        with pytest.raises(Unavailable, match="disk is full"):
            await room.desk.person.send(Send(type=PLACED, data=b"{}"))


@looped
async def test_events_of_before_are_sent_again_to_one_node() -> None:
    async with desk_room() as room:
        a, b, c = (
            await room.mesh.publisher(),
            await room.mesh.session("b.1"),
            await room.mesh.session("c.1"),
        )
        await a.say(b"1", b"2")
        await a.say(b"3", type=PAID)
        await a.until(3)
        for session in (b, c, c):
            session.settle(mesh_pb2.Settle(through=(await taken(session)).delivery.number, granted=1000))
        assert (await room.desk.person.replay(Replay(node="c", since=AT))).events == 3
        first, second = await taken(c), await taken(c)
        assert [list(first.data), list(second.data)] == [[b"1", b"2"], [b"3"]]
        assert (first.head.stream, first.head.first, first.delivery.attempt) == ("s", 1, 1)
        assert await nothing(b)
        assert dict(room.mesh.log.streams) == {"s": 3}, "its publisher goes on where it was"
        assert (await room.desk.person.replay(Replay(node="c", since=AT, types=[PAID]))).events == 1
        assert list((await taken(c)).data) == [b"3"], "copies are not copied"
        assert len(await room.tailed()) == 3


@looped
async def test_a_part_of_a_frame_goes_again_by_time_type_or_id() -> None:
    async with desk_room() as room:
        a, b = await room.mesh.publisher(), await room.mesh.session("b.1")
        frame = mesh_pb2.Frame.FromString(made("s", 1, [b"0", b"1", b"2", b"3"], PLACED))
        frame.columns.after.extend([0, 10**6, 2 * 10**6, 3 * 10**6])
        await a.publisher.feed(frame.SerializeToString())
        await a.until(4)
        await taken(b)
        assert (await room.desk.person.replay(Replay(node="b", since=AT + 1, until=AT + 3))).events == 2
        again = await taken(b)
        assert (list(again.data), again.head.first) == ([b"1", b"2"], 2)
        assert (await room.desk.person.replay(Replay(node="b", id="s.4"))).events == 1
        again = await taken(b)
        assert (list(again.data), again.head.first) == ([b"3"], 4)
        assert (await room.desk.person.replay(Replay(node="b", since=AT + 9))).events == 0


@looped
async def test_a_replay_that_cannot_be_is_refused() -> None:
    async with desk_room() as room:
        a = await room.mesh.publisher()
        await a.say(b"3", type=PAID)
        await a.until(1)
        for wrong, words in (
            (Replay(node="b"), "since: expected a moment"),
            (Replay(node="b", since=float("nan")), "since: expected a moment"),
            (Replay(node="b", since=1, types=["x"]), "does not consume 'x', but shop.placed"),
            (Replay(node="b", id="s.1"), "of type shop.paid, which b does not consume"),
            (Replay(node="b", id="s"), "<stream>.<sequence>"),
        ):
            with pytest.raises(Refused, match=words):
                await room.desk.person.replay(wrong)
        for missing, words in (
            (Replay(node="z", since=1), "z consumes nothing"),
            (Replay(node="b", id="s.9"), "s.9"),
        ):
            with pytest.raises(NotFound, match=words):
                await room.desk.person.replay(missing)
        assert room.mesh.log.span.newest == 1
        room.mesh.log.problem = "the disk is full"
        with pytest.raises(Unavailable, match=r"disk is full.* 0 events were sent again before"):
            await room.desk.person.replay(Replay(node="c", since=AT))
