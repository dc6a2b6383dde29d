"""What does trouble with the disk, or at a bad moment, do to the mesh?"""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from nodeapi.v1 import mesh_pb2
from nodemesh.model.cursor import Cursor, Dead
from nodemesh.model.frame import Stored
from nodemesh.model.table import Consumer
from nodemesh.ports import Unavailable
from tests.adapters.looped import looped
from tests.adapters.looped import until as until_async
from tests.fakes.mesh_index import FakeIndex
from tests.fakes.mesh_log import FakeLog
from tests.nodemesh.runtime.mesh_room import PAID, PLACED, made, room, table, taken


class ReadOnly(FakeLog):
    """Its disk lets nobody remove a file."""

    async def drop(self, below: int) -> int:
        raise Unavailable("cannot remove a file: the file system is read-only")


class Slow(FakeLog):
    """Reads wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.asked = asyncio.Event(), asyncio.Event()
        self.may.set()

    async def read(self, start: int, types: frozenset[str], most: int) -> tuple[list[Stored], int]:
        if types:
            self.asked.set()
            await self.may.wait()
        found, following = await super().read(start, types, most)
        return list(found), following


@looped
async def test_a_log_that_cannot_be_made_smaller_refuses_and_the_mesh_goes_on() -> None:
    async with room(log=ReadOnly(), limit=100) as mesh:
        a, b = await mesh.publisher(), await mesh.session("b.1")
        c = await mesh.session("c.1")
        await a.say(b"x" * 200)
        await a.until(1)
        for session in (b, c):
            await taken(session)
            session.settle(mesh_pb2.Settle(through=1, granted=1000))
        await a.say(b"y")
        refused = [r for heard in await a.until(2, within=20.0) for r in heard.refused]
        assert "read-only" in refused[0].reason


@looped
async def test_a_type_that_is_asked_for_while_the_log_is_read_is_not_passed_over() -> None:
    log = Slow()
    async with room(log=log) as mesh:
        a = await mesh.publisher()
        await a.say(b"1", type=PAID)
        await a.until(1)
    log.may.clear()
    index = FakeIndex()
    await index.save({"b": Cursor(1), "c": Cursor(2)}, ())
    async with room(log=log, index=index) as again:
        async with asyncio.timeout(5):
            await log.asked.wait()
        both = Consumer("b", {PLACED: False, PAID: False}, "1")
        await again.broker.set_table(table(2, consumers={**table().consumers, "b": both}))
        a = await again.publisher()
        await a.publisher.feed(made("s", 2, [b"2"], PAID))
        await a.until(2)
        log.may.set()
        b = await again.session("b.1")
        assert [list((await taken(b)).data) for _ in range(2)] == [[b"1"], [b"2"]]


@looped
async def test_a_consumer_that_is_removed_while_it_is_written_down_stays_removed() -> None:
    index = Counted()
    async with room(index=index) as mesh:
        a, b = await mesh.publisher(), await mesh.session("b.1")
        await a.say(b"bad")
        await taken(b)
        node = mesh.broker.consumers["b"]
        asked, may = asyncio.Event(), asyncio.Event()
        letters = node.letters

        async def slow_letters() -> object:
            found = await letters()
            if found[1]:
                asked.set()
            await may.wait()
            return found

        node.letters = slow_letters  # type: ignore[method-assign, assignment]
        b.settle(mesh_pb2.Settle(failed=[mesh_pb2.Failed(delivery=1, how=mesh_pb2.Failed.REJECT)]))
        async with asyncio.timeout(5):
            await asked.wait()
        others = {"c": table().consumers["c"]}
        await mesh.broker.set_table(table(2, consumers=others, gone=("b",)))
        before = index.saves
        may.set()
        # c was changed as well: it is written down.
        mesh.broker.consumers["c"].changed = True
        await until_async(lambda: _said(index.saves > before))
        assert "b" not in mesh.index.kept
        assert not mesh.index.letters


@looped
async def test_a_removed_consumer_that_stays_in_the_index_is_told_and_tried_again() -> None:
    async with room() as mesh:
        others = {"c": table().consumers["c"]}
        await mesh.broker.save()
        mesh.index.problem = "the disk is full"
        with pytest.raises(Unavailable):
            await mesh.broker.set_table(table(2, consumers=others, gone=("b",)))
        assert "b" in mesh.index.kept and "b" not in mesh.broker.consumers
        mesh.index.problem = ""
        await until_async(lambda: _said("b" not in mesh.index.kept))


@looped
async def test_dead_letters_are_safe_before_the_log_forgets_their_events() -> None:
    async with room(limit=300) as mesh:
        a, b, c = await mesh.publisher(), await mesh.session("b.1"), await mesh.session("c.1")
        await a.say(b"x" * 200)
        await a.until(1)
        await taken(b)
        await taken(c)
        b.settle(mesh_pb2.Settle(failed=[mesh_pb2.Failed(delivery=1, how=mesh_pb2.Failed.REJECT)]))
        c.settle(mesh_pb2.Settle(through=1))
        await until_async(lambda: _said(mesh.broker.floor == 2))
        assert not mesh.index.hardened
        for through in (2, 3):
            await a.say(b"y" * 200)
            await a.until(through)
        assert mesh.index.hardened and 1 not in mesh.log.frames


@looped
async def test_epochs_rise_when_the_order_changes() -> None:
    async with room() as mesh:
        a, b = await mesh.publisher(), await mesh.session("b.1")
        await a.say(b"1")
        before = (await taken(b)).delivery.epoch
        consumers = {**table().consumers, "b": Consumer("b", {PLACED: True}, "1")}
        await mesh.broker.set_table(table(2, consumers=consumers))
        again = await taken(await mesh.session("b.1"))
        assert again.delivery.epoch > before


async def _said(said: bool) -> bool:
    return said


class Counted(FakeIndex):
    saves = 0

    async def save(self, cursors: Mapping[str, Cursor], dead: Sequence[tuple[Dead, bytes]]) -> None:
        await super().save(cursors, dead)
        self.saves += 1
