"""What becomes of a stream whose publisher comes again on another connection?"""

import asyncio
from collections import Counter

import pytest

from nodemesh.model.table import Contract, Member
from nodemesh.ports import Refused
from nodemesh.runtime.publisher import MOST_UNTOLD
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.nodemesh.runtime.mesh_room import PLACED, UID, Room, Speaker, made, room, table

NUMBERS = '{"type": "integer"}'
JUDGED = {(PLACED, "a"): Contract(PLACED, "a", "1", NUMBERS)}


def twice(mesh: Room) -> list[int]:
    """Sequences that are in the log more than once."""
    counts = Counter(
        sequence
        for stored in mesh.log.frames.values()
        for sequence in range(stored.head.first, stored.head.last + 1)
    )
    return [sequence for sequence, count in counts.items() if count > 1]


@looped
async def test_what_was_refused_is_told_again_to_who_did_not_hear_it() -> None:
    async with room(table(contracts=JUDGED)) as mesh:
        a = await mesh.publisher()
        await a.say(b"1", b'"x"', b"3")
        # The connection is lost before the answer: all three seem to be on disk, and the second is not.
        a.publisher.close()
        new = await mesh.publisher()
        heard = (await new.until(3))[0]
        assert [(r.first, r.count) for r in heard.refused] == [(2, 1)]
        third = await mesh.publisher()
        assert [(r.first, r.count) for r in (await third.until(3))[0].refused] == [(2, 1)]


@looped
async def test_what_was_refused_is_told_even_if_the_mesh_was_killed_before_it_said_so() -> None:
    async with room(table(contracts=JUDGED)) as mesh:
        a = await mesh.publisher()
        await a.say(b'"x"')
        await a.say(b"2")
        await a.say(b'"x"', b'"y"', b"5")
        await a.until(5)
    async with room(table(contracts=JUDGED), log=mesh.log, index=mesh.index) as again:
        heard = (await (await again.publisher()).until(5))[0]
        assert [(r.first, r.count) for r in heard.refused] == [(1, 1), (3, 2)]
        assert "publish it again" in heard.refused[0].reason
        newer = await again.publisher()
        assert [(r.first, r.count) for r in (await newer.until(5))[0].refused] == [(1, 1), (3, 2)]


@looped
async def test_what_would_be_judged_again_is_not_told_as_refused() -> None:
    async with room(table(contracts=JUDGED)) as mesh:
        a = await mesh.publisher()
        await a.say(b"1", b'"x"')
        await a.until(2)
        new = await mesh.publisher()
        assert not (await new.until(1))[0].refused


@looped
async def test_an_answer_reaches_no_further_than_the_refusals_it_tells() -> None:
    async with room(table(contracts=JUDGED)) as mesh:
        a = await mesh.publisher()
        await a.say(*[b'"x"' if place % 2 else b"1" for place in range(400)])
        through, told = 0, set()
        for heard in await a.until(400):
            told |= {r.first for r in heard.refused}
            through = heard.through
            assert {s for s in range(2, through + 1, 2)} <= told
        assert through == 400


@looped
async def test_who_does_not_hear_its_refusals_is_not_heard_either() -> None:
    async with room(table(contracts=JUDGED)) as mesh:
        a = await mesh.publisher()

        async def flood() -> None:
            while True:
                await a.say(*[b'"x"' if place % 2 else b"1" for place in range(400)])
                await asyncio.sleep(0)

        task = asyncio.get_running_loop().create_task(flood())
        # Of each 400 half are refused; the frame after too many of those waits.
        stood = 400 * (MOST_UNTOLD // 200 + 2)
        await wait(lambda: a.sent >= stood, "the frame that is not heard")
        for _ in range(200):
            await asyncio.sleep(0)
            assert a.sent == stood
        await a.until(stood)
        assert a.sent > stood or not task.done()
        task.cancel()
        await asyncio.wait([task])


@looped
async def test_the_end_of_a_stream_is_waited_for_whoever_else_comes_before() -> None:
    async with room() as mesh:
        a = await mesh.publisher()
        mesh.log.problem = "the disk is slow"
        await a.say(b"1")
        a.publisher.close()
        await mesh.publisher("t", "a.2")
        loop = asyncio.get_running_loop()
        both = [loop.create_task(mesh.publisher()) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in both)
        mesh.log.problem = ""
        for new in [await task for task in both]:
            frame = made("s", 1, [b"1", b"2"], PLACED)
            try:
                await new.publisher.feed(frame)
            except Refused as refused:
                assert "another connection" in str(refused)
            else:
                assert (await new.until(2))[-1].through == 2
        assert not twice(mesh)


@looped
async def test_a_frame_that_waits_for_room_goes_with_its_connection() -> None:
    async with room() as mesh:
        a = await mesh.publisher()
        mesh.log.problem = "the disk is slow"

        async def flood(speaker: Speaker) -> None:
            for _ in range(40):
                await speaker.say(b"x" * 1_000_000)

        loop = asyncio.get_running_loop()
        old = loop.create_task(flood(a))
        await asyncio.sleep(0.05)
        begun = loop.create_task(mesh.publisher())
        await asyncio.sleep(0.05)
        mesh.log.problem = ""
        new = await begun
        through = (await new.until(0))[0].through
        assert 0 < through < 40
        new.sent = through
        await new.say(b"mine")
        await new.until(through + 1)
        with pytest.raises(Refused, match="begun again on another connection"):
            await old
        assert not twice(mesh)


@looped
async def test_nobody_goes_on_with_the_stream_of_another_node() -> None:
    members = {**table().members, "e.1": Member("e.1", "e", "1", UID)}
    async with room(table(members=members)) as mesh:
        a = await mesh.publisher()
        await a.say(b"1")
        await a.until(1)
        a.publisher.close()
        await mesh.publisher("t", "a.2")
        with pytest.raises(Refused, match="another node"):
            await mesh.publisher(instance="e.1")
    async with room(table(members=members), log=mesh.log, index=mesh.index) as again:
        with pytest.raises(Refused, match="another node"):
            await again.publisher(instance="e.1")
        assert (await (await again.publisher(instance="a.2")).until(1))[0].through == 1
