"""What must hold for every log of the mesh, on disk and in memory?"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nodemesh.adapters.sqlite_log import SqliteLog
from nodemesh.model.frame import Columns
from nodemesh.ports import Log, NotFound
from tests.adapters.looped import looped
from tests.fakes.mesh_log import FakeLog
from tests.nodemesh.adapters.stored_frames import all_of, frame, frames

Make = Callable[[], AbstractAsyncContextManager[FakeLog | SqliteLog]]


@pytest.fixture(params=["fake", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    @asynccontextmanager
    async def made() -> AsyncIterator[FakeLog | SqliteLog]:
        log: FakeLog | SqliteLog
        if request.param == "fake":
            log = FakeLog()
        else:
            log = await SqliteLog.open(tmp_path / "log", tmp_path / "aside", limit=200_000)
        try:
            yield log
        finally:
            await log.close()

    return made


@looped
async def test_an_empty_log_says_so(make: Make) -> None:
    async with make() as log:
        assert (log.span.oldest, log.span.newest) == (0, 0)
        assert dict(log.streams) == {}
        assert await log.read(0, frozenset(), 1000) == ((), 1) or await log.read(0, frozenset(), 1000) == (
            [],
            1,
        )
        assert await log.drop(100) == 0
        with pytest.raises(NotFound, match=r"shop\.1\.1"):
            await log.find("shop.1", 1)


@looped
async def test_what_was_appended_is_read_in_order(make: Make) -> None:
    async with make() as log:
        wanted = frames(1, 40, size=20_000)
        await log.append(wanted[:1])
        await log.append(wanted[1:25])
        await log.append(())
        await log.append(wanted[25:])
        assert (log.span.oldest, log.span.newest) == (1, 40)
        assert log.span.bytes >= 40 * 20_000
        assert await all_of(log) == wanted
        assert await all_of(log, 17) == wanted[16:]
        assert await all_of(log, most=1) == wanted
        assert await log.read(41, frozenset(), 1000) in (((), 41), ([], 41))


@looped
async def test_every_part_of_a_frame_is_kept(make: Make) -> None:
    async with make() as log:
        columns = Columns((0, 1, 1), (4_294_967_295, 0, 7))
        names = ('ö"x', "a,b", "\\\n")
        wanted = [
            frame(1, "shop.1", 1, 3, names, columns=columns),
            frame(2, "bank.7", 2**62, 512, ("paid",), 1, Columns((), (9,))),
            frame(3, "shop.1", 4, 1, (), 1_100_000, Columns((0,), ())),
        ]
        await log.append(wanted)
        assert await all_of(log) == wanted
        for name in names:
            assert await all_of(log, types=[name]) == wanted[:1]
        assert await all_of(log, types=["paid", "b"]) == wanted[1:2]


@looped
async def test_only_frames_with_a_wanted_type_are_read(make: Make) -> None:
    async with make() as log:
        kinds = [("placed",), ("paid", "sent"), ("sent",), ("placed", "paid")]
        wanted = [frame(n, types=kinds[n % 4], size=5_000) for n in range(1, 101)]
        await log.append(wanted)
        for types in (["paid"], ["sent", "placed"], ["pla"], ["paid", "sent", "placed"]):
            expected = [each for each in wanted if set(types) & set(each.head.types)]
            assert await all_of(log, types=types, most=12_000) == expected
        found, following = await log.read(1, frozenset(["pla"]), 1000)
        assert (list(found), following) == ([], 101)


@looped
async def test_a_read_stops_at_about_the_bytes_asked_for(make: Make) -> None:
    async with make() as log:
        await log.append(frames(1, 30, size=1000))
        found, following = await log.read(3, frozenset(), 4500)
        assert ([each.position for each in found], following) == ([3, 4, 5, 6, 7], 8)
        found, following = await log.read(8, frozenset(), 1)
        assert ([each.position for each in found], following) == ([8], 9)


@looped
async def test_an_event_is_found_by_its_stream_and_sequence(make: Make) -> None:
    async with make() as log:
        wanted = [
            frame(1, "shop.1", 1, 10),
            frame(2, "shop.2", 1, 5),
            frame(3, "shop.1", 11, 3),
            frame(4, "shop.1", 14, 1),
        ]
        await log.append(wanted)
        for sequence, position in ((1, 1), (10, 1), (11, 3), (13, 3), (14, 4)):
            assert await log.find("shop.1", sequence) == wanted[position - 1]
        assert await log.find("shop.2", 5) == wanted[1]
        for stream, sequence in (("shop.1", 15), ("shop.1", 0), ("shop.2", 6), ("shop", 1), ("shop.10", 1)):
            with pytest.raises(NotFound, match="never came"):
                await log.find(stream, sequence)


@looped
async def test_the_end_of_every_stream_is_known(make: Make) -> None:
    async with make() as log:
        await log.append([frame(1, "shop.1", 1, 10), frame(2, "shop.2", 1, 5)])
        await log.append([frame(3, "shop.1", 11, 3)])
        assert dict(log.streams) == {"shop.1": 13, "shop.2": 5}


@looped
async def test_old_frames_can_go_and_the_newest_stays(make: Make) -> None:
    async with make() as log:
        for number in range(1, 41):
            await log.append([frame(number, size=20_000)])
        assert await log.drop(1) == 0
        assert await log.drop(21) > 0
        oldest = log.span.oldest
        assert 1 < oldest <= 21
        assert [each.position for each in await all_of(log)] == list(range(oldest, 41))
        with pytest.raises(NotFound):
            await log.find("shop.1", 1)
        assert await log.drop(10**9) > 0
        assert log.span.newest == 40
        assert (await all_of(log))[-1].position == 40
        await log.append([frame(41)])
        assert (await all_of(log))[-1].position == 41
        assert dict(log.streams) == {"shop.1": 41}


@looped
async def test_positions_have_no_gap_and_none_is_given_twice(make: Make) -> None:
    async with make() as log:
        log.begin_above(100)
        for wrong in ([frame(1)], [frame(100)], [frame(102)], [frame(101), frame(103)]):
            with pytest.raises(ValueError, match="101"):
                await log.append(wrong)
        await log.append([frame(101)])
        log.begin_above(50)
        assert [each.position for each in await all_of(log)] == [101]
        assert (log.span.oldest, log.span.newest) == (101, 101)


@looped
async def test_when_a_frame_was_taken_rises_with_its_position(make: Make) -> None:
    async with make() as log:
        first, second, third = frames(1, 3)
        late = replace(second, head=replace(second.head, at=5.0))
        await log.append([first, late, third, replace(late, position=4, to="bank")])
        await log.append([frame(5)])
        taken = [each.taken for each in await all_of(log)]
        assert taken == sorted(taken) and taken[0] > 0


@looped
async def test_reads_go_on_while_it_is_written(make: Make) -> None:
    async with make() as log:
        seen: list[int] = []

        async def follow(log: Log) -> None:
            start = 1
            while start <= 60:
                found, start = await log.read(start, frozenset(), 100_000)
                seen.extend(each.position for each in found)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(follow(log))
            for number in range(1, 61):
                await log.append([frame(number, size=20_000)])
        assert seen == list(range(1, 61))


@looped
async def test_what_is_sent_again_keeps_its_receiver_and_is_told_apart(make: Make) -> None:
    async with make() as log:
        whole, later = frame(1, "shop.1", 1, 10), frame(2, "shop.1", 11, 3)
        again = replace(frame(3, "shop.1", 5, 2), to="bank")
        other = replace(frame(4, "shop.1", 1, 10), to="ship")
        await log.append([whole, later, again, other])
        assert await all_of(log) == [whole, later, again, other]
        assert await log.find("shop.1", 6) == whole
        assert list(await log.copies("shop.1", 6)) == [again, other]
        assert list(await log.copies("shop.1", 7)) == [other]
        assert list(await log.copies("shop.1", 12)) == list(await log.copies("shop.2", 6)) == []
        assert dict(log.streams) == {"shop.1": 13}
