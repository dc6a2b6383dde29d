"""Are the releases of this host told truly, and does one come back as it was taken?"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from nodespec.release import pack, unpack
from tests.adapters.looped import looped
from tests.adapters.office import Office, code_of, offices, opened
from tests.runtime.nouns import host, node, release, rollout

MANIFEST = '[node]\nname = "{name}"\nversion = "{version}"\nrun = ["python3", "app.py"]\n'


@pytest.fixture
def office() -> Iterator[Office]:
    yield from offices()


async def taken(office: Office, folder: Path, name: str, version: str, at: float) -> str:
    source = folder / f"{name}-{version}"
    source.mkdir()
    (source / "node.toml").write_text(MANIFEST.format(name=name, version=version))
    (source / "app.py").write_text("print('hello')\n" * 10_000)
    digest, _ = await office.releases.add(pack(source).blob)
    value = {"node": name, "version": version, "digest": digest, "origin": "uid 7", "signature": "", "at": at}
    await office.registry.put(f"releases/{name}/{version}", json.dumps(value).encode())
    return digest


def running(name: str, digest: str, version: str = "1.0", **fields: Any) -> Any:
    return replace(node(name, release=release(name, version, digest)), **fields)


@looped
async def test_releases_by_node_newest_first_with_what_became_of_them(office: Office, tmp_path: Path) -> None:
    one = await taken(office, tmp_path, "catalog", "1.0", 100.0)
    gone = await taken(office, tmp_path, "catalog", "0.9", 90.0)
    two = await taken(office, tmp_path, "catalog", "1.1", 110.0)
    await taken(office, tmp_path, "basket", "3.0", 120.0)
    await office.releases.remove(gone)
    candidate = rollout(release=release("catalog", "1.1", two))
    office.state = host(running("catalog", one, rollout=candidate))
    async with opened(office) as stub:
        every = (await stub.ListReleases(pb.ListReleasesRequest(), timeout=5)).releases
        mine = (await stub.ListReleases(pb.ListReleasesRequest(node="catalog"), timeout=5)).releases
    assert [(r.node, r.version, r.state) for r in every] == [
        ("basket", "3.0", "kept"),
        ("catalog", "1.1", "candidate"),
        ("catalog", "1.0", "running"),
        ("catalog", "0.9", "removed"),
    ]
    assert [r.version for r in mine] == ["1.1", "1.0", "0.9"]
    assert (mine[1].digest, mine[1].origin, mine[1].recorded_at, mine[1].signed) == (
        one,
        "uid 7",
        100.0,
        False,
    )
    assert mine[1].size == 150_000 + len(MANIFEST.format(name="catalog", version="1.0"))
    assert mine[2].size == 0


@looped
async def test_a_node_without_releases(office: Office) -> None:
    office.state = host(node("catalog"))
    async with opened(office) as stub:
        assert not (await stub.ListReleases(pb.ListReleasesRequest(node="catalog"), timeout=5)).releases
        missing = await code_of(stub.ListReleases(pb.ListReleasesRequest(node="nobody"), timeout=5))
        bad = await code_of(stub.ListReleases(pb.ListReleasesRequest(node="No"), timeout=5))
    assert missing == ("NOT_FOUND", "no such node: nobody")
    assert bad == ("INVALID_ARGUMENT", "not a node's name: 'No'")


async def read(stub: Any, **fields: Any) -> bytes:
    parts = [one.chunk async for one in stub.ReadRelease(pb.ReadReleaseRequest(**fields), timeout=10)]
    assert all(len(part) <= 64 * 1024 for part in parts)
    return b"".join(parts)


@looped
async def test_a_release_comes_back_as_it_was_taken(office: Office, tmp_path: Path) -> None:
    one = await taken(office, tmp_path, "catalog", "1.0", 100.0)
    await taken(office, tmp_path, "catalog", "1.1", 110.0)
    office.state = host(running("catalog", one))
    async with opened(office) as stub:
        present, newer = await read(stub, node="catalog"), await read(stub, node="catalog", version="1.1")
    assert unpack(present, tmp_path / "again") == one
    assert present == pack(tmp_path / "catalog-1.0").blob
    assert newer == pack(tmp_path / "catalog-1.1").blob


BAD = [
    ({"node": "nobody"}, "NOT_FOUND", "no such node: nobody"),
    ({"node": "No"}, "INVALID_ARGUMENT", "not a node's name: 'No'"),
    ({"node": "catalog", "version": "../x"}, "INVALID_ARGUMENT", "not a version: '../x'"),
    (
        {"node": "catalog", "version": "9.9"},
        "NOT_FOUND",
        "no such release 9.9 of catalog: nodectl releases catalog",
    ),
    (
        {"node": "catalog", "version": "1.0"},
        "NOT_FOUND",
        "the files of catalog 1.0 are not on this host any more",
    ),
]


@pytest.mark.parametrize(("fields", "code", "text"), BAD, ids=[text for *_, text in BAD])
@looped
async def test_a_release_that_is_not_here(
    office: Office, tmp_path: Path, fields: dict[str, str], code: str, text: str
) -> None:
    gone = await taken(office, tmp_path, "catalog", "1.0", 100.0)
    office.state = host(running("catalog", gone))
    await office.releases.remove(gone)
    async with opened(office) as stub:
        assert await code_of(stub.ReadRelease(pb.ReadReleaseRequest(**fields), timeout=5)) == (code, text)


@looped
async def test_a_release_that_was_changed_on_disk_is_not_given_out(office: Office, tmp_path: Path) -> None:
    one = await taken(office, tmp_path, "catalog", "1.0", 100.0)
    office.state = host(running("catalog", one))
    folder = office.releases.path(one)
    folder.chmod(0o755)
    (folder / "app.py").chmod(0o644)
    (folder / "app.py").write_text("import evil\n")
    async with opened(office) as stub:
        code, text = await code_of(stub.ReadRelease(pb.ReadReleaseRequest(node="catalog"), timeout=5))
        shutil.rmtree(folder)
    assert code == "DATA_LOSS"
    assert text.startswith("cannot read the release: its files changed: they are sha256:")
