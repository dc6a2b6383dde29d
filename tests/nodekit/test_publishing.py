"""Does every event that was published get to the mesh once, in order, and is its publisher told the truth?"""

import asyncio
import json
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest

from nodekit import BufferFull, PublishRefused, frames, publishing
from nodekit.tracing import Cause, current, read_traceparent
from tests.nodekit.mesh_side import MeshSide, living, run, trial, until

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Placed:
    TYPE = "shop.placed"
    order: str
    colour: Colour = Colour.RED
    lines: tuple[int, ...] = ()


def test_an_event_of_every_kind_arrives_as_it_should() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        async with living(events):
            first = await events.publish(Placed("7", lines=(1, 2)), subject="seven")
            await events.publish({"a": "ä", "b": [None, True]}, type="x.y")
            await events.publish([1], type="x.y", attributes={"region": "eu"}, traceparent=PARENT)
            await events.publish(b"\x00\x01", type="x.z", content="application/octet-stream")
        placed, plain, traced, raw = mesh.frames
        head = placed.head
        assert first == f"{head.stream}.1"
        assert head.stream.startswith("trial.1-")
        assert len(head.stream) == len("trial.1-") + 8
        assert (head.source, head.version, head.types, head.content) == (
            "/trial",
            "1.2.3",
            ("shop.placed",),
            "",
        )
        assert abs(head.at / 1e6 - time.time()) < 60
        assert json.loads(placed.data[0]) == {"order": "7", "colour": "red", "lines": [1, 2]}
        assert placed.subject == ["seven"]
        assert plain.data == ['{"a":"ä","b":[null,true]}'.encode()]
        assert plain.subject == []
        extra = traced.extra[0]
        assert (extra.trace.hex(), extra.span.hex(), extra.attributes) == (
            PARENT[3:35],
            PARENT[36:52],
            {"region": "eu"},
        )
        assert (raw.head.content, raw.data) == ("application/octet-stream", [b"\x00\x01"])
        assert mesh.hellos[0].instance == "trial.1"
        assert [frame.head.first for frame in mesh.frames] == [1, 2, 3, 4]

    run(scenario)


def test_events_of_one_turn_share_a_frame_with_their_columns() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        async with living(events):
            await events.publish(0, type="first")
            receipts = [
                events.publish_nowait(number, type=f"t{number % 2}", subject="s" if number == 2 else None)
                for number in range(4)
            ]
            ids = [await receipt for receipt in receipts]
        frame = mesh.frames[1]
        assert ids == [f"{frame.head.stream}.{number}" for number in range(2, 6)]
        assert (frame.head.types, frame.type) == (("t0", "t1"), [0, 1, 0, 1])
        assert frame.subject == ["", "", "s", ""]
        assert frame.key[0] == 0 != frame.key[2]
        assert frame.data == [b"0", b"1", b"2", b"3"]

    run(scenario)


def test_while_two_frames_are_under_way_the_next_one_gathers() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events, mesh.acks = trial(mesh), False
        async with living(events):
            first = events.publish_nowait(1, type="t")
            await until(lambda: mesh.frames)
            others = [events.publish_nowait(1, type="t")]
            await until(lambda: len(mesh.frames) == 2)
            for number in range(10):
                others.append(events.publish_nowait(number, type="t"))
                await asyncio.sleep(0.001)
            assert [len(frame.data) for frame in mesh.frames] == [1, 1]
            assert not first.done()
            mesh.acks = True
            mesh.ack()
            assert [await each for each in (first, *others)][-1].endswith(".12")
            assert [len(frame.data) for frame in mesh.frames] == [1, 1, 10]
            assert first.done()

    run(scenario)


def test_full_frames_do_not_wait_but_keep_within_the_window() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events, mesh.acks, mesh.window = trial(mesh), False, 250_000
        async with living(events):
            receipts = [events.publish_nowait(bytes(10_000), type="t", content="b") for _ in range(100)]
            await until(lambda: len(mesh.data) >= 22)
            await asyncio.sleep(0.05)
            assert len(mesh.data) == 22, "two frames of 11 events are within 250 kB"
            mesh.acks = True
            mesh.ack()
            for receipt in receipts:
                await receipt
            assert all(sum(map(len, frame.data)) <= frames.MOST_BYTES for frame in mesh.frames)
            many = [events.publish_nowait(1, type="t") for _ in range(1100)]
            await many[-1]
            assert max(len(frame.data) for frame in mesh.frames) == frames.MOST_EVENTS

    run(scenario)


def test_what_was_not_acknowledged_is_sent_again_to_a_mesh_that_was_restarted() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        async with living(events):
            await events.publish(1, type="t")
            mesh.acks = False
            lost = events.publish_nowait(2, type="t")
            await until(lambda: len(mesh.frames) == 2)
            stream = mesh.hellos[0].stream
            await mesh.close()
            waiting = [events.publish_nowait(number, type="t") for number in (3, 4)]
            # The second frame was on disk, but its word was lost with the connection.
            mesh.acks = True
            await mesh.open()
            assert await lost == f"{stream}.2"
            assert [await each for each in waiting] == [f"{stream}.3", f"{stream}.4"]
            assert mesh.data == [b"1", b"2", b"3", b"4"]
            await mesh.close()
            again = events.publish_nowait(5, type="t")
            mesh.log[stream] = 4
            await mesh.open()
            await again
        assert mesh.data == [b"1", b"2", b"3", b"4", b"5"]
        assert {hello.stream for hello in mesh.hellos} == {stream}

    run(scenario)


def test_a_mesh_that_has_lost_everything_gets_a_new_stream() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        async with living(events):
            await events.publish(1, type="t")
            await mesh.close()
            mesh.log.clear()
            waiting = events.publish_nowait(2, type="t")
            await mesh.open()
            number = await waiting
            later = await events.publish(3, type="t")
        assert number == f"{mesh.hellos[-1].stream}.1"
        assert later == f"{mesh.hellos[-1].stream}.2"
        assert mesh.hellos[0].stream != mesh.hellos[-1].stream
        assert mesh.data == [b"1", b"2", b"3"]

    run(scenario)


def test_the_buffer_is_bounded_and_publish_waits_for_room() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        await mesh.close()
        async with living(events):
            data = bytes(100_000)
            receipts = []
            with pytest.raises(
                BufferFull, match=r"83 events of 8300000 bytes wait.*cannot be reached|not answered"
            ):
                while True:
                    receipts.append(events.publish_nowait(data, type="t", content="b"))
            waiting = asyncio.create_task(events.publish(data, type="t", content="b"))
            room = asyncio.create_task(events.room())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            assert not room.done()
            await mesh.open()
            assert (await waiting).endswith(f".{len(receipts) + 1}")
            await room
        assert len(mesh.data) == len(receipts) + 1

    run(scenario)


def test_the_number_of_waiting_events_is_bounded_too() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        await mesh.close()
        events.open(Path("/nonexistent"))
        with pytest.raises(BufferFull, match="100000 events"):
            for _ in range(publishing.MOST_KEPT_EVENTS + 1):
                events.publish_nowait(b"", type="t", content="b")
        assert await events.close(time.monotonic()) == 100_000

    run(scenario)


def test_a_refused_event_says_why_and_the_others_are_not_hurt() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events, mesh.refuse = trial(mesh), "$.a: expected a number"
        async with living(events):
            bad, good = (events.publish_nowait(number, type="t") for number in range(2))
            with pytest.raises(PublishRefused, match=r"event trial.1-\w{8}.1: \$.a: expected a number"):
                await bad
            assert (await good).endswith(".2")
            assert bad.done()
            with pytest.raises(PublishRefused):
                await bad

    run(scenario)


def test_an_event_of_the_longest_size_travels_alone() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        async with living(events):
            small = events.publish_nowait(1, type="t")
            await events.publish(bytes(1 << 20), type="t", content="b")
            await events.publish(2, type="t")
            await small
        assert [len(frame.data) for frame in mesh.frames] == [1, 1, 1]

    run(scenario)


def test_what_a_request_or_event_causes_belongs_to_its_trace() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        async with living(events):
            token = current.set(read_traceparent(PARENT, "a=b"))
            await events.publish(1, type="t")
            current.set(Cause(b"t" * 16, b"s" * 8, "other.1-1.5"))
            await events.publish(2, type="t")
            current.reset(token)
            await events.publish(3, type="t")
        request, event, none = (frame.extra for frame in mesh.frames)
        assert (request[0].trace.hex(), request[0].tracestate, request[0].cause) == (PARENT[3:35], "a=b", "")
        assert (event[0].trace, event[0].span, event[0].cause) == (b"t" * 16, b"s" * 8, "other.1-1.5")
        assert none == {}

    run(scenario)


def test_threads_may_publish_and_wait() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        async with living(events):

            def work() -> str:
                with pytest.raises(TypeError):
                    events.publish_nowait(1)
                return events.publish_nowait(1, type="t").wait(5)

            assert (await asyncio.to_thread(work)).endswith(".1")
            mesh.refuse = "no"
            receipt = events.publish_nowait(2, type="t")
            with pytest.raises(PublishRefused):
                await asyncio.to_thread(receipt.wait, 5)

    run(scenario)


def test_the_stop_waits_for_what_was_published_and_says_what_is_lost() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events, mesh.acks = trial(mesh), False
        events.open(Path("/nonexistent"))
        events.publish_nowait(1, type="t")
        closing = asyncio.create_task(events.close(time.monotonic() + 5))
        await until(lambda: mesh.frames)
        assert not closing.done()
        mesh.ack()
        assert await closing == 0
        events = trial(mesh)
        events.open(Path("/nonexistent"))
        events.publish_nowait(1, type="t")
        assert await events.close(time.monotonic() + 0.1) == 1

    run(scenario)
