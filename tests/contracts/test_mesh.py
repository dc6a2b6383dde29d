"""What must hold for every mesh that noded tells, the real one's control socket and the fake?"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nodeapi.v1 import mesh_pb2
from noded.adapters.mesh import GrpcMesh, message_of
from noded.model.mesh import Contract, Part, Speaker, Subscription, Table
from noded.model.signals import Handled
from noded.ports import Held, Mesh, Refused, TimedOut, Unavailable
from nodespec.manifest import Check
from tests.adapters.looped import looped
from tests.fakes.mesh import FakeDesk, FakeMesh

DIGEST = f"sha256:{'0' * 64}"
PART = Part(
    (Speaker("shop.1", "1.0", 64200), Speaker("shop.2", "1.1", 64200)),
    (Subscription("shop.placed", True), Subscription("shop.paid", False)),
    (
        Contract("shop.captured", "1.1", DIGEST, "c.json", Check.WARN),
        Contract("shop.captured", "1.0", DIGEST, "", Check.OFF),
    ),
    "1.0",
    "1.1",
    0.25,
)
TABLE = Table(7, "here", {"shop": PART, "quiet": Part((), (), (), "2")}, ("till",), 15.0)


@dataclass
class World:
    mesh: Mesh
    desk: FakeDesk | FakeMesh

    @property
    def number(self) -> int:
        return self.desk.table.number if self.desk.table else 0


@asynccontextmanager
async def world(kind: str, folder: Path) -> AsyncIterator[World]:
    if kind == "fake":
        fake = FakeMesh()
        yield World(fake, fake)
        return
    desk, control = FakeDesk(), folder / "control.sock"
    async with desk.serving(control):
        mesh = GrpcMesh(control, lambda digest: folder, lambda: 1000.0)
        yield World(mesh, desk)
        await mesh.close()


KINDS = pytest.mark.parametrize("kind", ["fake", "real"])


@KINDS
@looped
async def test_a_table_is_held(kind: str, tmp_path: Path) -> None:
    async with world(kind, tmp_path) as there:
        assert (await there.mesh.held()).table == 0
        await there.mesh.install(TABLE)
        assert (await there.mesh.held()).table == there.number == 7


@KINDS
@looped
async def test_the_same_number_may_come_again_and_a_lower_one_not(kind: str, tmp_path: Path) -> None:
    async with world(kind, tmp_path) as there:
        await there.mesh.install(TABLE)
        await there.mesh.install(TABLE)
        with pytest.raises(Refused, match="table 6 is older than the one held, 7"):
            await there.mesh.install(replace(TABLE, number=6))
        assert there.number == 7


@KINDS
@looped
async def test_what_versions_did_is_told_of_nodes_that_are_known(kind: str, tmp_path: Path) -> None:
    async with world(kind, tmp_path) as there:
        assert await there.mesh.handled({"shop": ("1.0",)}) == ()
        await there.mesh.install(TABLE)
        there.desk.done = {("shop", "1.1"): (40, 3), ("shop", "0.9"): (9, 9), ("other", "1.0"): (7, 7)}
        told = await there.mesh.handled({"shop": ("1.0", "1.1"), "nobody": ("1.0",)})
        assert told == (Handled("shop", "1.0", 0, 0), Handled("shop", "1.1", 40, 3))
        assert await there.mesh.handled({}) == ()


@KINDS
@looped
async def test_another_process_is_told_apart_and_the_same_is_not(kind: str, tmp_path: Path) -> None:
    async with world(kind, tmp_path) as there:
        first = await there.mesh.held()
        assert await there.mesh.held() == first
        if isinstance(there.desk, FakeDesk):
            there.desk.starts += 1
        else:
            there.desk.restart()
        assert await there.mesh.held() == Held("mesh.2", 0) != first


@looped
async def test_without_a_mesh_a_person_is_told_where_to_look(tmp_path: Path) -> None:
    mesh = GrpcMesh(tmp_path / "control.sock", lambda digest: tmp_path)
    expected = f"noded-mesh does not answer at {tmp_path}/control.sock: systemctl status noded-mesh"
    with pytest.raises(Unavailable, match=expected):
        await mesh.held()
    # Something is there, and it is no mesh.
    (tmp_path / "control.sock").touch()
    with pytest.raises(Unavailable, match=expected):
        await mesh.install(TABLE)
    await mesh.close()


@looped
async def test_one_that_comes_back_is_found_soon(tmp_path: Path) -> None:
    desk = FakeDesk()
    mesh = GrpcMesh(tmp_path / "control.sock", lambda digest: tmp_path)
    for _ in range(2):
        async with desk.serving(tmp_path / "control.sock"):
            await _found(mesh)
        with pytest.raises((Unavailable, TimedOut)):
            await mesh.held()
    await mesh.close()


async def _found(mesh: Mesh) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                await mesh.held()
                return
            except Unavailable:
                await asyncio.sleep(0.02)


def test_the_message_says_all_of_the_table() -> None:
    schema = json.dumps({"type": "object"})
    said = message_of(TABLE, {(DIGEST, "c.json"): schema}, 1000.0)
    assert (said.number, said.host, list(said.gone)) == (7, "here", ["till"])
    assert [(m.instance, m.node, m.version, m.uid) for m in said.members] == [
        ("shop.1", "shop", "1.0", 64200),
        ("shop.2", "shop", "1.1", 64200),
    ]
    (consumer,) = said.consumers
    assert (consumer.node, consumer.stable) == ("shop", "1.0")
    assert [(c.type, c.ordered) for c in consumer.consumed] == [("shop.placed", True), ("shop.paid", False)]
    assert [(s.version, s.share, s.valid_until) for s in consumer.shares] == [("1.1", 0.25, 1015.0)]
    assert [(c.type, c.node, c.version, c.schema, c.mode) for c in said.contracts] == [
        ("shop.captured", "shop", "1.1", schema, mesh_pb2.Contract.WARN),
        ("shop.captured", "shop", "1.0", "", mesh_pb2.Contract.OFF),
    ]


@looped
async def test_schemas_are_read_from_the_release_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world("real", tmp_path) as there:
        assert isinstance(there.desk, FakeDesk)
        (tmp_path / "c.json").write_text('{"type": "object"}')
        await there.mesh.install(TABLE)
        assert there.desk.table.contracts[0].schema == '{"type": "object"}'
        assert there.desk.table.consumers[0].shares[0].valid_until == 1015.0
        (tmp_path / "c.json").unlink()
        await there.mesh.install(replace(TABLE, number=8))
        assert there.desk.table.contracts[0].schema == '{"type": "object"}'
        assert caplog.records == []


@looped
async def test_a_schema_that_cannot_be_read_holds_nobody_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world("real", tmp_path) as there:
        assert isinstance(there.desk, FakeDesk)
        await there.mesh.install(TABLE)
        assert (there.number, there.desk.table.contracts[0].schema) == (7, "")
        assert "the contract of shop.captured cannot be read" in caplog.text
