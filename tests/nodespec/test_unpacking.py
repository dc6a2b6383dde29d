"""Is every packed release that is not as it should be refused, and nothing of it left?"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nodespec.release import ReleaseError, digest_of_tree, pack, sweep, unpack
from nodespec.tree import MOST_FILES, MOST_FOLDERS
from tests.nodespec.archives import HOSTILE, archive, info, made_by_tar, refused


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_leave_nothing(name: str, tmp_path: Path) -> None:
    blob, reason = HOSTILE[name]
    home = tmp_path / "a/b"
    home.mkdir(parents=True)
    with pytest.raises(ReleaseError, match=reason) as refusal:
        unpack(blob, home / "target")
    assert all(line.isprintable() for line in str(refusal.value).splitlines())
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", home]
    assert not Path("/noded-t-x").exists()


def test_a_good_one_made_by_tar_is_taken(tmp_path: Path) -> None:
    """So that the hostile ones above are refused for what they are."""
    blob = made_by_tar(info("x", size=3), data=b"abc")
    unpack(blob, tmp_path / "target")
    assert (tmp_path / "target/x").read_bytes() == b"abc"


@pytest.mark.parametrize(
    "names",
    [
        [f"f{number:05}" for number in range(MOST_FILES + 1)],
        [f"{number:05}/" + "d/" * 100 + "f" for number in range(MOST_FOLDERS // 100 + 1)],
    ],
    ids=["files", "folders"],
)
def test_an_archive_of_too_many(names: list[str], tmp_path: Path) -> None:
    assert refused(lambda: unpack(archive(dict.fromkeys(names, b"")), tmp_path / "target")) == [
        "expected at most 10,000 files and 10,000 folders, got more"
    ]
    assert os.listdir(tmp_path) == []


def test_an_existing_target_is_left_alone(source: Path, tmp_path: Path) -> None:
    blob = pack(source).blob
    (tmp_path / "target").mkdir()
    (tmp_path / "target/mine").touch()
    assert refused(lambda: unpack(blob, tmp_path / "target")) == ["already exists"]
    (tmp_path / "dangling").symlink_to("nowhere")
    assert refused(lambda: unpack(blob, tmp_path / "dangling")) == ["already exists"]
    assert os.listdir(tmp_path / "target") == ["mine"]


def test_no_place_to_unpack_to(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unpack(pack(source).blob, tmp_path / "none/target")
    with pytest.raises(FileNotFoundError):
        unpack(tmp_path / "none.tar", tmp_path / "target")
    assert os.listdir(tmp_path) == ["source"]


def program(text: str, *words: Path) -> list[str]:
    first = (
        "import os, resource, signal, sys; from pathlib import Path; from nodespec.release import unpack\n"
    )
    return [sys.executable, "-B", "-c", first + text, *map(str, words)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
UNPACK = "unpack(Path(sys.argv[1]), Path(sys.argv[2]))"


def test_killed_in_the_middle_there_is_no_target(source: Path, tmp_path: Path) -> None:
    """The release comes through a fifo that is held back half way, so there is a middle to be killed in."""
    for number in range(60):
        (source / f"f{number}").write_bytes(b"x" * 500)
    packed = pack(source)
    store, fifo = tmp_path / "store", tmp_path / "fifo"
    store.mkdir()
    os.mkfifo(fifo)
    running = subprocess.Popen(program(UNPACK, fifo, store / "target"), env=ENVIRONMENT)
    try:
        with fifo.open("wb") as out:
            out.write(packed.blob[:40960])
            out.flush()
            until = time.monotonic() + 20
            while not any(len(os.listdir(part)) > 10 for part in store.iterdir()):
                assert time.monotonic() < until, "nothing was unpacked"
                time.sleep(0.01)
            running.kill()
            running.wait(20)
    finally:
        running.kill()
        running.wait(20)
    (left,) = os.listdir(store)
    assert left.endswith(".part")
    sweep(store)
    assert os.listdir(store) == []
    assert unpack(packed.blob, store / "target") == packed.digest
    sweep(store)
    assert os.listdir(store) == ["target"]


def test_a_full_disk_leaves_nothing(source: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the write fails in the middle."""
    (source / "big").write_bytes(b"x" * 100_000)
    (tmp_path / "release.tar").write_bytes(pack(source).blob)
    (tmp_path / "store").mkdir()
    limited = (
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
    )
    words = program(limited + UNPACK, tmp_path / "release.tar", tmp_path / "store/target")
    ended = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False)
    assert "File too large" in ended.stderr
    assert os.listdir(tmp_path / "store") == []


def test_one_target_for_two_at_once(source: Path, tmp_path: Path) -> None:
    """The later one gets its release through a fifo, when the target is already there."""
    packed = pack(source)
    store, fifo = tmp_path / "store", tmp_path / "fifo"
    store.mkdir()
    os.mkfifo(fifo)
    words = program(UNPACK, fifo, store / "target")
    late = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 20
        while not os.listdir(store):
            assert time.monotonic() < until, "the later one did not begin"
            time.sleep(0.01)
        unpack(packed.blob, store / "target")
        fifo.write_bytes(packed.blob)
        assert "Directory not empty" in late.communicate(timeout=20)[1]
    finally:
        late.kill()
        late.wait(20)
    assert os.listdir(store) == ["target"]
    assert digest_of_tree(store / "target") == packed.digest
