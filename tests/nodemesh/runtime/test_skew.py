"""Two releases of a node that do not handle the same types: each gets what it handles, nothing is lost."""

import asyncio
from dataclasses import replace

from nodeapi.v1 import mesh_pb2
from nodemesh.model.table import Consumer, Member, Table
from nodemesh.policy.bounds import AHEAD
from nodemesh.runtime.session import Session
from tests.adapters.looped import looped
from tests.nodemesh.runtime.mesh_room import PAID, PLACED, UID, Room, nothing, room, table, taken


def two_releases() -> Table:
    members = {"b.9": Member("b.9", "b", "2", UID), **table().members}
    return table(members=members, consumers={"b": Consumer("b", {PLACED: False, PAID: False}, "1")})


async def session(it: Room, instance: str, *types: str) -> Session:
    wishes = [mesh_pb2.Wish(type=type) for type in types]
    asked = mesh_pb2.Subscribe(instance=instance, granted=60_000, wishes=wishes)
    made = await it.broker.session(UID, asked)
    assert isinstance(made, Session)
    return made


async def all_of(who: Session, frames: int) -> list[mesh_pb2.Frame]:
    got = []
    for _ in range(frames):
        got.append(await taken(who))
        who.settle(mesh_pb2.Settle(through=got[-1].delivery.number, granted=60_000))
    return got


async def settled(it: Room, floor: int) -> None:
    async with asyncio.timeout(5):
        while it.broker.floor < floor:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


@looped
async def test_what_only_the_next_release_handles_waits_on_disk_and_holds_up_nothing() -> None:
    frames = AHEAD + 100
    async with room(two_releases()) as it:
        stable = await session(it, "b.1", PLACED)
        speaker = await it.publisher()
        for n in range(frames):
            await speaker.say(b"%d" % n, type=PAID)
        await speaker.say(b"last", type=PLACED)
        (got,) = await all_of(stable, 1)
        assert got.data == [b"last"] and list(got.head.types) == [PLACED]
        assert await nothing(stable)
        assert it.broker.floor == 1, "the log keeps them"
        assert it.broker.consumers["b"].delivery.waiting == 0, "memory does not"
        index = it.index
        await it.broker.save()
    async with room(two_releases(), it.log, index) as it:
        stable = await session(it, "b.1", PLACED)
        it.broker.consumers["b"].route(replace(it.broker.consumers["b"].delivery.consumer, stable="2"))
        promoted = await session(it, "b.9", PLACED, PAID)
        later = await all_of(promoted, frames)
        assert [each.data[0] for each in later] == [b"%d" % n for n in range(frames)]
        assert await nothing(stable)
        await settled(it, frames + 2)


@looped
async def test_what_an_absent_release_had_is_found_again() -> None:
    async with room(two_releases()) as it:
        stable, other = await session(it, "b.1", PLACED), await session(it, "b.2", PLACED, PAID)
        speaker = await it.publisher()
        await speaker.say(b"1", type=PAID)
        await speaker.until(1)
        assert (await taken(other)).data == [b"1"]
        other.close()
        for text in (b"2", b"3"):
            await speaker.say(text, type=PAID)
        await speaker.say(b"4", type=PLACED)
        assert [each.data[0] for each in await all_of(stable, 1)] == [b"4"]
        again = await session(it, "b.2", PLACED, PAID)
        assert sorted(each.data[0] for each in await all_of(again, 3)) == [b"1", b"2", b"3"]
        await settled(it, 5)
