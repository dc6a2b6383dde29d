"""Is what belongs together found in the log, and is it said what was not looked through?"""

from hashlib import sha256

import pytest

from nodeapi.v1 import mesh_pb2
from nodemesh.ports import NotFound, Refused
from nodemesh.runtime import traces
from tests.adapters.looped import looped
from tests.nodemesh.runtime.desk_room import DeskRoom, answer, desk_room

TRACE = sha256(b"root.1").digest()[:16]


async def told(room: DeskRoom, id: str) -> mesh_pb2.TraceReply:
    return await room.desk.traces.get(mesh_pb2.TraceRequest(id=id))


async def story(room: DeskRoom, noise: int = 3) -> None:
    """root.1 -> one.1 and one.2; one.2 -> two.1; other events around them."""
    root, one, two, other = [await room.mesh.publisher(name) for name in ("root", "one", "two", "other")]
    said = 0

    async def others() -> None:
        nonlocal said
        for _ in range(noise):
            await other.say(b"noise")
            said += 1
        await other.until(said)

    await others()
    await root.say(b"root", b"not in it")
    await root.until(2)
    await others()
    await one.publisher.feed(answer("one", 1, "root.1", TRACE, 2))
    await one.until(2)
    await others()
    await two.publisher.feed(answer("two", 1, "one.2", TRACE))
    await two.until(1)
    await others()


@pytest.mark.parametrize("id", ["root.1", "one.1", "one.2", "two.1", TRACE.hex(), TRACE.hex().upper()])
@pytest.mark.parametrize("noise", [3, 25])
def test_a_trace_is_found_by_its_id_and_by_that_of_any_event(id: str, noise: int) -> None:
    @looped
    async def found() -> None:
        async with desk_room() as room:
            await story(room, noise)
            reply = await told(room, id)
            assert (reply.trace, reply.unsearched) == (TRACE.hex(), "")
            assert [(e.id, e.cause) for e in reply.events] == [
                ("root.1", ""),
                ("one.1", "root.1"),
                ("one.2", "root.1"),
                ("two.1", "one.2"),
            ]
            assert all(not e.data and e.size for e in reply.events)
            assert [o.consumer for o in reply.events[0].outcomes] == ["b", "c"]

    found()


@looped
async def test_an_event_that_nothing_answered_is_a_trace_of_its_own() -> None:
    async with desk_room() as room:
        await story(room)
        alone = sha256(b"root.2").digest()[:16].hex()
        for id in ("root.2", alone):
            reply = await told(room, id)
            assert (reply.trace, [e.id for e in reply.events], reply.unsearched) == (alone, ["root.2"], "")


@looped
async def test_a_trace_from_outside_may_have_several_beginnings() -> None:
    async with desk_room() as room:
        outside = b"o" * 16
        for name in ("x", "y"):
            speaker = await room.mesh.publisher(name)
            await speaker.publisher.feed(answer(name, 1, "", outside))
            await speaker.until(1)
        for id in ("x.1", "y.1", outside.hex()):
            assert [e.id for e in (await told(room, id)).events] == ["x.1", "y.1"]


@looped
async def test_a_cause_that_is_not_kept_any_more_ends_the_way_up() -> None:
    async with desk_room() as room:
        await story(room)
        await room.mesh.log.drop(6)
        for id in ("two.1", TRACE.hex()):
            assert [e.id for e in (await told(room, id)).events] == ["one.1", "one.2", "two.1"]


@looped
async def test_causes_in_a_circle_end() -> None:
    async with desk_room() as room:
        for name, cause in (("x", "y.1"), ("y", "x.1")):
            speaker = await room.mesh.publisher(name)
            await speaker.publisher.feed(answer(name, 1, cause, TRACE))
            await speaker.until(1)
        assert [e.id for e in (await told(room, "y.1")).events] == ["x.1", "y.1"]


@looped
async def test_what_was_sent_again_is_told_with_its_outcome() -> None:
    async with desk_room() as room:
        await story(room)
        await room.desk.person.replay(mesh_pb2.ReplayRequest(node="b", id="one.2"))
        events = {e.id: e for e in (await told(room, TRACE.hex())).events}
        assert events["one.2"].outcomes[0].reason == "sent 2 times"
        assert len(events) == 4


@looped
async def test_what_was_not_looked_through_is_said() -> None:
    async with desk_room() as room:
        await story(room, 70)
        search = traces.Search(TRACE, until=-1.0)
        assert "from position 1 to 284" in await room.desk.traces._back(search, 284)
        assert "from position 7 to 284" in await room.desk.traces._forward(search, 7, 284)


@looped
async def test_what_is_not_there_is_not_found() -> None:
    async with desk_room() as room:
        await story(room)
        for id in ("root.9", "0" * 32):
            with pytest.raises(NotFound):
                await told(room, id)
        for id in ("", "x" * 32, "abc"):
            with pytest.raises(Refused, match=r"<stream>.<sequence>"):
                await told(room, id)
