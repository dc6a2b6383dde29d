"""Does a backup bring every node back as it was, and is one that is not whole refused before all else?"""

import gzip
import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from noded.adapters import backup as backups
from noded.adapters.roles import Role
from noded.model.inputs import ApplyRequested
from noded.model.state import Desired
from nodespec.archive import Member, ending, header, padding
from nodespec.release import pack
from nodespec.tree import Kind
from tests.adapters.looped import looped
from tests.adapters.office import Office, code_of, offices, opened
from tests.runtime.nouns import host, node, release

NODE = '[node]\nname = "{name}"\nversion = "{version}"\nrun = ["python3", "app.py"]\n'


@pytest.fixture
def office() -> Iterator[Office]:
    yield from offices()


@pytest.fixture
def other() -> Iterator[Office]:
    """Another host, empty."""
    yield from offices()


async def has(office: Office, folder: Path, name: str, version: str, desired: str = "running") -> str:
    source = folder / f"{name}-{version}"
    source.mkdir()
    (source / "node.toml").write_text(NODE.format(name=name, version=version))
    (source / "app.py").write_bytes(random.Random(name).randbytes(200_000))
    digest, _ = await office.releases.add(pack(source).blob)
    record = {"node": name, "version": version, "digest": digest, "origin": "uid 7", "at": 100.0}
    await office.registry.put(f"releases/{name}/{version}", json.dumps(record).encode())
    wanted = {"version": version, "digest": digest, "desired": desired}
    await office.registry.put(f"nodes/{name}", json.dumps(wanted).encode())
    return digest


async def taken(office: Office) -> bytes:
    async with opened(office) as stub:
        parts = [one.chunk async for one in stub.Backup(pb.BackupRequest(), timeout=20)]
    assert all(len(part) <= 64 * 1024 for part in parts)
    return b"".join(parts)


def request(blob: bytes, plan: bool = False, size: int | None = None) -> list[pb.RestoreRequest]:
    first = pb.RestoreHeader(plan_only=plan, size=len(blob) if size is None else size)
    pieces = [blob[at : at + 60_000] for at in range(0, len(blob), 60_000)]
    return [pb.RestoreRequest(header=first), *(pb.RestoreRequest(chunk=piece) for piece in pieces)]


async def restored(office: Office, blob: bytes, plan: bool = False) -> list[tuple[str, str, str]]:
    async with opened(office) as stub:
        answer = await stub.Restore(iter(request(blob, plan)), timeout=20)
    return [(one.node, one.version, one.result) for one in answer.nodes]


async def whole(office: Office, folder: Path) -> bytes:
    await has(office, folder, "catalog", "1.0")
    await has(office, folder, "basket", "2.0", "stopped")
    await has(office, folder, "gone", "3.0", "removed")
    (office.folder / "policy.toml").write_text("[roles]\n")
    return await taken(office)


@looped
async def test_every_node_comes_back_and_what_was_stopped_stays_stopped(
    office: Office, other: Office, tmp_path: Path
) -> None:
    blob = await whole(office, tmp_path)
    assert await restored(other, blob) == [("basket", "2.0", "restored"), ("catalog", "1.0", "restored")]
    applied = {fact.spec.name: fact for fact in other.inbox.all(ApplyRequested)}
    assert {name: fact.stopped for name, fact in applied.items()} == {"basket": True, "catalog": False}
    assert applied["catalog"].release.origin == f"uid {os.geteuid()}, from a backup of web1"
    for name in ("catalog", "basket"):
        digest = applied[name].release.digest
        assert (other.releases.path(digest) / "app.py").read_bytes() == (
            office.releases.path(digest) / "app.py"
        ).read_bytes()
    assert [p for p in os.listdir(other.folder) if p.startswith("restore-")] == []
    trail = await other.audit.read(1)
    assert trail.entries[0].what == "restore basket 2.0 (restored) catalog 1.0 (restored)"


@looped
async def test_any_tar_reads_it_and_nothing_of_nodes_data_is_in_it(office: Office, tmp_path: Path) -> None:
    blob = await whole(office, tmp_path)
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert names[-3:] == ["records.json", "reference/policy.toml", "manifest.json"]
    assert [name.partition("/")[0] for name in names[:-3]] == ["releases", "releases"]
    assert [(n["node"], n["desired"]) for n in manifest["nodes"]] == [
        ("basket", "stopped"),
        ("catalog", "running"),
    ]
    assert (manifest["host"], manifest["format"]) == ("web1", 1)


@looped
async def test_a_plan_changes_nothing(office: Office, other: Office, tmp_path: Path) -> None:
    blob = await whole(office, tmp_path)
    found = await restored(other, blob, plan=True)
    assert [result for *_, result in found] == ["would be restored"] * 2
    assert all(fact.plan_only for fact in other.inbox.all(ApplyRequested))
    assert os.listdir(other.folder / "releases") == []


@looped
async def test_what_is_here_already_is_left_alone_whatever_its_version(
    office: Office, other: Office, tmp_path: Path
) -> None:
    blob = await whole(office, tmp_path)
    held = node("catalog", release=release("catalog", "0.9"), desired=Desired.STOPPED)
    other.state = host(held)
    async with opened(other) as stub:
        answer = await stub.Restore(iter(request(blob)), timeout=20)
    basket, catalog = answer.nodes
    assert (catalog.result, catalog.text) == ("left alone", "0.9 is on this host and stopped")
    assert basket.result == "restored"
    assert [fact.spec.name for fact in other.inbox.all(ApplyRequested)] == ["basket"]


@looped
async def test_one_that_is_refused_is_told_and_the_others_come_back(
    office: Office, other: Office, tmp_path: Path
) -> None:
    blob = await whole(office, tmp_path)
    other.inbox.reply = ("refused", "port 8100 belongs to shop", "")
    found = await restored(other, blob)
    assert [result for *_, result in found] == ["failed", "failed"]


@looped
async def test_a_version_that_is_on_record_here_is_handed_on(
    office: Office, other: Office, tmp_path: Path
) -> None:
    blob = await whole(office, tmp_path)
    await other.registry.put("releases/catalog/1.0", json.dumps({"digest": "sha256:other"}).encode())
    await restored(other, blob)
    taken_ = {fact.spec.name: fact.taken for fact in other.inbox.all(ApplyRequested)}
    assert taken_ == {"catalog": "sha256:other", "basket": ""}


@looped
async def test_a_host_without_nodes(office: Office, other: Office) -> None:
    assert await restored(other, await taken(office)) == []


@looped
async def test_a_release_that_is_gone_or_changed_makes_no_backup(office: Office, tmp_path: Path) -> None:
    digest = await has(office, tmp_path, "catalog", "1.0")
    folder = office.releases.path(digest)
    folder.chmod(0o755)
    (folder / "app.py").chmod(0o644)
    (folder / "app.py").write_text("changed")
    async with opened(office) as stub:
        changed = await code_of(stub.Backup(pb.BackupRequest(), timeout=10))
        await office.releases.remove(digest)
        gone = await code_of(stub.Backup(pb.BackupRequest(), timeout=10))
    assert changed[0] == gone[0] == "DATA_LOSS"
    assert "its files changed" in changed[1]
    assert gone[1].startswith(f"cannot back up this host: release {digest[:19]} is not on this host: apply")


@looped
async def test_a_release_larger_than_one_part(office: Office, other: Office, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.mkdir()
    (source / "node.toml").write_text(NODE.format(name="big", version="1.0"))
    (source / "data").write_bytes(bytes(backups.PART + 5))
    digest, _ = await office.releases.add(pack(source).blob)
    wanted = {"version": "1.0", "digest": digest, "desired": "running"}
    await office.registry.put("nodes/big", json.dumps(wanted).encode())
    assert await restored(other, await taken(office)) == [("big", "1.0", "restored")]


def members_of(blob: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as tar:
        return {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]


def packed(files: dict[str, bytes], *, mend: bool = False, kind: Kind = Kind.FILE) -> bytes:
    """An archive of these files; `mend` makes the manifest's sums right again."""
    if mend:
        told = json.loads(files["manifest.json"])
        told["files"] = {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for name, content in files.items()
            if name != "manifest.json"
        }
        files = {**files, "manifest.json": json.dumps(told).encode()}
    whole = b""
    for name, content in files.items():
        mode, target = (0o644, "") if kind is Kind.FILE else (0o777, "x")
        size = len(content) if kind is Kind.FILE else 0
        whole += header(Member(name, kind, mode, size, target))
        whole += (content + padding(len(content))) if kind is Kind.FILE else b""
    return gzip.compress(whole + ending(len(whole)))


def with_manifest(files: dict[str, bytes], change: Callable[[dict[str, Any]], None]) -> bytes:
    told = json.loads(files["manifest.json"])
    change(told)
    return packed({**files, "manifest.json": json.dumps(told).encode()})


def other_release(files: dict[str, bytes]) -> bytes:
    """The sums are right, and the release is that of another node."""
    one, two = sorted(name for name in files if name.startswith("releases/"))
    return packed({**files, one: files[two]}, mend=True)


def changed(key: str, value: Any) -> Callable[[dict[str, bytes]], bytes]:
    return lambda files: with_manifest(files, lambda told: told.update({key: value}))


def first_node(**fields: Any) -> Callable[[dict[str, bytes]], bytes]:
    return lambda files: with_manifest(files, lambda told: told["nodes"][0].update(fields))


def without(name: str) -> Callable[[dict[str, bytes]], bytes]:
    return lambda files: packed({n: c for n, c in files.items() if not n.startswith(name)})


def added(name: str, **how: Any) -> Callable[[dict[str, bytes]], bytes]:
    return lambda files: packed({name: b"x", **files}, **how)


DAMAGE: dict[str, tuple[Callable[[dict[str, bytes]], bytes], str]] = {
    "no gzip": (lambda files: b"hello" * 100, "not a backup, or cut off"),
    "empty gzip": (lambda files: gzip.compress(b""), "not a backup as noded writes it"),
    "a tar of something": (lambda files: packed({"etc/passwd": b"x"}), "'etc/passwd' does not belong"),
    "a link": (lambda files: packed({"records.json": b""}, kind=Kind.LINK), "does not belong into a backup"),
    "something more": (added("releases/../../etc/x", mend=True), "does not belong into a backup"),
    "a file twice": (
        lambda files: gzip.compress(gzip.decompress(packed(files))[:512] * 2),
        "not a backup",
    ),
    "cut off": (lambda files: packed(files)[:-20], "not a backup, or cut off"),
    "a changed byte": (
        lambda files: packed({**files, "records.json": b"{}"}),
        "records.json is missing or not what manifest.json says",
    ),
    "no manifest": (without("manifest.json"), "manifest.json is missing"),
    "no releases": (without("releases/"), "is missing or not what manifest.json says"),
    "an unlisted file": (added("reference/noded.toml"), "reference/noded.toml is missing or not what"),
    "another release": (other_release, "the release of "),
    "another format": (changed("format", 2), "format 2: this noded reads format 1"),
    "no list of nodes": (changed("nodes", 5), "not what noded writes"),
    "no sums": (changed("files", None), "not what noded writes"),
    "another version": (first_node(version="9.9"), "not 9.9 with sha256:"),
    "a bad name": (first_node(node="../x"), "../x: not a node's name with a digest"),
    "a bad digest": (first_node(digest="sha256:../.."), "not a node's name with a digest"),
    "a wish of no kind": (first_node(desired="removed"), "expected running or stopped, got removed"),
    "a number as a name": (first_node(node=5), "a node of another shape"),
    "an unknown field": (first_node(evil="x"), "not what noded writes"),
    "a node twice": (
        lambda files: with_manifest(files, lambda told: told["nodes"].append(told["nodes"][0])),
        "one of them twice",
    ),
    "a release too few": (first_node(digest="sha256:" + "0" * 64), "is not in it"),
}


@pytest.mark.parametrize(("damage", "told"), DAMAGE.values(), ids=DAMAGE)
@looped
async def test_one_that_is_not_whole_is_refused_before_anything_is_done(
    office: Office, other: Office, tmp_path: Path, damage: Callable[[dict[str, bytes]], bytes], told: str
) -> None:
    blob = damage(members_of(await whole(office, tmp_path)))
    async with opened(other) as stub:
        code, text = await code_of(stub.Restore(iter(request(blob)), timeout=20))
    assert code == "INVALID_ARGUMENT", text
    assert told in text
    assert other.inbox.facts == []
    assert os.listdir(other.folder / "releases") == []
    assert [p for p in os.listdir(other.folder) if p.startswith("restore-")] == []


@looped
async def test_uploads_that_are_none(office: Office) -> None:
    async with opened(office) as stub:
        for parts, told in (
            ([], "the first message must be the header"),
            ([pb.RestoreRequest(chunk=b"x")], "the first message must be the header"),
            (request(b"", size=0), "a backup of 0 bytes: expected 1 to 4294967296"),
            (request(b"abc", size=2**40), f"a backup of {2**40} bytes"),
            (request(b"abc", size=9), "a backup came as 3 bytes and 9 were announced"),
            (request(b"abc", size=2), "a backup came as 3 bytes and 2 were announced"),
        ):
            code, text = await code_of(stub.Restore(iter(parts), timeout=10))
            assert (code, told in text) == ("INVALID_ARGUMENT", True), text


@looped
async def test_a_client_that_leaves_in_the_middle_leaves_nothing(office: Office, tmp_path: Path) -> None:
    blob = await whole(office, tmp_path)

    async def half() -> AsyncIterator[pb.RestoreRequest]:
        for one in request(blob)[:3]:
            yield one
        call.cancel()

    async with opened(office) as stub:
        call: Any = stub.Restore(half(), timeout=20)
        with pytest.raises(BaseException):  # noqa: B017 - cancelled, in whichever words
            await call
        assert (await code_of(stub.Backup(pb.BackupRequest(), timeout=10)))[0] == "OK"
    assert [p for p in os.listdir(office.folder) if p.startswith("restore-")] == []


@looped
async def test_no_disk_for_it_is_told(office: Office) -> None:
    paths = replace(office.settings.paths, state=str(office.folder / "gone"))
    office.settings = replace(office.settings, paths=paths)
    async with opened(office) as stub:
        code, text = await code_of(stub.Backup(pb.BackupRequest(), timeout=10))
        again, _ = await code_of(stub.Restore(iter(request(b"abc")), timeout=10))
    assert code == again == "RESOURCE_EXHAUSTED"
    assert text.startswith(f"cannot keep the archive in {office.folder}/gone while it is made: No such file")


@looped
async def test_only_for_administrators(office: Office) -> None:
    office.roles.given = Role.OPERATOR
    async with opened(office) as stub:
        for call in (
            stub.Backup(pb.BackupRequest(), timeout=5),
            stub.Restore(iter(request(b"x", plan=True)), timeout=5),
        ):
            assert (await code_of(call))[0] == "PERMISSION_DENIED"
