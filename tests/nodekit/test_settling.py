"""Is the mesh told what is handled, what takes long and what is given back? And does it send what fits?"""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from nodekit import Context, wire
from tests.nodekit.mesh_side import MeshSide, living, run, trial, until


def failures(mesh: MeshSide) -> list[tuple[int, int, int]]:
    return [(each.delivery, each.event, each.how) for each in mesh.failed]


@pytest.mark.parametrize("threads", [False, True])
def test_a_handler_that_takes_too_long_is_cut_off(threads: bool) -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        end = threading.Event()
        cleaned: list[int] = []

        async def on(event: int, ctx: Context) -> None:
            try:
                await asyncio.sleep(0 if event else 60)
            finally:
                cleaned.append(event)

        def in_thread(event: int, ctx: Context) -> None:
            if not event:
                end.wait(5)
            cleaned.append(event)

        events.on("a.b", timeout=0.1, concurrency=1)(in_thread if threads else on)
        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"0", b"1"])
            await until(lambda: mesh.failed)
            end.set()
            await until(lambda: mesh.through == 1)
        assert mesh.failed == [wire.Failed(1, 0, wire.RETRY, 0.0, "not handled within 0.1 s")]
        assert cleaned == [0, 1]

    run(scenario)


def test_credits_grow_with_what_is_handled_and_not_beyond() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)

        @events.on("a.b", concurrency=2)
        async def on(event: int, ctx: Context) -> None:
            pass

        async with living(events):
            await until(lambda: mesh.subscribes)
            assert mesh.subscribes[0].granted == 4
            for _ in range(40):
                mesh.deliver([b"0"] * 512)
            await until(lambda: mesh.through == 40)
            granted = [each.granted for each in mesh.settles]
            assert granted == sorted(granted)
            assert 40 * 512 + 4 < granted[-1] <= 40 * 512 + 8192

    run(scenario)


@pytest.mark.parametrize("keyed", [False, True])
def test_every_event_counts_once_whatever_became_of_those_beside_it(keyed: bool) -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        seen: list[int] = []
        go_on = asyncio.Event()

        @events.on("a.b", concurrency=2)
        async def on(event: int, ctx: Context) -> None:
            seen.append(event)
            if event in (2, 5):
                await go_on.wait()
            if event in (3, 5):
                raise ValueError("no")

        async with living(events):
            await until(lambda: mesh.subscribes)
            subjects = [f"s{place}" for place in range(7)] if keyed else []
            mesh.deliver([b"0", b"1", b"2", b"3", b"4", b"5", b"6"], subjects=subjects)
            await until(lambda: len(seen) == 6)
            # Two wait, as many as may; the last has nobody.
            await until(lambda: events.done == 4)
            assert mesh.through == 0
            go_on.set()
            await until(lambda: mesh.through == 1)
            assert events.done == 7
        assert sorted(seen) == list(range(7))
        assert sorted(failures(mesh)) == [(1, 3, wire.RETRY), (1, 5, wire.RETRY)]

    run(scenario)


def test_what_takes_long_is_said_to_be_worked_on() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        go_on = asyncio.Event()

        @events.on("a.b", timeout=0.3)
        async def on(event: int, ctx: Context) -> None:
            if event:
                await asyncio.wait_for(go_on.wait(), 0.25)

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"0"])
            mesh.deliver([b"1"])
            mesh.deliver([b"0"])
            await until(lambda: any(each.working == [2] for each in mesh.settles))
            said = next(each for each in mesh.settles if 3 in each.done)
            assert said.through == 1
            go_on.set()
            await until(lambda: mesh.through == 3)

    run(scenario)


def test_a_stop_ends_what_has_begun_and_gives_back_the_rest() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        begun: list[int] = []

        @events.on("a.b", concurrency=2)
        async def on(event: int, ctx: Context) -> None:
            begun.append(event)
            await asyncio.sleep(0.1)

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"0", b"1", b"2", b"3"])
            await until(lambda: len(begun) == 2)
        await until(lambda: mesh.through == 1)
        assert begun == [0, 1]
        assert failures(mesh) == [(1, 2, wire.RELEASE), (1, 3, wire.RELEASE)]

    run(scenario)


def test_what_does_not_end_before_the_stop_is_cut_off_and_comes_again() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)

        @events.on("a.b")
        async def on(event: int, ctx: Context) -> None:
            await asyncio.sleep(60)

        events.open(Path("/nonexistent"))
        async with asyncio.TaskGroup() as group:
            events.consume(group)
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"0"])
            await until(lambda: events.consumer and events.consumer.at_work())
            assert await events.stop_consuming(time.monotonic() + 0.05) == 1
            await events.close(time.monotonic() + 1)
        await until(lambda: mesh.failed)
        assert mesh.failed[0].reason == "cut off when the node stopped"

    run(scenario)


def test_quick_handlers_leave_the_loop_to_others() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)

        @events.on("a.b")
        async def on(event: int, ctx: Context) -> None:
            time.sleep(0.002)  # noqa: ASYNC251 - that is the point

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"0"] * 100)
            worst = 0.0
            while mesh.through < 1:
                began = time.monotonic()
                await asyncio.sleep(0)
                worst = max(worst, time.monotonic() - began)
        assert worst < 0.1

    run(scenario)
