"""Who is called, who waits, and what is taken without waiting?"""

import asyncio

from nodeapi.v1 import mesh_pb2
from nodemesh.runtime.bell import Bell
from tests.adapters.looped import looped
from tests.nodemesh.runtime.mesh_room import room, taken


@looped
async def test_who_is_called_is_called_once_for_a_turn_of_the_loop() -> None:
    bell, calls = Bell(), []
    bell.set()
    bell.call(lambda: calls.append(1))
    bell.set()
    bell.set()
    assert calls == []
    await asyncio.sleep(0)
    assert calls == [1]
    bell.ring()
    assert calls == [1, 1]
    bell.set()
    await asyncio.sleep(0)
    assert calls == [1, 1, 1]


@looped
async def test_who_waits_is_woken_either_way() -> None:
    bell = Bell()
    for wake in (bell.set, bell.ring):
        bell.clear()
        waiting = asyncio.get_running_loop().create_task(bell.wait())
        await asyncio.sleep(0)
        wake()
        async with asyncio.timeout(5):
            await waiting


@looped
async def test_what_was_committed_is_there_in_the_turn_in_which_its_session_is_called() -> None:
    async with room() as mesh:
        a, b = await mesh.publisher(), await mesh.session()
        found: list[bytes] = []

        def call() -> None:
            while (data := b.take_now()) is not None:
                found.append(data)

        b.wake.call(call)
        await a.say(b"1", b"2")
        await a.until(2)
        assert [list(mesh_pb2.Frame.FromString(data).data) for data in found] == [[b"1", b"2"]]
        assert b.take_now() is None and not b.is_unread


@looped
async def test_what_is_not_in_memory_any_more_is_only_for_who_waits() -> None:
    async with room() as mesh:
        a = await mesh.publisher()
        for _ in range(200):
            await a.say(bytes(100_000))
        await a.until(200)
        b = await mesh.session(granted=2)
        assert b.take_now() is None and b.is_unread
        assert b.take_now() is None
        for position in (1, 2):
            frame = await taken(b)
            assert (frame.delivery.number, frame.head.first) == (position, position)
        assert b.take_now() is None and not b.is_unread
