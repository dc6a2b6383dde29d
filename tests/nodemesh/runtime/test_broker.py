"""Does what one node publishes reach the others, whoever ends meanwhile?"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from nodeapi.v1 import mesh_pb2
from nodemesh.adapters.table_file import table_of
from nodemesh.model.cursor import Cursor
from nodemesh.model.table import Consumer, Contract, Judging, Member, Share
from nodemesh.ports import Refused
from tests.adapters.looped import looped
from tests.adapters.looped import until as until_async
from tests.fakes.mesh_log import FakeLog
from tests.nodemesh.runtime.mesh_room import PAID, PLACED, UID, made, nothing, room, table, taken


async def until(true: Callable[[], object]) -> None:
    async def asked() -> bool:
        return bool(true())

    await until_async(asked)


SCHEMA = json.dumps({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}})


@looped
async def test_an_event_reaches_every_consumer_once_and_is_settled() -> None:
    async with room() as mesh:
        a, b, c = await mesh.publisher(), await mesh.session("b.1"), await mesh.session("c.1")
        await a.say(b"1", b"2")
        await a.until(2)
        for session in (b, c):
            frame = await taken(session)
            assert list(frame.data) == [b"1", b"2"]
            assert (frame.delivery.number, frame.delivery.attempt) == (1, 1)
            assert await nothing(session)
            session.settle(mesh_pb2.Settle(through=1, granted=1000))
        await until(lambda: [c.floor for c in mesh.index.kept.values()] == [2, 2])


@looped
async def test_nothing_is_acked_before_it_is_on_disk() -> None:
    async with room() as mesh:
        a = await mesh.publisher()
        mesh.log.problem = "the disk is gone"
        await a.say(b"1")
        heard = await a.until(0)
        async with asyncio.timeout(5):
            while not heard[-1].waiting:
                heard.append(mesh_pb2.Published.FromString(await a.publisher.take()))
        assert heard[-1].through == 0
        assert "disk is gone" in heard[-1].waiting
        mesh.log.problem = ""
        assert (await a.until(1))[-1].through == 1


@looped
async def test_a_log_without_room_refuses_after_a_while_and_says_who_holds_it_up() -> None:
    async with room(limit=100) as mesh:
        a = await mesh.publisher()
        await a.say(b"x" * 200)
        await a.until(1)
        await a.say(b"y")
        refused = [refusal for heard in await a.until(2, within=20.0) for refusal in heard.refused]
        assert [(r.first, r.count) for r in refused] == [(2, 1)]
        assert "full" in refused[0].reason
        assert "log_limit" in refused[0].reason


@looped
async def test_who_was_away_gets_what_was_published_meanwhile() -> None:
    async with room() as mesh:
        a = await mesh.publisher()
        for number in range(200):
            await a.say(b"%d" % number)
        await a.until(200)
        b = await mesh.session("b.1", granted=60_000)
        got: list[bytes] = []
        while len(got) < 200:
            frame = await taken(b)
            got += frame.data
            b.settle(mesh_pb2.Settle(through=frame.delivery.number, granted=60_000))
        assert got == [b"%d" % number for number in range(200)]


@looped
async def test_after_a_restart_what_was_not_settled_comes_again_and_nothing_else() -> None:
    async with room() as mesh:
        a, b = await mesh.publisher(), await mesh.session("b.1")
        await a.say(b"1")
        await a.say(b"2")
        await a.until(2)
        await taken(b)
        await taken(b)
        b.settle(mesh_pb2.Settle(done=[2]))
        await until(lambda: "b" in mesh.index.kept and mesh.index.kept["b"].settled == ((2, 2),))
    async with room(log=mesh.log, index=mesh.index) as again:
        b = await again.session("b.1")
        assert list((await taken(b)).data) == [b"1"]
        assert await nothing(b)
        a = await again.publisher()
        assert (await a.until(2))[0].through == 2, "the stream goes on where it was"
        await a.publisher.feed(made("s", 1, [b"1", b"2", b"3"], PLACED))
        await a.until(3)
        assert list((await taken(b)).data) == [b"3"]


@looped
async def test_a_gap_in_a_stream_is_refused() -> None:
    async with room() as mesh:
        a = await mesh.publisher()
        await a.say(b"1")
        with pytest.raises(Refused, match="expected 2, found 5"):
            await a.publisher.feed(made("s", 5, [b"1"], PLACED))


@looped
async def test_a_stream_goes_on_where_its_publisher_is_when_the_log_has_lost_its_end() -> None:
    async with room() as mesh:
        a = await mesh.publisher()
        await a.publisher.feed(made("s", 5, [b"5"], PLACED))
        assert (await a.until(5))[-1].through == 5


@looped
async def test_only_what_a_node_declares_is_taken_from_it() -> None:
    async with room() as mesh:
        a = await mesh.publisher()
        await a.say(b"{}", type="shop.lost")
        refused = [r for heard in await a.until(1) for r in heard.refused]
        assert "[[publishes]]" in refused[0].reason
        with pytest.raises(Refused, match="consumes nothing"):
            await mesh.broker.session(UID, mesh_pb2.Subscribe(instance="a.1"))
        with pytest.raises(Refused, match=r"\[\[consumes\]\]"):
            await mesh.broker.session(
                UID, mesh_pb2.Subscribe(instance="b.1", wishes=[mesh_pb2.Wish(type=PAID)])
            )


@pytest.mark.parametrize("judging", list(Judging))
def test_an_event_that_breaks_its_contract_is_refused_alone(
    judging: Judging, caplog: pytest.LogCaptureFixture
) -> None:
    @looped
    async def story() -> None:
        contracts = {(PLACED, "a"): Contract(PLACED, "a", "1", SCHEMA, judging)}
        async with room(table(contracts=contracts)) as mesh:
            a, b = await mesh.publisher(), await mesh.session("b.1")
            await a.say(b'{"id":1}', b'{"id":"x"}', b"nonsense", b'{"id":4}')
            refused = [r for heard in await a.until(4) for r in heard.refused]
            got = list((await taken(b)).data)
            told = [
                record.getMessage()
                for record in caplog.records
                if "breaks the contract" in record.getMessage()
            ]
            assert len(told) == (judging is Judging.WARN), "once, not for every event"
            if judging is not Judging.REJECT:
                assert not refused and len(got) == 4
                return
            assert [(r.first, r.count) for r in refused] == [(2, 1), (3, 1)]
            assert "$.id" in refused[0].reason
            frame = await taken(b)
            assert (got, list(frame.data), frame.head.first) == ([b'{"id":1}'], [b'{"id":4}'], 4)

    story()


@pytest.mark.parametrize(
    ("data", "content", "reason"),
    [
        (b'{"id":NaN}', "", "NaN"),
        (b'{"id":-Infinity}', "application/json", "-Infinity"),
        ('{"id":1}'.encode("utf-16"), "", "utf-8"),
        (b"\x08\x01", "application/protobuf", "its content is application/protobuf"),
        (b'{"id":1}', "application/cloudevents+json; charset=utf-8", ""),
        (b'{"id":1}', "Application/JSON", ""),
    ],
)
def test_what_is_no_json_everywhere_keeps_no_contract(data: bytes, content: str, reason: str) -> None:
    @looped
    async def story() -> None:
        async with room(table(contracts={(PLACED, "a"): Contract(PLACED, "a", "1", SCHEMA)})) as mesh:
            a = await mesh.publisher()
            frame = mesh_pb2.Frame.FromString(made("s", 1, [data], PLACED))
            frame.head.content = content
            await a.publisher.feed(frame.SerializeToString())
            refused = [r for heard in await a.until(1) for r in heard.refused]
            assert bool(refused) == bool(reason)
            assert not refused or reason in refused[0].reason

    story()


@looped
async def test_each_release_of_a_publisher_keeps_its_own_contract() -> None:
    """In a rollout the canary says what its own manifest promises, which may be more than stable's."""
    both = mesh_pb2.Table(number=1)
    for number, version in ((2, "2"), (1, "1")):
        both.members.add(instance=f"a.{number}", node="a", version=version, uid=UID)
        schema = SCHEMA.replace("integer", "string") if version == "2" else SCHEMA
        both.contracts.add(type=PLACED, node="a", version=version, schema=schema)
    async with room(table_of(both)) as mesh:
        stable, canary = await mesh.publisher("s", "a.1"), await mesh.publisher("c", "a.2")
        for who, good, bad in ((stable, b'{"id":1}', b'{"id":"x"}'), (canary, b'{"id":"x"}', b'{"id":1}')):
            await who.say(good, bad)
            refused = [r for heard in await who.until(2) for r in heard.refused]
            assert [r.first for r in refused] == [2]


@looped
async def test_whom_noded_does_not_know_waits_until_it_does() -> None:
    async with room() as mesh:
        waiting = asyncio.get_running_loop().create_task(mesh.publisher(instance="a.9"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        members = dict(mesh.broker.table.members) | {"a.9": Member("a.9", "a", "1", UID)}
        await mesh.broker.set_table(table(2, members=members))
        async with asyncio.timeout(5):
            await waiting


@looped
async def test_nobody_speaks_for_an_instance_of_another_user() -> None:
    async with room(table(members={"a.1": Member("a.1", "a", "1", UID + 1)})) as mesh:
        with pytest.raises(Refused, match="runs as uid"):
            await mesh.publisher()


@looped
async def test_who_does_not_run_any_more_is_heard_no_more() -> None:
    async with room() as mesh:
        a, b = await mesh.publisher(), await mesh.session("b.1")
        await a.until(0)
        await mesh.broker.set_table(table(2, members={}))
        with pytest.raises(Refused, match="does not run"):
            await a.publisher.take()
        with pytest.raises(Refused, match="does not run"):
            await b.take()


@looped
async def test_a_new_consumer_gets_what_comes_and_one_that_is_gone_holds_up_nothing() -> None:
    async with room() as mesh:
        a = await mesh.publisher()
        await a.say(b"1")
        await a.until(1)
        consumers = {**mesh.broker.table.consumers, "d": Consumer("d", {PLACED: False})}
        members = {**mesh.broker.table.members, "d.1": Member("d.1", "d", "1", UID)}
        await mesh.broker.set_table(table(2, consumers=consumers, members=members))
        assert mesh.index.kept["d"] == Cursor(2, begun=2), "it is on disk before noded hears of it"
        d = await mesh.session("d.1")
        await a.say(b"2")
        assert list((await taken(d)).data) == [b"2"]
        await mesh.broker.set_table(replace(table(3), consumers={}, gone=("b", "c", "d")))
        assert mesh.broker.floor == 3
        assert not mesh.index.kept


@looped
async def test_a_consumer_that_a_table_forgets_is_kept() -> None:
    async with room() as mesh:
        a = await mesh.publisher()
        await mesh.broker.set_table(table(2, consumers={}))
        await a.say(b"1")
        await a.until(1)
        assert mesh.broker.floor == 1
        await mesh.broker.set_table(table(3))
        assert list((await taken(await mesh.session("b.1"))).data) == [b"1"]


@looped
async def test_an_older_table_is_refused() -> None:
    async with room(table(5)) as mesh:
        with pytest.raises(Refused, match="older"):
            await mesh.broker.set_table(table(4))


@looped
async def test_an_event_that_nobody_can_handle_is_set_aside_with_its_reason() -> None:
    async with room() as mesh:
        a, b = await mesh.publisher(), await mesh.session("b.1")
        await a.say(b"good", b"bad")
        frame = await taken(b)
        failed = mesh_pb2.Failed(delivery=1, event=1, how=mesh_pb2.Failed.REJECT, reason="no such order")
        b.settle(mesh_pb2.Settle(through=frame.delivery.number, failed=[failed]))
        await until(lambda: mesh.index.letters)
        ((dead, event),) = mesh.index.letters.values()
        assert (dead.node, dead.reason, dead.version) == ("b", "no such order", "1")
        assert list(mesh_pb2.Frame.FromString(event).data) == [b"bad"]
        await until(lambda: mesh.index.kept["b"].floor == 2)


@looped
async def test_a_letter_that_cannot_be_kept_is_kept_later() -> None:
    async with room() as mesh:
        a, b = await mesh.publisher(), await mesh.session("b.1")
        mesh.index.problem = "the disk is full"
        await a.say(b"bad")
        await taken(b)
        b.settle(
            mesh_pb2.Settle(failed=[mesh_pb2.Failed(delivery=1, how=mesh_pb2.Failed.REJECT, reason="x")])
        )
        await asyncio.sleep(0.3)
        assert mesh.broker.consumers["b"].delivery.floor == 1
        mesh.index.problem = ""
        await until(lambda: len(mesh.index.letters) == 1)
        await until(lambda: mesh.broker.consumers["b"].delivery.floor == 2)


@looped
async def test_the_same_stream_on_a_new_connection_ends_the_old_one() -> None:
    async with room() as mesh:
        old = await mesh.publisher()
        await old.say(b"1")
        new = await mesh.publisher()
        assert (await new.until(1))[0].through == 1, "what the old one handed in is on disk first"
        with pytest.raises(Refused, match="another connection"):
            await old.say(b"2")
        with pytest.raises(Refused, match="another node"):
            members = {**mesh.broker.table.members, "e.1": Member("e.1", "e", "1", UID)}
            await mesh.broker.set_table(table(2, members=members))
            await mesh.publisher(instance="e.1")


@looped
async def test_a_canary_gets_its_share_and_its_failures_go_to_stable() -> None:
    share = Share("2", 0.25, valid_until=4e9)
    members = {**table().members, "b.2": Member("b.2", "b", "2", UID)}
    consumers = {"b": Consumer("b", {PLACED: False}, "1", (share,))}
    async with room(table(consumers=consumers, members=members)) as mesh:
        a, stable, canary = await mesh.publisher(), await mesh.session("b.1"), await mesh.session("b.2")
        counts = {stable: 0, canary: 0}

        async def handle(session: object) -> None:
            assert session in (stable, canary)
            one = stable if session is stable else canary
            while True:
                frame = mesh_pb2.Frame.FromString(await one.take())
                counts[one] += len(frame.data)
                one.settle(mesh_pb2.Settle(through=frame.delivery.number, granted=60_000))

        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(handle(session)) for session in (stable, canary)]
        for number in range(400):
            await a.say(b"%d" % number)
            await a.until(number + 1)
            await until(lambda number=number: sum(counts.values()) == number + 1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert abs(counts[canary] - 100) <= 2


@looped
async def test_one_that_reads_nothing_holds_up_nobody() -> None:
    async with room() as mesh:
        a, b = await mesh.publisher(), await mesh.session("b.1", granted=60_000)
        await mesh.session("c.1", granted=0)
        for number in range(300):
            await a.say(b"x" * 50_000)
            frame = await taken(b)
            b.settle(mesh_pb2.Settle(through=frame.delivery.number, granted=60_000))
            assert frame.head.first == number + 1


@looped
async def test_what_a_damaged_log_has_lost_is_passed_over() -> None:
    log = FakeLog()
    async with room(log=log) as mesh:
        a = await mesh.publisher()
        for number in range(5):
            await a.say(b"%d" % number)
            await a.until(number + 1)
    log.lose(2, 3)
    async with room(log=log, index=mesh.index) as again:
        b = await again.session("b.1")
        assert [list((await taken(b)).data) for _ in range(3)] == [[b"0"], [b"3"], [b"4"]]
        b.settle(mesh_pb2.Settle(through=3, granted=1000))
        await until(lambda: again.broker.consumers["b"].delivery.floor == 6)
