"""Does every call on the control socket get its answer or a refusal with the right code and words?"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.roles import Members
from noded.model.inputs import CommandRequested
from noded.model.state import HostState
from noded.ports import Entry, Unavailable
from tests.adapters.looped import looped
from tests.adapters.office import Office, code_of, offices, opened, outcomes_of
from tests.adapters.sdk import wait
from tests.fakes.chronicle import FakeChronicle
from tests.runtime.nouns import host, instance, node

ME = os.geteuid()
needs_root = pytest.mark.skipif(ME != 0, reason="taking other uids needs root")


@pytest.fixture
def office() -> Iterator[Office]:
    yield from offices()


@looped
async def test_version(office: Office) -> None:
    async with opened(office) as stub:
        found = await stub.GetVersion(pb.GetVersionRequest(), timeout=5)
    assert (found.version, found.build, found.protocol) == ("0.1.0", "0.1.0-abc", 1)


VERBS = [(number, name) for name, number in pb.Verb.items() if number]


@pytest.mark.parametrize(("number", "name"), VERBS, ids=[name for _, name in VERBS])
@looped
async def test_every_order_becomes_an_input_with_who_gave_it(office: Office, number: int, name: str) -> None:
    async with opened(office) as stub:
        answer = await stub.Command(pb.CommandRequest(verb=number, node="catalog"), timeout=5)
    (order,) = office.inbox.all(CommandRequested)
    assert answer.text == "it is done"
    assert (f"VERB_{order.verb.upper()}", order.node, order.by) == (name, "catalog", f"uid {ME}")


BAD_ORDERS = [
    (pb.CommandRequest(), "unknown order 0"),
    (pb.CommandRequest(verb=99, node="catalog"), "unknown order 99"),
    (pb.CommandRequest(verb=-1), "unknown order -1"),
    (pb.CommandRequest(verb=pb.VERB_STOP, node="Catalog"), "not a node's name: 'Catalog'"),
    (pb.CommandRequest(verb=pb.VERB_STOP, node="../etc"), "not a node's name: '../etc'"),
    (pb.CommandRequest(verb=pb.VERB_STOP, node="a\n"), r"not a node's name: 'a\n'"),
    (pb.CommandRequest(verb=pb.VERB_STOP, node="x" * 9999), f"not a node's name: '{'x' * 40}'"),
]


@pytest.mark.parametrize(("request_", "text"), BAD_ORDERS, ids=[text[:30] for _, text in BAD_ORDERS])
@looped
async def test_an_order_that_is_none(office: Office, request_: pb.CommandRequest, text: str) -> None:
    async with opened(office) as stub:
        assert await code_of(stub.Command(request_, timeout=5)) == ("INVALID_ARGUMENT", text)
    assert office.inbox.facts == []


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("refused", "FAILED_PRECONDITION"),
        ("conflict", "ABORTED"),
        ("not found", "NOT_FOUND"),
        ("unheard", "INTERNAL"),
    ],
)
@looped
async def test_an_order_that_was_refused(office: Office, kind: str, code: str) -> None:
    office.inbox.reply = (kind, "it is stopped already", "")
    async with opened(office) as stub:
        order = pb.CommandRequest(verb=pb.VERB_STOP, node="catalog")
        assert await code_of(stub.Command(order, timeout=5)) == (code, "it is stopped already")


@looped
async def test_who_leaves_before_the_answer_is_forgotten(office: Office) -> None:
    office.inbox.reply = None
    async with opened(office) as stub:
        call = stub.Command(pb.CommandRequest(verb=pb.VERB_PAUSE), timeout=30)
        await wait(lambda: office.inbox.facts, "the order")
        call.cancel()
        await wait(lambda: not office.answers._waiting, "the end of the wait")
        office.inbox.reply = ("", "ok", "")
        assert await code_of(stub.Command(pb.CommandRequest(verb=pb.VERB_PAUSE), timeout=5)) == ("OK", "")


@looped
async def test_status_of_one_and_of_all(office: Office) -> None:
    office.state = host(node("catalog", instance()), node("basket"))
    async with opened(office) as stub:
        found = await stub.GetStatus(pb.GetStatusRequest(), timeout=5)
        one = await stub.GetStatus(pb.GetStatusRequest(node="catalog"), timeout=5)
        missing = await code_of(stub.GetStatus(pb.GetStatusRequest(node="nobody"), timeout=5))
        no_watch = await code_of(stub.WatchStatus(pb.WatchStatusRequest(node="nobody"), timeout=5))
    assert [held.name for held in found.nodes] == ["basket", "catalog"]
    assert found.host.name == "web1"
    assert (found.host.cgroups, list(found.host.degraded)) == ("hybrid", ["no io limits"])
    assert [held.name for held in one.nodes] == ["catalog"]
    assert missing == no_watch == ("NOT_FOUND", "no such node: nobody")


@looped
async def test_a_watch_tells_now_and_after_every_change(office: Office) -> None:
    async with opened(office) as stub:
        watch = stub.WatchStatus(pb.WatchStatusRequest(), timeout=20)
        assert [held.name for held in (await watch.read()).nodes] == []
        office.change(host(node("catalog")))
        assert [held.name for held in (await watch.read()).nodes] == ["catalog"]
        for count in range(5):  # several changes in a moment are one picture
            office.change(host(node("catalog"), *(node(f"n{n}") for n in range(count))))
        assert len((await watch.read()).nodes) == 5
        watch.cancel()


@looped
async def test_a_watch_of_a_node_that_goes_away_shows_none(office: Office) -> None:
    office.state = host(node("catalog"))
    async with opened(office) as stub:
        watch = stub.WatchStatus(pb.WatchStatusRequest(node="catalog"), timeout=20)
        assert len((await watch.read()).nodes) == 1
        office.change(HostState())
        assert len((await watch.read()).nodes) == 0
        watch.cancel()


def entry(number: int, node: str = "catalog", subject: str = "") -> Entry:
    return Entry(float(number), node, subject, "action", "Conclusion", f"text {number}", "{}")


@looped
async def test_explain_newest_filtered_and_followed(office: Office) -> None:
    office.chronicle.add([entry(n) for n in range(1, 301)])
    office.chronicle.add([entry(301, "basket"), entry(302, subject="catalog-1")])
    async with opened(office) as stub:

        async def texts(**fields: Any) -> list[str]:
            return [e.text async for e in stub.Explain(pb.ExplainRequest(**fields), timeout=5)]

        assert len(await texts()) == 200
        assert await texts(limit=2) == ["text 301", "text 302"]
        assert await texts(node="basket") == ["text 301"]
        assert await texts(incident="catalog-1") == ["text 302"]
        assert await texts(node="nobody") == []
        follow = stub.Explain(pb.ExplainRequest(limit=1, follow=True), timeout=20)
        assert (await follow.read()).sequence == 302
        office.chronicle.add([entry(303), entry(304)])
        assert [(await follow.read()).text for _ in range(2)] == ["text 303", "text 304"]
        follow.cancel()


class Broken(FakeChronicle):
    async def read(self, node: str, subject: str, after: int, limit: int) -> tuple[Entry, ...]:
        raise Unavailable("cannot read journal.db: disk I/O error")


@looped
async def test_a_chronicle_that_cannot_be_read_is_told(office: Office) -> None:
    office.chronicle = Broken()
    async with opened(office) as stub:
        found = await code_of(stub.Explain(pb.ExplainRequest(), timeout=5))
    assert found == ("INTERNAL", "cannot read journal.db: disk I/O error")


async def logs(stub: Any, **fields: Any) -> list[tuple[str, bytes]]:
    return [(p.instance, p.text) async for p in stub.ReadLogs(pb.ReadLogsRequest(**fields), timeout=5)]


@looped
async def test_output_of_what_lives_else_of_the_newest(office: Office) -> None:
    for number in (8, 9, 10):
        office.write_log(f"catalog.{number}", b"from %d\n" % number * 200)
    async with opened(office) as stub:
        assert await logs(stub, node="catalog", lines=1) == [("catalog.10", b"from 10\n")]
        office.state = host(node("catalog", instance("catalog.8"), instance("catalog.9")))
        assert await logs(stub, node="catalog", lines=1) == [
            ("catalog.8", b"from 8\n"),
            ("catalog.9", b"from 9\n"),
        ]
        office.state = host(node("catalog", instance("catalog.11")))
        office.write_log("catalog.11", b"")
        assert await logs(stub, node="catalog", lines=1) == [("catalog.10", b"from 10\n")]
        ((_, text),) = await logs(stub, node="catalog", instance="catalog.10")
        assert text.count(b"\n") == 100


@looped
async def test_output_is_followed_to_new_instances(office: Office) -> None:
    office.write_log("catalog.1", b"old\n")
    office.state = host(node("catalog", instance("catalog.1")))
    async with opened(office) as stub:
        follow = stub.ReadLogs(pb.ReadLogsRequest(node="catalog", follow=True), timeout=20)
        assert (await follow.read()).text == b"old\n"
        office.write_log("catalog.1", b"new\nhal")
        assert (await follow.read()).text == b"new\n"
        office.state = host(node("catalog", instance("catalog.2")))
        office.write_log("catalog.2", b"hello\n")
        piece = await follow.read()
        assert (piece.instance, piece.text) == ("catalog.2", b"hello\n")
        office.write_log("catalog.1", b"f\n")
        assert (await follow.read()).text == b"half\n"
        follow.cancel()


BAD_LOGS = [
    ({"node": ""}, "INVALID_ARGUMENT", "not a node's name: ''"),
    ({"node": "../.."}, "INVALID_ARGUMENT", "not a node's name: '../..'"),
    ({"node": "catalog", "instance": "../x"}, "INVALID_ARGUMENT", "not an instance's name: '../x'"),
    ({"node": "catalog", "instance": "catalog"}, "INVALID_ARGUMENT", "not an instance's name: 'catalog'"),
    ({"node": "nobody"}, "NOT_FOUND", "no such node: nobody"),
    ({"node": "catalog", "instance": "catalog.9"}, "NOT_FOUND", "no such instance of catalog: catalog.9"),
    ({"node": "catalog", "instance": "basket.1"}, "NOT_FOUND", "no such instance of catalog: basket.1"),
]


@pytest.mark.parametrize(("fields", "code", "text"), BAD_LOGS, ids=[text for *_, text in BAD_LOGS])
@looped
async def test_output_of_what_is_not_there(office: Office, fields: Any, code: str, text: str) -> None:
    office.write_log("catalog.1", b"x\n")
    office.write_log("basket.1", b"x\n")
    async with opened(office) as stub:
        assert await code_of(stub.ReadLogs(pb.ReadLogsRequest(**fields), timeout=5)) == (code, text)


@looped
async def test_output_that_cannot_be_read_is_told(office: Office) -> None:
    path = office.write_log("catalog.1", b"x\n")
    path.unlink()
    path.symlink_to("/etc/hostname")
    async with opened(office) as stub:
        code, text = await code_of(stub.ReadLogs(pb.ReadLogsRequest(node="catalog"), timeout=5))
    assert code == "INTERNAL"
    assert text.startswith("cannot read the output of catalog.1: ")


STREAMS: list[tuple[str, Callable[[Any], AsyncIterator[Any]]]] = [
    ("WatchStatus", lambda stub: stub.WatchStatus(pb.WatchStatusRequest())),
    ("Explain", lambda stub: stub.Explain(pb.ExplainRequest(follow=True))),
    ("ReadLogs", lambda stub: stub.ReadLogs(pb.ReadLogsRequest(node="catalog", follow=True))),
]


@pytest.mark.parametrize(("name", "begin"), STREAMS, ids=[name for name, _ in STREAMS])
@looped
async def test_a_stream_ends_when_its_client_leaves(
    office: Office, name: str, begin: Callable[[Any], AsyncIterator[Any]]
) -> None:
    office.chronicle.add([entry(1)])
    office.write_log("catalog.1", b"x\n")

    async with opened(office) as stub:
        await stub.GetVersion(pb.GetVersionRequest(), timeout=5)
        before = len(asyncio.all_tasks())  # those of the connection stay
        call: Any = begin(stub)
        await call.read()
        assert len(asyncio.all_tasks()) > before
        call.cancel()
        await wait(lambda: len(asyncio.all_tasks()) <= before, f"the end of {name}")


@looped
async def test_health_and_reflection(office: Office) -> None:
    async with opened(office), grpc.aio.insecure_channel(f"unix:{office.path}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        found = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert found.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = stub.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
        )
        answer = await asked.read()
        names = {service.name for service in answer.list_services_response.service}
        assert {"nodeapi.v1.ControlService", "grpc.health.v1.Health"} <= names
        asked.cancel()


@needs_root
@looped
async def test_others_may_look_and_plan_and_nothing_else(office: Office) -> None:
    async with opened(office):
        found = await outcomes_of(64301, office.path)
        assert office.inbox.facts == []
        office.members = Members(admin=("uid:64302",))
        admin = await outcomes_of(64302, office.path)
    looks = {"GetStatus": "OK", "GetVersion": "OK", "WatchStatus": "OK", "Explain": "OK", "Health": "OK"}
    denied = {"Command": "PERMISSION_DENIED", "Apply": "PERMISSION_DENIED"}
    assert found == {**looks, **denied, "Plan": "INVALID_ARGUMENT"}
    assert admin == {**looks, "Command": "OK", "Apply": "INVALID_ARGUMENT", "Plan": "INVALID_ARGUMENT"}
    assert [order.by for order in office.inbox.all(CommandRequested)] == ["uid 64302"]
