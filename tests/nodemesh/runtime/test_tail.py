"""Do people who look on see what is published, and can nobody who is slow do harm?"""

import asyncio
from collections.abc import Sequence

import pytest

from nodeapi.v1 import mesh_pb2
from nodemesh.ports import Refused
from nodemesh.runtime import tail
from nodemesh.runtime.views import runs
from tests.adapters.looped import looped
from tests.nodemesh.runtime.desk_room import AT, desk_room
from tests.nodemesh.runtime.mesh_room import PAID, PLACED, made


@looped
async def test_what_there_is_then_the_end() -> None:
    async with desk_room() as room:
        a = await room.mesh.publisher()
        await a.say(b"{}", b"2", subjects=["x", "y"])
        await a.say(b"3", type=PAID)
        await a.until(3)
        first, second, third = await room.tailed()
        assert (first.id, first.source, first.type, first.subject) == ("s.1", "/a", PLACED, "x")
        assert (first.time, first.content, first.data, first.size) == (AT, "application/json", b"{}", 2)
        assert (second.id, second.position, second.index) == ("s.2", 1, 1)
        assert (third.id, third.type, third.position, third.index) == ("s.3", PAID, 2, 0)
        assert len({event.trace for event in (first, second, third)}) == 3
        assert not first.outcomes


@looped
async def test_only_what_was_asked_for() -> None:
    async with desk_room() as room:
        a = await room.mesh.publisher()
        await a.say(b"1", b"2", subjects=["x", "y"])
        await a.say(b"3", type=PAID)
        await a.until(3)
        for asked, wanted in (
            ({"types": [PAID]}, ["s.3"]),
            ({"types": [PAID, PLACED]}, ["s.1", "s.2", "s.3"]),
            ({"subject": "y"}, ["s.2"]),
            ({"source": "a"}, ["s.1", "s.2", "s.3"]),
            ({"source": "/b"}, []),
            ({"since": AT + 1}, []),
            ({"limit": 2}, ["s.1", "s.2"]),
            ({"after": 1}, ["s.3"]),
            ({"since": 0}, []),
        ):
            assert [event.id for event in await room.tailed(**asked)] == wanted, asked


@looped
async def test_what_comes_is_followed() -> None:
    async with desk_room() as room:
        a = await room.mesh.publisher()
        await a.say(b"before")
        await a.until(1)
        stream = room.desk.tail.follow(mesh_pb2.TailRequest())
        seen = asyncio.get_running_loop().create_task(_take(stream, 2))
        await asyncio.sleep(0.05)
        await a.say(b"now")
        await a.until(2)
        await a.say(b"later")
        assert [event.data for event in await seen] == [b"now", b"later"]
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator


@looped
async def test_what_was_sent_again_or_came_late_hides_nothing_that_is_newer() -> None:
    async with desk_room() as room:
        a = await room.mesh.publisher()
        for number in range(20):
            frame = mesh_pb2.Frame.FromString(made("s", number + 1, [b"x"], PLACED))
            # Every third comes from a publisher that was away for long.
            frame.head.at += (number * 100 if number % 3 else 0) * 10**6
            await a.publisher.feed(frame.SerializeToString())
            await a.until(number + 1)
        again = mesh_pb2.ReplayRequest(node="b", since=1.0, until=AT + 150)
        assert (await room.desk.person.replay(again)).events == 8
        for number in range(20):
            wanted = [f"s.{n + 1}" for n in range(number, 20) if n % 3]
            found = await room.tailed(since=AT + number * 100 - 50)
            assert [event.id for event in found if event.time > AT] == wanted


@looped
async def test_long_data_is_cut_and_says_so() -> None:
    async with desk_room() as room:
        a = await room.mesh.publisher()
        await a.say(b"x" * 200_000)
        await a.until(1)
        (event,) = await room.tailed()
        assert (len(event.data), event.size) == (64 * 1024, 200_000)
        shown = await room.desk.show.event(mesh_pb2.ShowRequest(id="s.1"))
        assert len(shown.data) == 200_000


@looped
async def test_who_is_slower_than_the_log_forgets_is_told() -> None:
    async with desk_room() as room:
        a = await room.mesh.publisher()
        for number in range(4):
            await a.say(b"x" * tail.READ)
            await a.until(number + 1)
        stream = room.desk.tail.follow(mesh_pb2.TailRequest(since=1.0))
        assert [event.id for event in await _take(stream, 1)] == ["s.1"]
        await room.mesh.log.drop(4)
        with pytest.raises(Refused, match=r"2 frames of events were given up.*--since"):
            await _take(stream, 1)


@looped
async def test_not_everybody_looks_on_at_once_and_who_leaves_makes_room() -> None:
    async with desk_room() as room:
        a = await room.mesh.publisher()
        await a.say(b"1")
        await a.until(1)
        streams = [room.desk.tail.follow(mesh_pb2.TailRequest(since=1.0)) for _ in range(tail.MOST)]
        for stream in streams:
            await _take(stream, 1)
        with pytest.raises(Refused, match="looking on already"):
            await room.tailed()
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        assert len(await room.tailed()) == 1
        assert not room.mesh.broker._watchers
        with pytest.raises(Refused, match="types: expected at most 100"):
            await room.tailed(types=["x"] * 101)


@looped
async def test_who_looks_on_leaves_time_to_the_nodes() -> None:
    async with desk_room() as room:
        a = await room.mesh.publisher()
        await a.say(*[b"{}"] * 500)
        await a.say(*[b"{}"] * 500)
        await a.until(1000)
        begun = asyncio.get_running_loop().time()
        assert len(await room.tailed()) == 1000
        assert asyncio.get_running_loop().time() - begun > 900 / tail.RATE


@pytest.mark.parametrize(
    ("places", "wanted"), [([], []), ([0], [(0, 1)]), ([0, 1, 3, 5, 6], [(0, 2), (3, 4), (5, 7)])]
)
def test_neighbours(places: Sequence[int], wanted: object) -> None:
    assert list(runs(list(places))) == wanted


async def _take(stream: object, count: int) -> list[mesh_pb2.Event]:
    found: list[mesh_pb2.Event] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found.append(await anext(stream))  # type: ignore[call-overload]  # it is a generator
    return found
