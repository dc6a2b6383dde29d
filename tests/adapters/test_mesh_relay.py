"""Do administrators' questions reach the mesh as they are, by role, and is one that is away told well?"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from nodeapi.v1 import mesh_pb2 as pb
from nodeapi.v1.mesh_pb2_grpc import MeshControlServicer, MeshControlStub, add_MeshControlServicer_to_server
from noded.adapters import peercred
from noded.adapters.control_server import control_server
from noded.adapters.roles import Role
from tests.adapters.looped import looped
from tests.adapters.office import Office, code_of, offices
from tests.adapters.sdk import wait

EVENT = pb.Event(id="shop-1.7", type="shop.placed", data=b"{}", attributes={"a": "b"}, subject="s")


class SmallMesh(MeshControlServicer):  # type: ignore[misc]
    """Answers as noded-mesh does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.tails = 0

    def _kept(self, request: Any, answer: Any) -> Any:
        self.asked.append(request)
        return answer

    async def GetMap(self, request: Any, context: Any) -> Any:
        return self._kept(request, pb.MapReply(table=7, flows=[pb.Flow(type="shop.placed", lag=3)]))

    async def Show(self, request: Any, context: Any) -> Any:
        if request.id == "none":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no event none: nodectl events tail")
        return self._kept(request, EVENT)

    async def Send(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the log is full: 1 GiB wait for till")

    async def Replay(self, request: Any, context: Any) -> Any:
        return self._kept(request, pb.ReplayReply(events=2))

    async def ListDead(self, request: Any, context: Any) -> Any:
        return self._kept(request, pb.DeadReply(dead=[pb.DeadEvent(event=EVENT, reason="no stock")], count=1))

    async def RequeueDead(self, request: Any, context: Any) -> Any:
        return self._kept(request, pb.DeadReply(count=1))

    async def DropDead(self, request: Any, context: Any) -> Any:
        return self._kept(request, pb.DeadReply(count=1))

    async def GetTrace(self, request: Any, context: Any) -> Any:
        return self._kept(request, pb.TraceReply(trace="t", events=[EVENT]))

    async def Tail(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.asked.append(request)
        self.tails += 1
        try:
            for number in range(request.limit or 10**9):
                yield pb.Event(id=str(number))
                await asyncio.sleep(0.01)
        finally:
            self.tails -= 1


@pytest.fixture
def office() -> Iterator[Office]:
    yield from offices()


@asynccontextmanager
async def asked(office: Office, mesh: SmallMesh | None) -> AsyncIterator[Any]:
    """A stub of a client of noded; with a mesh behind it, or none."""
    inner = grpc.aio.server()
    if mesh is not None:
        add_MeshControlServicer_to_server(mesh, inner)  # type: ignore[no-untyped-call]
        inner.add_insecure_port(f"unix:{office.folder / 'control.sock'}")
        await inner.start()
    desk = office.desk
    try:
        async with (
            asyncio.TaskGroup() as group,
            peercred.serve(office.path, control_server(desk), group),
            grpc.aio.insecure_channel(f"unix:{office.path}", [("grpc.use_local_subchannel_pool", 1)]) as line,
        ):
            yield MeshControlStub(line)  # type: ignore[no-untyped-call]
    finally:
        await desk.mesh.close()
        await inner.stop(0)


async def told(office: Office) -> list[tuple[str, str, str]]:
    return [(e.role, e.what, e.answer) for e in (await office.audit.read(1000)).entries]


CALLS: dict[str, Callable[[Any], Any]] = {
    "GetMap": lambda stub: stub.GetMap(pb.MapRequest(), timeout=5),
    "GetTrace": lambda stub: stub.GetTrace(pb.TraceRequest(id="t"), timeout=5),
    "ListDead": lambda stub: stub.ListDead(pb.DeadRequest(node="till"), timeout=5),
    "Show": lambda stub: stub.Show(pb.ShowRequest(id="shop-1.7"), timeout=5),
    "Tail": lambda stub: stub.Tail(pb.TailRequest(types=["shop.placed"], limit=2), timeout=5),
    "Replay": lambda stub: stub.Replay(pb.ReplayRequest(node="till", types=["shop.placed"]), timeout=5),
    "RequeueDead": lambda stub: stub.RequeueDead(pb.DeadRequest(node="till", ids=["1", "2"]), timeout=5),
    "DropDead": lambda stub: stub.DropDead(pb.DeadRequest(node="till"), timeout=5),
}
VIEWERS = ("GetMap", "GetTrace", "ListDead")


@pytest.mark.parametrize("name", CALLS)
@looped
async def test_each_role_asks_what_is_for_it(office: Office, name: str) -> None:
    mesh = SmallMesh()
    async with asked(office, mesh) as stub:
        for role in (Role.NOBODY, Role.VIEWER, Role.OPERATOR):
            office.roles.given = role
            code, text = await code_of(CALLS[name](stub))
            least = Role.VIEWER if name in VIEWERS else Role.OPERATOR
            assert code == ("OK" if role >= least else "PERMISSION_DENIED"), text
    assert len(mesh.asked) == (2 if name in VIEWERS else 1)


@looped
async def test_viewers_learn_what_became_of_events_and_not_what_is_in_them(office: Office) -> None:
    async with asked(office, SmallMesh()) as stub:
        office.roles.given = Role.VIEWER
        (seen,) = (await CALLS["GetTrace"](stub)).events
        (dead,) = (await CALLS["ListDead"](stub)).dead
        for event in (seen, dead.event):
            assert (event.id, event.data, dict(event.attributes)) == ("shop-1.7", b"", {})
        assert dead.reason == "no stock"
        office.roles.given = Role.OPERATOR
        assert (await CALLS["GetTrace"](stub)).events[0] == EVENT
        assert (await CALLS["ListDead"](stub)).dead[0].event == EVENT


@looped
async def test_questions_and_answers_go_through_as_they_are(office: Office) -> None:
    mesh = SmallMesh()
    async with asked(office, mesh) as stub:
        assert [event.id async for event in CALLS["Tail"](stub)] == ["0", "1"]
        assert (await CALLS["GetMap"](stub)).flows[0].lag == 3
        assert (await CALLS["Replay"](stub)).events == 2
    assert mesh.asked[0] == pb.TailRequest(types=["shop.placed"], limit=2)
    assert mesh.asked[-1] == pb.ReplayRequest(node="till", types=["shop.placed"])


@looped
async def test_who_reads_or_changes_events_is_in_the_audit(office: Office) -> None:
    office.roles.given = Role.OPERATOR
    async with asked(office, SmallMesh()) as stub:
        for call in CALLS.values():
            await code_of(call(stub))
        await code_of(stub.Send(pb.SendRequest(type="shop.placed", data=b"secret"), timeout=5))
    assert await told(office) == [
        ("operator", "read the trace t", "accepted"),
        ("operator", "read dead events of till", "accepted"),
        ("operator", "read the event shop-1.7", "accepted"),
        ("operator", "read events shop.placed", "accepted"),
        ("operator", "replay events to till shop.placed", "accepted"),
        ("operator", "requeue dead events of till (2 of them)", "accepted"),
        ("operator", "drop dead events of till (all of them)", "accepted"),
        ("operator", "publish shop.placed", "refused: the log is full: 1 GiB wait for till"),
    ]


@looped
async def test_the_meshs_own_refusal_is_passed_on(office: Office) -> None:
    async with asked(office, SmallMesh()) as stub:
        found = await code_of(stub.Show(pb.ShowRequest(id="none"), timeout=5))
        full = await code_of(stub.Send(pb.SendRequest(type="a"), timeout=5))
    assert found == ("NOT_FOUND", "no event none: nodectl events tail")
    assert full == ("UNAVAILABLE", "the log is full: 1 GiB wait for till")


@looped
async def test_nobody_gives_the_mesh_its_table_from_outside(office: Office) -> None:
    async with asked(office, SmallMesh()) as stub:
        code, _ = await code_of(stub.SetTable(pb.Table(number=99), timeout=5))
    assert code == "UNIMPLEMENTED"


@pytest.mark.parametrize("name", ["GetMap", "Tail"])
@looped
async def test_without_a_mesh_a_person_is_told_what_to_do(office: Office, name: str) -> None:
    socket = office.folder / "control.sock"
    away = f"noded-mesh does not answer at {socket}: systemctl status noded-mesh"
    async with asked(office, None) as stub:
        assert await code_of(CALLS[name](stub)) == ("UNAVAILABLE", away)
        # What a mesh that was killed leaves behind.
        socket.touch()
        assert await code_of(CALLS[name](stub)) == ("UNAVAILABLE", away)


@looped
async def test_who_leaves_a_tail_ends_it(office: Office) -> None:
    mesh = SmallMesh()
    async with asked(office, mesh) as stub:
        call = stub.Tail(pb.TailRequest())
        assert await call.read()
        assert mesh.tails == 1
        call.cancel()
        await wait(lambda: mesh.tails == 0, "the end of the tail")


@looped
async def test_a_question_that_is_too_long_is_refused_by_noded(office: Office, tmp_path: Path) -> None:
    mesh = SmallMesh()
    async with asked(office, mesh) as stub:
        code, _ = await code_of(stub.Send(pb.SendRequest(type="a", data=bytes(2 * 1024 * 1024)), timeout=5))
    assert (code, mesh.asked) == ("RESOURCE_EXHAUSTED", [])
