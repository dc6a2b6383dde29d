"""Does every kind of call pass the gate only for those it is for, and leave its line in the audit?"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.audit import Asked
from noded.adapters.call_gate import Gate, _Call
from noded.adapters.control_server import control_server
from noded.adapters.peercred import Caller
from noded.adapters.roles import Members, Role
from noded.model.incident import Record
from noded.ports import Entry
from tests.adapters.looped import looped
from tests.adapters.office import Office, code_of, offices, opened, outcomes_of
from tests.adapters.sdk import wait
from tests.fakes.clock import FakeClock
from tests.runtime.nouns import host, incident, instance, node

ME = os.geteuid()
needs_root = pytest.mark.skipif(ME != 0, reason="taking other uids needs root")
STOP = pb.CommandRequest(verb=pb.VERB_STOP, node="catalog")


@pytest.fixture
def office() -> Iterator[Office]:
    yield from offices()


async def told(office: Office) -> list[tuple[str, str, str]]:
    return [(e.role, e.what, e.answer) for e in (await office.audit.read(1000)).entries]


CALLS: dict[str, Any] = {
    "Command": lambda stub: stub.Command(STOP, timeout=5),
    "Apply": lambda stub: stub.Apply(iter([pb.ApplyRequest(header=pb.ApplyHeader(size=5))]), timeout=5),
    "ReadLogs": lambda stub: stub.ReadLogs(pb.ReadLogsRequest(node="catalog"), timeout=5),
    "Restore": lambda stub: stub.Restore(iter([pb.RestoreRequest(chunk=b"x")]), timeout=5),
    "Bundle": lambda stub: stub.Bundle(pb.BundleRequest(), timeout=5),
    "GetStatus": lambda stub: stub.GetStatus(pb.GetStatusRequest(), timeout=5),
}


@pytest.mark.parametrize("name", CALLS)
@looped
async def test_nobody_is_denied_every_kind_of_call_and_told_what_would_help(
    office: Office, name: str
) -> None:
    office.roles.given = Role.NOBODY
    async with opened(office) as stub:
        code, text = await code_of(CALLS[name](stub))
        version = await code_of(stub.GetVersion(pb.GetVersionRequest(), timeout=5))
    need = {"GetStatus": "viewer", "Command": "operator", "ReadLogs": "operator"}.get(name, "admin")
    assert code == "PERMISSION_DENIED"
    assert text.startswith(f"uid {ME} may not call {name}: it needs the role {need}, yours is nobody; ")
    assert f" to {need} under [roles] in {office.folder}/policy.toml" in text
    assert version == ("OK", "")
    assert await told(office) == [("nobody", name, f"denied: needs {need}")]
    assert office.inbox.facts == []


@looped
async def test_an_operator_gives_orders_and_removes_nothing(office: Office) -> None:
    office.roles.given = Role.OPERATOR
    async with opened(office) as stub:
        assert await code_of(stub.Command(STOP, timeout=5)) == ("OK", "")
        remove = pb.CommandRequest(verb=pb.VERB_REMOVE, node="catalog")
        assert (await code_of(stub.Command(remove, timeout=5)))[0] == "PERMISSION_DENIED"
    assert await told(office) == [
        ("operator", "stop catalog", "accepted"),
        ("operator", "Command", "denied: needs admin"),
    ]


@looped
async def test_a_refused_order_is_told_with_the_reason(office: Office) -> None:
    office.inbox.reply = ("refused", "catalog is to be stopped\nalready", "")
    async with opened(office) as stub:
        assert (await code_of(stub.Command(STOP, timeout=5)))[0] == "FAILED_PRECONDITION"
    assert await told(office) == [("admin", "stop catalog", "refused: catalog is to be stopped?already")]


@looped
async def test_who_and_from_which_process(office: Office) -> None:
    async with opened(office) as stub:
        await stub.Command(STOP, timeout=5)
        found = (await stub.ReadAudit(pb.ReadAuditRequest(), timeout=5)).entries[0]
    (entry,) = (await office.audit.read(10)).entries[:1]
    assert (entry.uid, entry.pid) == (ME, os.getpid())
    assert found.who == (f"{entry.who} (uid {ME})" if entry.who else f"uid {ME}")
    assert (found.what, found.answer, found.pid) == ("stop catalog", "accepted", os.getpid())


@looped
async def test_looks_leave_no_line_but_what_is_protected_does_once_a_minute(office: Office) -> None:
    office.state = host(node("catalog", instance()))
    office.chronicle.add([Entry(1.0, "catalog", "", "action", "Note", "text", "{}")])
    office.write_log("catalog.1", b"x\n")
    async with opened(office) as stub:
        for _ in range(3):
            await stub.GetStatus(pb.GetStatusRequest(), timeout=5)
            await stub.GetStatus(pb.GetStatusRequest(node="catalog"), timeout=5)
            [one async for one in stub.Explain(pb.ExplainRequest(node="catalog"), timeout=5)]
            await stub.ListReleases(pb.ListReleasesRequest(), timeout=5)
            [one async for one in stub.ReadLogs(pb.ReadLogsRequest(node="catalog"), timeout=5)]
    lines = [what for _, what, _ in await told(office)]
    assert lines == ["describe catalog", "explain catalog", "logs catalog", "logs catalog", "logs catalog"]


@looped
async def test_a_flood_of_denied_calls_is_one_line(office: Office) -> None:
    office.roles.given = Role.VIEWER
    async with opened(office) as stub:
        for number in range(30):
            order = pb.CommandRequest(verb=pb.VERB_STOP, node=f"n{number}")
            assert (await code_of(stub.Command(order, timeout=5)))[0] == "PERMISSION_DENIED"
    assert await told(office) == [("viewer", "Command", "denied: needs operator")]


@looped
async def test_thousands_of_callers_flood_the_audit_with_thirty_lines_an_hour(office: Office) -> None:
    clock = FakeClock()
    gate = Gate(office.roles, office.audit, clock, "policy.toml")
    for number in range(200):
        for what in ("Command", "Exec"):
            who = Caller(100_000 + number, 1, 1)
            gate.note(_Call(gate, who, "", "viewer", what, what, Role.ADMIN), "denied: needs admin", what)
    assert len(await told(office)) == 30
    clock.advance(3601)
    gate.note(_Call(gate, Caller(7, 1, 1), "", "viewer", "Exec", "Exec", Role.ADMIN), "denied: x", "Exec")
    assert len(await told(office)) == 31


@looped
async def test_a_viewer_does_not_read_code_that_was_made(office: Office) -> None:
    office.state = host(node("catalog", healing=Record(incident(), (incident(),))), node("basket"))
    async with opened(office) as stub:
        for role, diffs in ((Role.VIEWER, ["", ""]), (Role.OPERATOR, ["-a\n+b\n"] * 2)):
            office.roles.given = role
            whole = await stub.GetStatus(pb.GetStatusRequest(), timeout=5)
            watched = stub.WatchStatus(pb.WatchStatusRequest(), timeout=5)
            for nodes in (whole.nodes, (await watched.read()).nodes):
                basket, catalog = nodes
                shown = [catalog.incident, *catalog.past_incidents]
                assert [each.regeneration.diff for each in shown] == diffs
                assert catalog.incident.regeneration.diff_lines == 7
                said = [gate.detail for each in shown for gate in each.regeneration.gates]
                assert said == ([""] * 4 if role is Role.VIEWER else ["3 passed", "slope 0"] * 2)
                assert not basket.HasField("incident")
            watched.cancel()


@looped
async def test_a_viewer_sees_states_and_reasons_and_no_settings(office: Office) -> None:
    office.state = host(node("catalog", instance()))
    office.chronicle.add([Entry(1.0, "catalog", "", "action", "Note", "text", '{"env": 1}')])
    folder = office.releases.path(office.state.nodes["catalog"].release.digest)
    folder.mkdir()
    (folder / "node.toml").write_text("[node]\n")
    one = pb.GetStatusRequest(node="catalog")
    async with opened(office) as stub:
        for role, manifest, body in ((Role.VIEWER, "", ""), (Role.OPERATOR, "[node]\n", '{"env": 1}')):
            office.roles.given = role
            assert (await stub.GetStatus(one, timeout=5)).nodes[0].manifest == manifest
            (entry,) = [e async for e in stub.Explain(pb.ExplainRequest(), timeout=5)]
            assert (entry.text, entry.body) == ("text", body)


@looped
async def test_who_says_nothing_is_not_waited_for(office: Office) -> None:
    async def silent() -> AsyncIterator[pb.ApplyRequest]:
        await asyncio.Event().wait()
        yield pb.ApplyRequest()

    async with opened(office, control_server(office.desk, patience=0.2)) as stub:
        found = await code_of(stub.Apply(silent(), timeout=10))
    assert found == ("DEADLINE_EXCEEDED", "nothing came within 0.2 s of the call")


@looped
async def test_a_stream_without_a_message_is_refused(office: Office) -> None:
    async with opened(office) as stub:
        found = await code_of(stub.Apply(iter([]), timeout=5))
    assert found == ("INVALID_ARGUMENT", "the first message must be the header")
    assert await told(office) == [("admin", "apply", "refused: the first message must be the header")]


@looped
async def test_who_leaves_in_the_middle_is_told(office: Office) -> None:
    office.inbox.reply = None
    async with opened(office) as stub:
        call = stub.Command(STOP, timeout=30)
        await wait(lambda: office.inbox.facts, "the order")
        call.cancel()
        await wait(lambda: not office.answers._waiting, "the end of the wait")
    await wait(lambda: (office.folder / "audit/000001.jsonl").exists(), "the line")
    assert await told(office) == [("admin", "stop catalog", "the caller went away")]


@looped
async def test_a_call_that_is_not_served_and_one_that_writes_by_itself(office: Office) -> None:
    async with opened(office), grpc.aio.insecure_channel(f"unix:{office.path}") as channel:
        unknown = channel.unary_unary("/nodeapi.v1.ControlService/NoSuchCall")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await unknown(b"", timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=5)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


@looped
async def test_a_broken_chain_is_told(office: Office) -> None:
    for number in range(3):
        office.audit.note(Asked(float(number), "anna", 1000, 1, "admin", f"stop n{number}", "accepted"))
    await office.audit.read(1)
    path = office.folder / "audit/000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"stop n1", b"stop n7"))
    async with opened(office) as stub:
        found = await stub.ReadAudit(pb.ReadAuditRequest(limit=2), timeout=5)
    assert [entry.what for entry in found.entries] == ["stop n7", "stop n2"]
    assert found.broken.startswith("the audit's chain is broken: before 000001.jsonl:3 a line was changed")


@needs_root
@looped
async def test_roles_of_other_users(office: Office) -> None:
    async with opened(office):
        office.members = Members((), ("uid:64303",), ("gid:64304",))
        found = {uid: await outcomes_of(uid, office.path) for uid in (64302, 64303, 64304)}
    assert found[64302]["GetStatus"] == found[64302]["Plan"] == "PERMISSION_DENIED"
    assert found[64302]["GetVersion"] == found[64302]["Health"] == "OK"
    assert (found[64303]["Command"], found[64303]["Apply"]) == ("OK", "PERMISSION_DENIED")
    assert (found[64304]["Command"], found[64304]["Apply"]) == ("OK", "INVALID_ARGUMENT")
