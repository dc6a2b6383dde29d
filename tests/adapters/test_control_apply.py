"""Is an applied release taken whole, by whom it may be, or refused with every reason?"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1.control_pb2_grpc import add_ControlServiceServicer_to_server
from noded.adapters.control_grpc import LARGEST_RELEASE, PLANS, ControlService
from noded.adapters.roles import Role
from noded.model.conflict import Conflict, Kind
from noded.model.inputs import ApplyRequested
from noded.model.release import Release
from noded.ports import Unavailable
from nodespec.reading import read_node
from nodespec.release import pack
from tests.adapters.looped import looped
from tests.adapters.office import Office, code_of, offices, opened
from tests.fakes.registry import FakeRegistry
from tests.runtime.nouns import host, instance, node

MANIFEST = """
[node]
name = "catalog"
version = "{version}"
run = ["python3", "app.py"]
instances = 2

[resources]
memory = "128M"
"""
PIECE = 16 * 1024


@pytest.fixture
def office() -> Iterator[Office]:
    yield from offices()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "catalog"
    folder.mkdir()
    (folder / "node.toml").write_text(MANIFEST.format(version="1.5.0"))
    (folder / "app.py").write_text("print('hello')\n" * 3000)
    return folder


def request(blob: bytes, size: int | None = None, *, plan: bool = False) -> list[pb.ApplyRequest]:
    header = pb.ApplyHeader(plan_only=plan, size=len(blob) if size is None else size)
    pieces = [blob[at : at + PIECE] for at in range(0, len(blob), PIECE)]
    return [pb.ApplyRequest(header=header), *(pb.ApplyRequest(chunk=piece) for piece in pieces)]


def on_disk(office: Office) -> list[str]:
    return sorted(os.listdir(office.folder / "releases"))


@looped
async def test_a_release_is_taken_and_asked_for(office: Office, source: Path) -> None:
    office.inbox.reply = ("", "catalog starts", "create")
    packed = pack(source)
    async with opened(office) as stub:
        found = await stub.Apply(iter(request(packed.blob)), timeout=10)
    (asked,) = office.inbox.all(ApplyRequested)
    assert (asked.spec, asked.release.digest, asked.taken, asked.plan_only) == (
        packed.spec,
        packed.digest,
        "",
        False,
    )
    assert asked.release.origin == f"uid {os.geteuid()}"
    assert (found.node, found.effect, found.text) == ("catalog", pb.EFFECT_CREATE, "catalog starts")
    assert (found.from_version, found.to_version, found.digest) == ("", "1.5.0", packed.digest)
    assert (list(found.changes), found.peak_memory) == ([], 2 * 128 * 2**20)
    assert on_disk(office) == [packed.digest.removeprefix("sha256:")]


@looped
async def test_what_changes_is_told(office: Office, source: Path) -> None:
    office.inbox.reply = ("", "a rollout begins", "rollout")
    running = read_node(MANIFEST.format(version="1.4.0").replace("128M", "64M"), "node.toml")
    office.state = host(node("catalog", instance(), spec=running))
    async with opened(office) as stub:
        found = await stub.Apply(iter(request(pack(source).blob)), timeout=10)
    assert (found.from_version, found.to_version, found.effect) == ("1.4.0", "1.5.0", pb.EFFECT_ROLLOUT)
    assert [(c.key, c.before, c.after) for c in found.changes] == [
        ("resources.memory", str(64 * 2**20), str(128 * 2**20)),
        ("version", "1.4.0", "1.5.0"),
    ]
    assert found.peak_memory == 2 * 128 * 2**20, "it serves nothing: one goes before the next comes"


@looped
async def test_a_plan_leaves_nothing(office: Office, source: Path) -> None:
    packed = pack(source)
    async with opened(office) as stub:
        found = await stub.Apply(iter(request(packed.blob, plan=True)), timeout=10)
    assert found.digest == packed.digest
    assert office.inbox.all(ApplyRequested)[0].plan_only
    assert on_disk(office) == []


@looped
async def test_the_content_a_version_has_already_is_told_to_the_policy(office: Office, source: Path) -> None:
    other = "sha256:" + "9" * 64
    await office.registry.put("releases/catalog/1.5.0", json.dumps({"digest": other}).encode())
    async with opened(office) as stub:
        await stub.Apply(iter(request(pack(source).blob)), timeout=10)
    assert office.inbox.all(ApplyRequested)[0].taken == other


@looped
async def test_a_refusal_of_the_policy(office: Office, source: Path) -> None:
    office.inbox.reply = ("refused", "1.5.0 has other content", "")
    async with opened(office) as stub:
        found = await code_of(stub.Apply(iter(request(pack(source).blob)), timeout=10))
    assert found == ("FAILED_PRECONDITION", "1.5.0 has other content")


SCHEMA = '{"type": "object"}'
EVENTS = """
[[publishes]]
type = "shop.paid"
schema = "paid.json"
"""


@looped
async def test_contracts_and_what_is_lost_reach_the_policy(office: Office, source: Path) -> None:
    (source / "node.toml").write_text(MANIFEST.format(version="1.5.0") + EVENTS)
    (source / "paid.json").write_text(SCHEMA)
    packed = {}
    for version, line in (("1.4.0", "cache = {}"), ("1.4.0+heal.1", "cache = bounded()")):
        (source / "node.toml").write_text(MANIFEST.format(version=version) + EVENTS)
        (source / "app.py").write_text(f"import os\n{line}\nprint(os)\n")
        packed[version] = Release("catalog", version, pack(source).digest, "incident catalog-1")
        await office.releases.add(pack(source).blob)
        record = json.dumps({"digest": packed[version].digest}).encode()
        await office.registry.put(f"releases/catalog/{version}", record)
    (source / "node.toml").write_text(MANIFEST.format(version="1.5.0") + EVENTS)
    running = replace(node("catalog", spec=pack(source).spec), release=packed["1.4.0+heal.1"])
    office.state = host(running)
    paid = Conflict(Kind.CONTRACT, "ledger", "2.0", "shop.paid $", "is wrong", "do this")
    office.inbox.reply, office.inbox.conflicts = ("", "it is planned", "rollout"), (paid,)
    async with opened(office) as stub:
        kept = await stub.Apply(iter(request(pack(source).blob, plan=True)), timeout=10)
        (source / "app.py").write_text("import os\ncache = {}\nprint(os)\n")
        found = await stub.Apply(iter(request(pack(source).blob, plan=True)), timeout=10)
        office.roles.given = Role.VIEWER
        seen = await stub.Apply(iter(request(pack(source).blob, plan=True)), timeout=10)
    first, second, _ = office.inbox.all(ApplyRequested)
    assert [(s.path, s.text) for s in first.schemas] == [("paid.json", SCHEMA)] * 2
    assert {s.digest for s in first.schemas} == {first.release.digest, packed["1.4.0+heal.1"].digest}
    assert (first.lost, kept.lost) == ("", "")
    assert "+cache = bounded()" in second.lost and found.lost == second.lost
    assert seen.lost == "(operators see it)"
    assert [(c.kind, c.node, c.field, c.advice) for c in found.conflicts] == [
        ("contract", "ledger", "shop.paid $", "do this")
    ]


@looped
async def test_a_conflict_is_refused_with_its_text_and_a_person_may_go_on(
    office: Office, source: Path
) -> None:
    office.inbox.reply = ("conflict", "it breaks ledger", "")
    blob = pack(source).blob
    parts = request(blob)
    parts[0] = pb.ApplyRequest(header=pb.ApplyHeader(size=len(blob), force=True, supersede=True))
    async with opened(office) as stub:
        assert await code_of(stub.Apply(iter(parts), timeout=10)) == (
            "ABORTED",
            "it breaks ledger",
        )
    (asked,) = office.inbox.all(ApplyRequested)
    assert (asked.force, asked.supersede) == (True, True)


@looped
async def test_every_mistake_of_a_manifest_is_told(office: Office, source: Path) -> None:
    blob = pack(source).blob
    for good, bad in ((b'memory = "128M"', b'memoyr = "128M"'), (b"instances = 2", b"instances = 0")):
        blob = blob.replace(good, bad)
    async with opened(office) as stub:
        code, text = await code_of(stub.Apply(iter(request(blob)), timeout=10))
    assert code == "INVALID_ARGUMENT"
    assert text.startswith("cannot add the release:\n")
    assert "resources.memoyr: unknown key; nearest known key: resources.memory" in text
    assert "node.instances: expected" in text
    assert on_disk(office) == []
    assert office.inbox.facts == []


BLOBS = {"noise": b"x" * 5000, "one byte": b"\0", "an empty archive": bytes(10240)}


@pytest.mark.parametrize("blob", BLOBS.values(), ids=BLOBS)
@looped
async def test_what_is_no_release(office: Office, blob: bytes) -> None:
    async with opened(office) as stub:
        code, text = await code_of(stub.Apply(iter(request(blob)), timeout=10))
    assert code == "INVALID_ARGUMENT"
    assert text
    assert on_disk(office) == []


@pytest.mark.parametrize("change", [-1, +1, -5000, +5000])
@looped
async def test_another_size_than_announced(office: Office, source: Path, change: int) -> None:
    blob = pack(source).blob
    async with opened(office) as stub:
        code, text = await code_of(stub.Apply(iter(request(blob, len(blob) + change)), timeout=10))
    assert code == "INVALID_ARGUMENT"
    assert text.endswith(f"bytes and {len(blob) + change} were announced")
    assert on_disk(office) == []


@pytest.mark.parametrize("size", [0, LARGEST_RELEASE + 1, 2**64 - 1])
@looped
async def test_a_size_no_release_has(office: Office, size: int) -> None:
    async with opened(office) as stub:
        code, text = await code_of(stub.Apply(iter(request(b"x", size)), timeout=10))
    assert (code, text) == (
        "INVALID_ARGUMENT",
        f"a release of {size} bytes: expected 1 to {LARGEST_RELEASE}",
    )


@pytest.mark.parametrize(
    "requests", [[], [pb.ApplyRequest()], [pb.ApplyRequest(chunk=b"x")]], ids=["nothing", "empty", "a chunk"]
)
@looped
async def test_the_header_comes_first(office: Office, requests: list[pb.ApplyRequest]) -> None:
    async with opened(office) as stub:
        found = await code_of(stub.Apply(iter(requests), timeout=10))
    assert found == ("INVALID_ARGUMENT", "the first message must be the header")


@looped
async def test_a_message_that_is_too_large(office: Office) -> None:
    large = pb.ApplyRequest(chunk=bytes(2 * 2**20))
    async with opened(office) as stub:
        code, _ = await code_of(stub.Apply(iter([*request(b"", 2**22), large]), timeout=10))
    assert code == "RESOURCE_EXHAUSTED"
    assert on_disk(office) == []


@looped
async def test_an_upload_that_stops_half_way_is_not_waited_for(office: Office, source: Path) -> None:
    async def half() -> AsyncIterator[pb.ApplyRequest]:
        for one in request(pack(source).blob)[:2]:
            yield one
        await asyncio.Event().wait()

    server = grpc.aio.server()
    add_ControlServiceServicer_to_server(ControlService(office.desk, upload_time=0.2), server)  # type: ignore[no-untyped-call]
    async with opened(office, server) as stub:
        found = await code_of(stub.Apply(half(), timeout=10))
    assert found == ("DEADLINE_EXCEEDED", "the release did not come within 0.2 s")
    assert on_disk(office) == []


@looped
async def test_a_client_that_leaves_half_way_leaves_nothing(office: Office, source: Path) -> None:
    begun = asyncio.Event()

    async def half() -> AsyncIterator[pb.ApplyRequest]:
        for one in request(pack(source).blob)[:2]:
            yield one
        begun.set()
        await asyncio.Event().wait()

    async with opened(office) as stub:
        call = stub.Apply(half(), timeout=30)
        await begun.wait()
        call.cancel()
        assert await code_of(stub.GetVersion(pb.GetVersionRequest(), timeout=5)) == ("OK", "")
    assert on_disk(office) == []
    assert office.inbox.facts == []


@looped
async def test_who_may_not_apply_is_told_before_anything_is_read(office: Office, source: Path) -> None:
    office.roles.given = Role.VIEWER
    async with opened(office) as stub:
        code, text = await code_of(stub.Apply(iter(request(pack(source).blob)), timeout=10))
        plan = await code_of(stub.Apply(iter(request(pack(source).blob, plan=True)), timeout=10))
    assert (code, plan) == ("PERMISSION_DENIED", ("OK", ""))
    assert text.startswith(f"uid {os.geteuid()} may not call Apply: it needs the role admin, yours is viewer")
    assert on_disk(office) == []


@looped
async def test_viewers_who_stall_hinder_each_other_and_no_administrator(office: Office, source: Path) -> None:
    office.roles.given = Role.VIEWER
    stalled = asyncio.Event()

    async def half() -> AsyncIterator[pb.ApplyRequest]:
        yield request(pack(source).blob, plan=True)[0]
        await stalled.wait()

    blob = pack(source).blob
    server = grpc.aio.server()
    add_ControlServiceServicer_to_server(ControlService(office.desk, upload_time=3.0), server)  # type: ignore[no-untyped-call]
    async with opened(office, server) as stub:
        calls = [stub.Apply(half(), timeout=30) for _ in range(PLANS)]
        async with asyncio.timeout(10):
            while (await code_of(stub.Apply(iter(request(blob, plan=True)), timeout=10)))[0] == "OK":
                pass
        refused = await code_of(stub.Apply(iter(request(blob, plan=True)), timeout=10))
        office.roles.given = Role.ADMIN
        admin = await code_of(stub.Apply(iter(request(blob)), timeout=10))
        office.roles.given = Role.VIEWER
        ends = [(await code_of(call))[0] for call in calls]
        after = await code_of(stub.Apply(iter(request(blob, plan=True)), timeout=10))
    assert refused == ("RESOURCE_EXHAUSTED", "4 plans are being looked at already: try again later")
    assert admin == after == ("OK", "")
    assert ends == ["DEADLINE_EXCEEDED"] * PLANS


class Away(FakeRegistry):
    async def get(self, key: str) -> Any:
        raise Unavailable("cannot read the registry: database is locked")


@looped
async def test_a_registry_that_does_not_answer_is_told(office: Office, source: Path) -> None:
    office.registry = Away()
    async with opened(office) as stub:
        found = await code_of(stub.Apply(iter(request(pack(source).blob)), timeout=10))
    assert found == ("INTERNAL", "cannot read the registry: database is locked")


@looped
async def test_many_at_once_are_taken(office: Office, source: Path) -> None:
    blobs = []
    for number in range(6):
        (source / "node.toml").write_text(MANIFEST.format(version=f"1.5.{number}"))
        blobs.append(pack(source).blob)
    async with opened(office) as stub:
        calls = [stub.Apply(iter(request(blob)), timeout=20) for blob in blobs]
        found = [(await call).to_version for call in calls]
    assert found == [f"1.5.{number}" for number in range(6)]
    assert len(on_disk(office)) == 6
