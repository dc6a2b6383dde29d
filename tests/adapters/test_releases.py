"""Do releases lie on disk whole or not at all, and does nobody change them?"""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from noded.adapters.releases import FolderReleases
from noded.adapters.state_disk import free_bytes
from noded.ports import NotFound, PortError, Refused, Unavailable
from nodespec.release import pack
from tests.adapters.looped import looped
from tests.mounts import needs_mounts, on_a_small_disk

ROOT = Path(__file__).parents[2]
MANIFEST = '[node]\nname = "shop"\nversion = "{version}"\nrun = ["python3", "-m", "shop"]\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "shop").mkdir(parents=True)
    (folder / "node.toml").write_text(MANIFEST.format(version="1.0.0"))
    (folder / "shop/__main__.py").write_text("print('hello')\n")
    (folder / "start").write_text("#!/bin/sh\n")
    (folder / "start").chmod(0o700)
    (folder / "current").symlink_to("shop/__main__.py")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "releases"
    folder.mkdir(mode=0o755)
    yield folder
    for place, _, _ in os.walk(folder):
        os.chmod(place, 0o700)
    shutil.rmtree(folder)


@looped
async def test_a_release_is_added_and_found(source: Path, store: Path) -> None:
    releases = FolderReleases(store)
    digest, spec = await releases.add(pack(source).blob)
    assert (spec.name, spec.version) == ("shop", "1.0.0")
    assert releases.path(digest) == store / digest.removeprefix("sha256:")
    assert releases.spec(digest) == FolderReleases(store).spec(digest) == spec
    assert (releases.path(digest) / "current").read_text() == "print('hello')\n"
    await releases.verify(digest)
    assert os.listdir(store) == [digest.removeprefix("sha256:")]


@looped
async def test_an_examined_release_leaves_nothing(source: Path, store: Path) -> None:
    releases = FolderReleases(store)
    blob = pack(source).blob
    examined = await releases.examine(blob)
    assert os.listdir(store) == []
    assert examined == await releases.add(blob)


@looped
async def test_a_file_and_a_tree_make_the_same_release(source: Path, store: Path, tmp_path: Path) -> None:
    releases = FolderReleases(store)
    (tmp_path / "blob").write_bytes(pack(source).blob)
    assert await releases.add_tree(source) == await releases.add(tmp_path / "blob")
    assert len(os.listdir(store)) == 1


@looped
async def test_it_is_read_only_and_readable_by_everybody(source: Path, store: Path) -> None:
    releases = FolderReleases(store)
    before = os.umask(0o077)
    try:
        digest, _ = await releases.add_tree(source)
    finally:
        os.umask(before)
    name = digest.removeprefix("sha256:")
    assert modes_below(store) == {
        name: 0o555,
        f"{name}/node.toml": 0o444,
        f"{name}/shop": 0o555,
        f"{name}/shop/__main__.py": 0o444,
        f"{name}/start": 0o555,
    }


def modes_below(folder: Path) -> dict[str, int]:
    paths = (path for path in folder.rglob("*") if not path.is_symlink())
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in paths}


@looped
async def test_many_at_once_become_one(source: Path, store: Path) -> None:
    releases = FolderReleases(store)
    blob = pack(source).blob
    async with asyncio.TaskGroup() as group:
        adding = [group.create_task(releases.add(blob)) for _ in range(8)]
    assert len({task.result()[0] for task in adding}) == 1
    assert len(os.listdir(store)) == 1


@looped
async def test_a_changed_file_is_noticed(source: Path, store: Path) -> None:
    releases = FolderReleases(store)
    digest, _ = await releases.add_tree(source)
    target = releases.path(digest) / "shop/__main__.py"
    target.chmod(0o644)
    target.write_text("print('goodbye')\n")
    with pytest.raises(Refused, match="its files changed"):
        await releases.verify(digest)


@looped
async def test_a_file_that_came_later_is_noticed(source: Path, store: Path) -> None:
    releases = FolderReleases(store)
    digest, _ = await releases.add_tree(source)
    releases.path(digest).chmod(0o755)
    (releases.path(digest) / "extra").write_text("")
    with pytest.raises(Refused):
        await releases.verify(digest)


@looped
async def test_a_removed_release_is_gone_and_may_be_removed_again(source: Path, store: Path) -> None:
    releases = FolderReleases(store)
    digest, _ = await releases.add_tree(source)
    await releases.remove(digest)
    await releases.remove(digest)
    assert os.listdir(store) == []
    with pytest.raises(NotFound, match="not on this host"):
        releases.spec(digest)
    with pytest.raises(NotFound):
        await releases.verify(digest)
    await releases.add_tree(source)
    await releases.verify(digest)


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:../../etc", "md5:" + "0" * 64, "sha256:" + "G" * 64]
)
def test_a_wrong_digest_is_refused(store: Path, digest: str) -> None:
    with pytest.raises(Refused, match="64 hex digits"):
        FolderReleases(store).path(digest)


@pytest.mark.parametrize("blob", [b"", b"not an archive", b"\0" * 10_240])
@looped
async def test_what_is_no_release_is_refused_without_a_trace(store: Path, blob: bytes) -> None:
    with pytest.raises(Refused, match="cannot add the release"):
        await FolderReleases(store).add(blob)
    assert os.listdir(store) == []


@looped
async def test_a_cut_off_release_is_refused_without_a_trace(source: Path, store: Path) -> None:
    blob = pack(source).blob
    for length in range(0, len(blob), 700):
        with pytest.raises(Refused):
            await FolderReleases(store).add(blob[:length])
    assert os.listdir(store) == []


@looped
async def test_a_wrong_manifest_is_refused_with_its_mistakes(source: Path, store: Path) -> None:
    (source / "node.toml").write_text('[node]\nname = "Shop"\nverson = "1"\n')
    with pytest.raises(Refused, match=r"(?s)cannot pack .*node\.toml: node\.name.*version"):
        await FolderReleases(store).add_tree(source)
    assert os.listdir(store) == []


@looped
async def test_what_is_not_there_is_told(store: Path, tmp_path: Path) -> None:
    with pytest.raises(PortError, match="nothing"):
        await FolderReleases(store).add(tmp_path / "nothing")
    with pytest.raises(PortError, match="nothing"):
        await FolderReleases(store).add_tree(tmp_path / "nothing")


ADDER = """
import asyncio, sys
from pathlib import Path
from noded.adapters.releases import FolderReleases

async def main():
    releases = FolderReleases(Path(sys.argv[1]))
    print("begin", flush=True)
    while True:
        digest, _ = await releases.add_tree(Path(sys.argv[2]))
        await releases.remove(digest)

asyncio.run(main())
"""


def test_kill_9_leaves_nothing_half_done(source: Path, store: Path) -> None:
    for number in range(200):
        (source / f"shop/{number}.py").write_text(f"{number}\n" * 50)
    for wait in (0.01, 0.05, 0.11, 0.2):
        adder = subprocess.Popen(
            [sys.executable, "-c", ADDER, str(store), str(source)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(ROOT / "daemon")},
        )
        assert adder.stdout
        adder.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            adder.wait(wait)
        adder.kill()
        adder.wait()
        adder.stdout.close()
        asyncio.run(check_whole(store))


async def check_whole(store: Path) -> None:
    releases = FolderReleases(store)
    for name in os.listdir(store):
        if not name.startswith("."):
            await releases.verify(f"sha256:{name}")
    await releases.sweep()
    for name in os.listdir(store):
        await releases.verify(f"sha256:{name}")
        await releases.remove(f"sha256:{name}")
    assert os.listdir(store) == []


@looped
async def test_a_release_that_does_not_fit_is_refused_before_anything_is_written(
    store: Path, tmp_path: Path
) -> None:
    blob = tmp_path / "blob"
    blob.touch()
    os.truncate(blob, free_bytes(store) + 2**20)
    for take in (FolderReleases(store).add, FolderReleases(store).examine):
        with pytest.raises(
            Unavailable, match=r"it needs [0-9.]+ MiB in .*/releases, and [0-9.]+ MiB are free"
        ):
            await take(blob)
    assert os.listdir(store) == []


HALF = """
import asyncio, sys
from pathlib import Path
from noded.adapters.releases import FolderReleases
from noded.ports import Unavailable
from nodespec.release import pack
folder = Path(sys.argv[1]) / "releases"
folder.mkdir()
blob = pack(Path(sys.argv[2])).blob
releases = FolderReleases(folder)
releases._room_for = lambda blob: None  # somebody else writes meanwhile
try:
    asyncio.run(releases.add(blob))
except Unavailable as error:
    print(list(folder.iterdir()), "No space left" in str(error))
"""


@needs_mounts
def test_a_disk_that_fills_half_way_leaves_nothing(source: Path, tmp_path: Path) -> None:
    (source / "large").write_bytes(bytes(3 * 2**20))
    (tmp_path / "disk").mkdir()
    command = [sys.executable, "-c", HALF, str(tmp_path / "disk"), str(source)]
    assert on_a_small_disk(tmp_path / "disk", "2m", command) == "[] True\n"
