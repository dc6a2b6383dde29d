"""Does every event get to its handler, and is the mesh told what became of it?"""

import asyncio
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from nodekit import Context, Reject, Retry, wire
from nodekit.frames import Extra
from nodekit.handling import masked
from tests.nodekit.mesh_side import MeshSide, living, run, trial, until


@dataclass(frozen=True)
class Placed:
    TYPE = "a.b"
    order: str
    total: int = 0


def failures(mesh: MeshSide) -> list[tuple[int, int, int]]:
    return [(each.delivery, each.event, each.how) for each in mesh.failed]


def test_the_handler_gets_the_event_and_all_that_is_known_of_it() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        seen: list[tuple[Any, ...]] = []

        @events.on(Placed, attempts=7, timeout=3, concurrency=4)
        async def on(event: Placed, ctx: Context) -> None:
            about = ctx.id, ctx.type, ctx.source, ctx.subject, ctx.time, ctx.attempt, ctx.data, ctx.cause
            seen.append((event, *about, ctx.trace, ctx.traceparent, dict(ctx.attributes), ctx.content))

        async with living(events):
            await until(lambda: mesh.subscribes)
            said = mesh.subscribes[0]
            assert said.instance == "trial.1"
            assert said.wishes == (wire.Wish("a.b", 7, 3.0),)
            assert (said.granted, said.keeps_order) == (8, True)
            extra = Extra(0, b"\x01" * 16, b"\x02" * 8, "cause.1", "", "", {"region": "eu"})
            mesh.deliver([b'{"order":"7","total":1,"new":0}'], subjects=["s"], attempt=2, extras=[extra])
            mesh.deliver([b'{"order":"8"}'])
            await until(lambda: mesh.through == 2)
        first, second = seen
        assert first[:9] == (
            Placed("7", 1),
            "other.1-00000000.1",
            "a.b",
            "/other",
            "s",
            1.7e9,
            2,
            b'{"order":"7","total":1,"new":0}',
            "cause.1",
        )
        assert first[9] == "01" * 16
        assert first[10].startswith(f"00-{'01' * 16}-")
        assert first[11:] == ({"region": "eu"}, "application/json")
        assert (second[0], second[4], second[6], second[8]) == (Placed("8"), "", 1, "")
        assert second[9] != first[9]
        assert mesh.failed == []

    run(scenario)


@pytest.mark.parametrize(
    "more", [{"type": (0,)}, {"type": (0, 1)}, {"index": (0, 1, 2)}, {"types": ()}, {"subjects": ("a",)}]
)
def test_a_frame_that_contradicts_itself_ends_the_connection_and_not_the_node(more: dict[str, Any]) -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        seen: list[int] = []

        @events.on("a.b")
        async def on(event: int, ctx: Context) -> None:
            seen.append(event)

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"1", b"2"], **more)
            await until(lambda: len(mesh.subscribes) == 2)
            mesh.deliver([b"3"])
            await until(lambda: mesh.through == 1)
        assert seen == [3]

    run(scenario)


def test_types_find_their_handlers_and_bytes_stay_bytes() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        seen: list[tuple[str, Any]] = []
        for type in ("one", "two"):

            @events.on(type)
            async def on(event: Any, ctx: Context) -> None:
                seen.append((ctx.type, event))

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver(
                [b"1", b"2", b"3"], types=("one", "two", "three"), type=(0, 1, 2), content="Text/X+JSON"
            )
            mesh.deliver([b"\x00"], types=("one",), content="image/png")
            await until(lambda: mesh.through == 2)
        assert sorted(seen, key=str) == [("one", 1), ("one", b"\x00"), ("two", 2)]
        assert failures(mesh) == [(1, 2, wire.RELEASE)], "nobody here handles the third, and it is no failure"
        (failed,) = mesh.failed
        assert "no handler for" in failed.reason

    run(scenario)


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize(
    ("error", "how", "after", "reason"),
    [
        (Retry(), wire.RETRY, 0.0, "Retry: asked for another try"),
        (Retry(2.5, "soon"), wire.RETRY, 2.5, "Retry: soon"),
        (Reject("no such order"), wire.REJECT, 0.0, "no such order"),
        (KeyError("x"), wire.RETRY, 0.0, "KeyError: 'x'"),
        (RuntimeError("password=hunter2 " + "x" * 1000), wire.RETRY, 0.0, "RuntimeError: password=*** xxxx"),
        (TimeoutError(), wire.RETRY, 0.0, "TimeoutError"),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
def test_what_a_handler_raises_decides(
    error: BaseException, how: int, after: float, reason: str, waits: bool, threads: bool
) -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)

        async def on(event: int, ctx: Context) -> None:
            if waits:
                await asyncio.sleep(0.001)
            if event == 1:
                raise error

        def in_thread(event: int, ctx: Context) -> None:
            if event == 1:
                raise error

        events.on("a.b")(in_thread if threads else on)
        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"0", b"1", b"2"])
            await until(lambda: mesh.through == 1)
        (failed,) = mesh.failed
        assert (failed.delivery, failed.event, failed.how, failed.after) == (1, 1, how, after)
        assert failed.reason.startswith(reason)
        assert len(failed.reason) <= 500

    run(scenario)


@pytest.mark.parametrize("waits", [False, True])
def test_a_handler_that_cancels_itself_has_failed(waits: bool) -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)

        @events.on("a.b")
        async def on(event: int, ctx: Context) -> None:
            if waits:
                await asyncio.sleep(0.001)
            raise asyncio.CancelledError

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"0"])
            await until(lambda: mesh.through == 1)
        assert mesh.failed == [wire.Failed(1, 0, wire.RETRY, 0.0, "CancelledError")]

    run(scenario)


def test_data_that_is_not_what_the_handler_asked_for_is_tried_again() -> None:
    """A version that can read it may come."""

    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)

        @events.on(Placed)
        async def on(event: Placed, ctx: Context) -> None:
            raise AssertionError

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"{", b"\xff", b"{}", b"[]"])
            await until(lambda: mesh.through == 1)
        assert failures(mesh) == [(1, place, wire.RETRY) for place in range(4)]
        assert [each.reason[:30] for each in mesh.failed] == [
            "Unreadable: data: expected JSO",
            "Unreadable: data: expected JSO",
            "Unreadable: data: expected Pla",
            "Unreadable: data: expected Pla",
        ]

    run(scenario)


@pytest.mark.parametrize("threads", [False, True])
def test_handlers_run_side_by_side_up_to_their_number(threads: bool) -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        lock, running, most = threading.Lock(), 0, 0

        def step(change: int) -> None:
            nonlocal running, most
            with lock:
                running += change
                most = max(most, running)

        async def on(event: int, ctx: Context) -> None:
            step(1)
            await asyncio.sleep(0.02)
            step(-1)

        def in_thread(event: int, ctx: Context) -> None:
            step(1)
            time.sleep(0.02)
            step(-1)

        events.on("a.b", concurrency=4)(in_thread if threads else on)
        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"0"] * 12)
            await until(lambda: mesh.through == 1)
        assert most == 4

    run(scenario)


def test_timeouts_and_groups_work_inside_a_handler() -> None:
    """They need to know the task they are in, from the first line on."""

    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        seen: list[str] = []

        @events.on("a.b")
        async def on(event: int, ctx: Context) -> None:
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(5)
            except TimeoutError:
                seen.append("timeout")
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
            try:
                await asyncio.wait_for(asyncio.sleep(5), 0.01)
            except TimeoutError:
                seen.append("wait_for")

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"0"])
            await until(lambda: mesh.through == 1)
        assert seen == ["timeout", "wait_for"]
        assert mesh.failed == []

    run(scenario)


def test_an_answer_carries_the_trace_and_the_cause() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        about: list[tuple[str, str]] = []

        @events.on("async")
        async def on(event: int, ctx: Context) -> None:
            about.append((ctx.id, ctx.trace))
            await asyncio.sleep(0)
            await events.publish("plain", type="answer")
            await ctx.publish("of the context", type="answer")

        @events.on("thread")
        def in_thread(event: int, ctx: Context) -> None:
            about.append((ctx.id, ctx.trace))
            events.publish_nowait("plain", type="answer").wait(5)
            ctx.publish_nowait("of the context", type="answer").wait(5)

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"0"], types=("async",))
            await until(lambda: mesh.through == 1)
            mesh.deliver([b"0"], types=("thread",))
            await until(lambda: mesh.through == 2)
            await events.publish("later", type="answer")
        extras = [frame.extra for frame in mesh.frames]
        told = [(each[0].cause, each[0].trace.hex()) for each in extras[:4]]
        assert told == [about[0], about[0], about[1], about[1]]
        assert extras[4] == {}

    run(scenario)


def test_the_log_of_a_context_names_the_event(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)

        @events.on("a.b")
        async def on(event: int, ctx: Context) -> None:
            ctx.log.warning("odd %d", event)

        async with living(events):
            await until(lambda: mesh.subscribes)
            mesh.deliver([b"7"])
            await until(lambda: mesh.through == 1)

    with caplog.at_level(logging.INFO):
        run(scenario)
    assert "odd 7 [event other.1-00000000.1]" in caplog.text


@pytest.mark.parametrize(
    ("given", "more", "text"),
    [
        ("", {}, "on: expected an event's type or a class with TYPE"),
        (int, {}, "on: expected an event's type"),
        ("a", {"attempts": 0}, "on: a: attempts: expected"),
        ("a", {"timeout": -1}, "on: a: timeout: expected"),
        ("a", {"timeout": float("nan")}, "on: a: timeout: expected"),
        ("a", {"concurrency": 1.5}, "on: a: concurrency: expected"),
        ("twice", {}, "on: twice has a handler already"),
    ],
)
def test_a_bad_wish_is_refused(given: Any, more: dict[str, Any], text: str) -> None:
    events = trial(MeshSide())
    events.on("twice")(print)
    with pytest.raises(ValueError, match=text):
        events.on(given, **more)


def test_without_a_mesh_a_handler_is_missed_aloud(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh, NODED_MESH="")
        events.on("a.b")(print)
        async with living(events):
            pass

    run(scenario)
    assert "events of a.b will not come: NODED_MESH is not set" in caplog.text


def test_secrets_are_masked_in_reasons() -> None:
    assert masked("url postgres://me:pw@host/x") == "url postgres://me:***@host/x"
    assert masked('{"api_key": "abc", "n": 1}') == '{"api_key": "***", "n": 1}'
    assert masked("Authorization: Bearer abc.def, next") == "Authorization: ***, next"
    assert masked("order 17 is not there") == "order 17 is not there"


def test_a_handler_that_never_waits_leaves_turns_to_others() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        turns: list[int] = []
        handled = 0

        @events.on("a.b")
        async def on(event: object, ctx: Context) -> None:
            nonlocal handled
            handled += 1
            if handled > 100:
                time.sleep(0.004)  # noqa: ASYNC251 - that is what it is about

        async def other() -> None:
            while True:
                turns.append(handled)
                await asyncio.sleep(0)

        async with living(events):
            await until(lambda: mesh.subscribes)
            beside = asyncio.create_task(other())
            mesh.deliver([b"1"] * 140)
            await until(lambda: mesh.through == 1)
            beside.cancel()
        assert len(set(turns) - set(range(101))) >= 10, "not once for all events that took their time"

    run(scenario)
