"""How far is read ahead for consumers that are behind? As far as the memory goes that all share."""

import asyncio
from collections.abc import Sequence

from nodeapi.v1 import mesh_pb2
from nodemesh.model.cursor import Cursor
from nodemesh.model.frame import Stored
from nodemesh.model.table import Consumer, Member
from nodemesh.runtime.broker import RECENT
from nodemesh.runtime.recent import LEAST
from tests.adapters.looped import looped
from tests.adapters.looped import until as until_async
from tests.fakes.mesh_index import FakeIndex
from tests.fakes.mesh_log import FakeLog
from tests.nodemesh.runtime.mesh_room import PAID, PLACED, UID, Room, room, table, taken

SIZE = 100_000
EVENTS = 300


class Counting(FakeLog):
    """It knows what was read of it for those who are behind, and frame by frame."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes = self.single = 0

    async def read(self, start: int, types: frozenset[str], most: int) -> tuple[Sequence[Stored], int]:
        found, following = await super().read(start, types, most)
        self.read_bytes += sum(len(frame.data) for frame in found)
        self.single += most == 1
        return found, following


async def filled(*kinds: str, size: int = SIZE, events: int = EVENTS) -> Counting:
    log = Counting()
    async with room(log=log) as mesh:
        a = await mesh.publisher()
        for number in range(events):
            await a.say(b"x" * size, type=kinds[number % len(kinds)])
        await a.until(events)
    log.read_bytes = 0
    return log


async def late(*names: str) -> FakeIndex:
    """All is new for these."""
    index = FakeIndex()
    await index.save({name: Cursor(1) for name in names}, ())
    return index


async def caught_up(mesh: Room, instance: str, events: int) -> list[bytes]:
    session = await mesh.session(instance, granted=20)
    seen: list[bytes] = []
    while len(seen) < events:
        seen += (await taken(session)).data
        session.settle(mesh_pb2.Settle(through=len(seen), granted=len(seen) + 20))
        # A consumer has other work: the others have their turn.
        await asyncio.sleep(0)
    return seen


@looped
async def test_a_consumer_that_takes_nothing_has_little_read_for_it() -> None:
    log = await filled(PLACED)
    async with room(log=log, index=await late("b", "c")) as mesh:
        b = await mesh.session("b.1", granted=1)
        await taken(b)
        node = mesh.broker.consumers["b"]

        async def is_ahead() -> bool:
            return node.delivery.offered * SIZE >= RECENT // 8

        await until_async(is_ahead)
        await asyncio.sleep(0.1)
        assert node.delivery.offered * SIZE <= RECENT // 2 + LEAST
        for number in range(2, EVENTS + 1):
            b.settle(mesh_pb2.Settle(through=number - 1, granted=number))
            await taken(b)


@looped
async def test_nothing_is_read_twice_for_those_who_are_behind_at_different_places() -> None:
    nodes = [f"n{number}" for number in range(8)]
    log = await filled(PLACED)
    members = {f"{n}.1": Member(f"{n}.1", n, "1", UID) for n in nodes}
    first = table(1, members=members, consumers={n: Consumer(n, {PLACED: False}, "1") for n in nodes})
    starts = {name: 1 + number * EVENTS // 10 for number, name in enumerate(nodes)}
    index = FakeIndex()
    await index.save({name: Cursor(start) for name, start in starts.items()}, ())
    async with room(first, log=log, index=index) as mesh:
        left = {name: EVENTS + 1 - start for name, start in starts.items()}
        await asyncio.gather(*(caught_up(mesh, f"{name}.1", events) for name, events in left.items()))
    assert log.single < 0.05 * sum(left.values()), "what was read ahead was pushed out before it was sent"
    assert log.read_bytes < 1.1 * sum(left.values()) * SIZE


@looped
async def test_of_many_small_frames_no_more_is_read_than_there_is_room_for() -> None:
    events = 6000
    log = await filled(PLACED, PAID, size=100, events=events)
    mine = sum(len(frame.data) for frame in log.frames.values() if PLACED in frame.head.types)
    only = table(1, consumers={"b": Consumer("b", {PLACED: False}, "1")})
    async with room(only, log=log, index=await late("b")) as mesh:
        await caught_up(mesh, "b.1", events // 2)
    assert log.read_bytes < 2 * mine, "the first time nobody knows how small they are"


@looped
async def test_what_nobody_may_have_now_is_read_past() -> None:
    """A key that waits, or types that nobody handles, fill what is ahead: others come behind them."""
    log = await filled(*[PLACED] * (EVENTS - 1), PAID)
    async with room(log=log, index=await late("b", "c")) as mesh:
        only = mesh_pb2.Subscribe(instance="c.1", granted=10, wishes=[mesh_pb2.Wish(type=PAID)])
        session = await mesh.broker.session(UID, only)
        assert (await taken(session)).head.types == [PAID]


@looped
async def test_who_falls_behind_is_given_what_is_in_memory_still() -> None:
    log = Counting()
    async with room(log=log) as mesh:
        a, b, c = await mesh.publisher(), await mesh.session("b.1", granted=1), await mesh.session("c.1")
        for number in range(1, 101):
            await a.say(b"x" * SIZE)
            await a.until(number)
            if number < 2:
                await taken(b)
            await taken(c)
            c.settle(mesh_pb2.Settle(through=number, granted=1000))
        for number in range(2, 101):
            b.settle(mesh_pb2.Settle(through=number - 1, granted=number))
            assert (await taken(b)).delivery.position == number
        assert not log.read_bytes
