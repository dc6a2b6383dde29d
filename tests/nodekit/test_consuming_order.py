"""Do events come in the order that is asked, and once, whatever fails in between?"""

import asyncio
from pathlib import Path

import pytest

from nodekit import Context, Reject, Retry, wire
from tests.nodekit.mesh_side import MeshSide, living, run, trial, until


def failures(mesh: MeshSide) -> list[tuple[int, int, int]]:
    return [(each.delivery, each.event, each.how) for each in mesh.failed]


def test_events_of_one_subject_come_one_after_the_other() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        running: set[str] = set()
        seen: list[tuple[str, int]] = []
        for type in ("one", "two"):

            @events.on(type)
            async def on(event: int, ctx: Context) -> None:
                assert ctx.subject not in running
                running.add(ctx.subject)
                await asyncio.sleep(0.003 if event % 3 else 0)
                running.discard(ctx.subject)
                seen.append((ctx.subject, event))

        async with living(events):
            await until(lambda: mesh.subscribes)
            for start in (0, 10):
                mesh.deliver(
                    [str(start + n).encode() for n in range(10)],
                    types=("one", "two"),
                    type=[n % 2 for n in range(10)],
                    subjects=[f"s{n % 3}" for n in range(10)],
                )
            await until(lambda: mesh.through == 2)
        assert mesh.failed == []
        for subject in ("s0", "s1", "s2"):
            mine = [event for each, event in seen if each == subject]
            assert mine == sorted(mine)
        assert len(seen) == 20

    run(scenario)


def test_behind_a_failed_event_its_subject_is_given_back() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        seen: list[tuple[str, int, int]] = []

        @events.on("a.b")
        async def on(event: int, ctx: Context) -> None:
            await asyncio.sleep(0.01)
            seen.append((ctx.subject, event, ctx.attempt))
            if event == 1 and ctx.attempt == 1:
                raise Retry

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"1", b"2", b"3", b"4"], subjects=["a", "a", "b", "a"])
            await until(lambda: mesh.through == 1)
            assert failures(mesh) == [(1, 0, wire.RETRY), (1, 1, wire.RELEASE), (1, 3, wire.RELEASE)]
            # Sent before the mesh heard of the failure.
            mesh.deliver([b"5"], subjects=["a"])
            await until(lambda: mesh.through == 2)
            assert failures(mesh)[3:] == [(2, 0, wire.RELEASE)]
            mesh.deliver([b"1"], subjects=["a"], attempt=2, first=1)
            mesh.deliver([b"2", b"4"], subjects=["a", "a"], first=1, index=(1, 3))
            mesh.deliver([b"5"], subjects=["a"], first=5)
            await until(lambda: mesh.through == 5)
        assert len(mesh.failed) == 4
        mine = [(event, attempt) for subject, event, attempt in seen if subject == "a"]
        assert mine == [(1, 1), (1, 2), (2, 1), (4, 1), (5, 1)]

    run(scenario)


@pytest.mark.parametrize("last", ["reject", "attempts"])
def test_behind_a_dead_event_its_subject_goes_on(last: str) -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        seen: list[int] = []

        @events.on("a.b", attempts=2)
        async def on(event: int, ctx: Context) -> None:
            seen.append(event)
            await asyncio.sleep(0.001)
            if event == 1:
                raise Reject("bad") if last == "reject" else RuntimeError

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"1", b"2"], subjects=["a", "a"], attempt=1 if last == "reject" else 2)
            await until(lambda: mesh.through == 1)
        assert seen == [1, 2]
        assert len(mesh.failed) == 1

    run(scenario)


def test_without_order_in_the_manifest_subjects_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('[[consumes]]\ntype = "a.b"\n')

    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        both = asyncio.Barrier(2)

        @events.on("a.b")
        async def on(event: int, ctx: Context) -> None:
            await both.wait()

        async with living(events, tmp_path):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"1", b"2"], subjects=["a", "a"])
            await until(lambda: mesh.through == 1)

    run(scenario)


def test_after_a_restart_of_the_mesh_nothing_is_handled_twice_that_need_not_be() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        seen: list[int] = []
        go_on = asyncio.Event()

        @events.on("a.b", concurrency=2)
        async def on(event: int, ctx: Context) -> None:
            seen.append(event)
            if event == 2:
                await go_on.wait()

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"1", b"2", b"3"])
            await until(lambda: seen == [1, 2, 3])
            await mesh.close()
            await mesh.open()
            await until(lambda: len(mesh.subscribes) == 2)
            # The mesh knows nothing of what became of them.
            mesh.deliver([b"1", b"2", b"3", b"4"], first=1)
            await until(lambda: 4 in seen)
            assert mesh.through == 0
            go_on.set()
            await until(lambda: mesh.through == 1)
            mesh.deliver([b"5"])
            await until(lambda: mesh.through == 2)
        assert seen == [1, 2, 3, 4, 5]
        assert mesh.failed == []

    run(scenario)


def test_after_a_restart_of_the_mesh_order_is_still_kept() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        seen: list[int] = []
        go_on = asyncio.Event()

        @events.on("a.b")
        async def on(event: int, ctx: Context) -> None:
            if event == 1:
                await go_on.wait()
            seen.append(event)

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"1", b"2"], subjects=["a", "a"])
            await until(lambda: events.consumer and events.consumer.at_work())
            await mesh.close()
            await mesh.open()
            await until(lambda: len(mesh.subscribes) == 2)
            mesh.deliver([b"1", b"2", b"3"], subjects=["a", "a", "a"], first=1)
            await asyncio.sleep(0.05)
            assert seen == []
            go_on.set()
            await until(lambda: mesh.through == 1)
        assert seen == [1, 2, 3]

    run(scenario)
