"""Does a folder survive packing and unpacking unchanged, and is everything else refused without a trace?"""

import gzip
import io
import os
import socket
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodespec.archive import Member, ending, header, padding
from nodespec.release import ReleaseError, ReleaseRecord, digest_of_tree, pack, sweep, unpack
from nodespec.tree import MOST_BYTES, MOST_FILES, MOST_FOLDERS, Kind

MANIFEST = b'[node]\nname = "shop"\nversion = "1.0"\nrun = ["./start"]\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "shop").mkdir(parents=True)
    (folder / "node.toml").write_bytes(MANIFEST)
    (folder / "start").write_bytes(b"#!/bin/sh\n")
    (folder / "start").chmod(0o755)
    (folder / "shop/main.py").write_bytes(b"print(1)\n")
    (folder / "latest").symlink_to("shop/main.py")
    return folder


def refused(call: Callable[[], object]) -> list[str]:
    with pytest.raises(ReleaseError) as refusal:
        call()
    return [str(mistake) for mistake in refusal.value.mistakes]


def listing(folder: Path) -> list[tuple[str, int, bytes | str]]:
    found = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        mode = 0 if path.is_symlink() else stat.S_IMODE(status.st_mode)
        found.append((str(path.relative_to(folder)), mode, content))
    return found


# --- there and back


def test_there_and_back(source: Path, tmp_path: Path) -> None:
    packed = pack(source)
    assert (packed.files, packed.size) == (4, len(MANIFEST) + 10 + 9)
    assert packed.spec.name == "shop"
    assert packed.digest.startswith("sha256:")
    target = tmp_path / "target"
    assert unpack(packed.blob, target) == packed.digest == digest_of_tree(target)
    assert listing(target) == listing(source)
    assert pack(target) == packed
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


def test_a_packed_file_is_read_from_disk_too(source: Path, tmp_path: Path) -> None:
    packed = pack(source)
    (tmp_path / "release.tar").write_bytes(packed.blob)
    assert unpack(tmp_path / "release.tar", tmp_path / "target") == packed.digest


def test_times_owners_links_and_other_bits_do_not_count(source: Path) -> None:
    before = pack(source)
    os.utime(source / "start", (1, 1))
    (source / "start").chmod(0o6775)
    (source / "node.toml").chmod(0o600)
    (source / "empty/below").mkdir(parents=True)
    assert pack(source) == before


def test_a_hard_link_is_a_file(source: Path, tmp_path: Path) -> None:
    (source / "again").hardlink_to(source / "start")
    unpack(pack(source).blob, tmp_path / "target")
    assert (tmp_path / "target/again").read_bytes() == (tmp_path / "target/start").read_bytes()
    assert (tmp_path / "target/again").stat().st_nlink == 1


def test_leftovers_of_tools_stay_behind(source: Path) -> None:
    before = pack(source)
    for name in (".git", "__pycache__", "shop/__pycache__", ".venv", ".pytest_cache", "shop/.mypy_cache"):
        (source / name).mkdir()
        (source / name / "x").write_text("x")
    (source / "shop/main.pyc").write_text("x")
    os.mkfifo(source / ".git/fifo")
    assert pack(source) == before


def test_an_unpacked_release_is_looked_at_without_mercy(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    digest = unpack(pack(source).blob, target)
    (target / "shop/extra.py").write_text("x")
    assert digest_of_tree(target) != digest
    (target / "shop/extra.py").unlink()
    assert digest_of_tree(target) == digest
    (target / "shop/main.cpython-311.pyc").write_text("x")
    assert refused(lambda: digest_of_tree(target)) == [
        "shop/main.cpython-311.pyc: never part of a release; pack the release again"
    ]


def test_the_umask_does_not_decide_who_may_read(source: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        unpack(pack(source).blob, tmp_path / "target")
    finally:
        os.umask(before)
    modes = {name: mode for name, mode, _ in listing(tmp_path / "target")}
    assert modes == {"node.toml": 0o644, "start": 0o755, "shop": 0o755, "shop/main.py": 0o644, "latest": 0}
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o755


names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/"), min_size=1, max_size=20
)
paths = st.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4).map("/".join)
files = st.tuples(st.binary(max_size=1500), st.booleans())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(paths, files, max_size=12))
def test_any_tree_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory,
                                       content: dict[str, tuple[bytes, bool]]) -> None:  # fmt: skip
    scratch = tmp_path_factory.mktemp("tree")
    folder = scratch / "source"
    folder.mkdir()
    (folder / "node.toml").write_bytes(MANIFEST)
    for path, (data, executable) in content.items():
        place = folder / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        except OSError:
            # a file and a folder of one name, or a name too long for this disk
            continue
        place.chmod(0o755 if executable else 0o644)
    packed = pack(folder)
    assert unpack(packed.blob, scratch / "target") == packed.digest == digest_of_tree(scratch / "target")
    assert pack(scratch / "target").blob == packed.blob
    with tarfile.open(fileobj=io.BytesIO(packed.blob)) as archive:
        assert len(archive.getnames()) == packed.files


def test_a_thousand_files_take_well_under_a_second(source: Path, tmp_path: Path) -> None:
    for number in range(1000):
        place = source / f"d{number % 30}" / f"f{number}.py"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"x" * 2000)
    started = time.process_time()
    unpack(pack(source).blob, tmp_path / "target")
    # processor time: what the disk takes to sync depends on who else writes to it
    assert time.process_time() - started < 1.0


# --- what pack refuses


def test_everything_wrong_is_told_at_once(source: Path) -> None:
    (source / "node.toml").write_text('[node]\nname = "Shop"\nversion = "1"\nbefore = []\nrun = ["x"]\n')
    (source / "absolute").symlink_to("/etc/passwd")
    (source / "shop/out").symlink_to("../../other")
    (source / "circle").symlink_to("circle")
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.open(source, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{place}/sock")
        finally:
            os.close(place)
    (source / "a\nb").write_text("x")
    with open(os.fsencode(source) + b"/\xff", "wb"):
        pass
    deep = source / ("d" * 200)
    deep.mkdir()
    (deep / ("f" * 200)).write_text("x")
    kind = "expected a file, a folder or a symbolic link"
    inside = "expected a link to a place inside the release, got link to"
    assert sorted(refused(lambda: pack(source))) == sorted([
        'node.toml: node.name: expected a name of a-z, 0-9 and "-" that begins with a letter, '
        'at most 32 characters, got "Shop"',
        "node.toml: node.before: not yet supported",
        f"absolute: {inside} /etc/passwd; it leads out",
        f"shop/out: {inside} ../../other; it leads out",
        f"circle: {inside} circle; it leads in a circle, or through more than 255 steps",
        f"fifo: {kind}, got a fifo",
        f"sock: {kind}, got a socket",
        '"a\\nb": the path is one with control characters; rename it',
        '"\\udcff": the path is not UTF-8; rename it',
        f"{'d' * 200}/{'f' * 200}: the path is 401 bytes long; at most 255 are allowed",
    ])  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_devices(source: Path) -> None:
    try:
        os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("not allowed to make devices here")
    assert refused(lambda: pack(source)) == [
        "null: expected a file, a folder or a symbolic link, got a device"
    ]


def test_no_manifest(source: Path) -> None:
    (source / "node.toml").unlink()
    assert refused(lambda: pack(source)) == ["node.toml: expected the node's manifest, got no such file"]
    (source / "node.toml").symlink_to("start")
    assert refused(lambda: pack(source)) == ["node.toml: expected the node's manifest, got a link"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "node.toml: node: expected a table, got nothing"),
        (b"[node", "node.toml: line 1: not valid TOML: Expected ']' at the end of a table declaration"),
        (b"\xff", "node.toml: line 1: not UTF-8 text"),
        (b"#" * 70000, "node.toml: longer than 64 KiB"),
    ],
)
def test_a_bad_manifest(source: Path, tmp_path: Path, content: bytes, reason: str) -> None:
    (source / "node.toml").write_bytes(content)
    assert refused(lambda: pack(source)) == [reason]
    assert refused(lambda: unpack(archive({"node.toml": content}), tmp_path / "target")) == [reason]
    assert os.listdir(tmp_path) == ["source"]


def test_no_folder(source: Path, tmp_path: Path) -> None:
    assert "a folder that can be read, got No such file" in refused(lambda: pack(tmp_path / "none"))[0]
    assert "a folder that can be read, got Not a directory" in refused(lambda: pack(source / "start"))[0]
    (tmp_path / "loop").symlink_to("loop")
    assert "a folder that can be read" in refused(lambda: pack(tmp_path / "loop"))[0]


def test_too_many_files(source: Path) -> None:
    (source / "many").mkdir()
    for number in range(MOST_FILES):
        os.close(os.open(source / "many" / str(number), os.O_CREAT | os.O_WRONLY))
    assert refused(lambda: pack(source)) == ["expected at most 10,000 files and 10,000 folders, got more"]


def test_too_many_bytes(source: Path) -> None:
    with (source / "a").open("wb") as hole:
        hole.truncate(MOST_BYTES)
    assert "expected at most 64 MiB in all files together, got more" in refused(lambda: pack(source))


def test_a_folder_that_may_not_be_read(source: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (source / "shop").chmod(0)
    assert refused(lambda: pack(source))[0] == "shop: cannot be read: Permission denied"
    (source / "shop").chmod(0o755)


# --- what unpack refuses


def archive(content: dict[str, bytes]) -> bytes:
    """As noded writes it, whatever the names are."""
    parts = [(Member(path, Kind.FILE, 0o644, len(data)), data) for path, data in content.items()]
    return joined(parts)


def joined(parts: list[tuple[Member, bytes]]) -> bytes:
    body = b"".join(header(member) + data + padding(len(data)) for member, data in parts)
    return body + ending(len(body))


def made_by_tar(*members: tarfile.TarInfo, data: bytes = b"", form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar with the manifest and these members, sizes as they claim."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        manifest = tarfile.TarInfo("node.toml")
        manifest.size = len(MANIFEST)
        tar.addfile(manifest, io.BytesIO(MANIFEST))
        for member in members:
            tar.addfile(member, io.BytesIO(data) if data else None)
    return out.getvalue()


def info(name: str, **what: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for key, value in what.items():
        setattr(member, key, value)
    return member


HOSTILE: dict[str, tuple[bytes, str]] = {
    "absolute path": (archive({"/noded-t-x": b"x"}), "an absolute path"),
    "up": (archive({"../noded-t-x": b"x"}), '".."'),
    "up inside": (archive({"a/../../noded-t-x": b"x"}), '".."'),
    "long path up": (archive({"a/" * 40 + "../" * 41 + "noded-t-x": b"x"}), '".."'),
    "twice": (archive({"node.toml": MANIFEST})[:1024] * 2 + ending(2048), "node.toml: is there twice"),
    "order": (archive({"node.toml": MANIFEST, "a": b""}), "a: is not in the order of paths"),
    "below a file": (archive({"a": b"", "a/b": b"x"}), "a/b: stands below a, which is no folder"),
    "through a link": (
        joined([(Member("a", Kind.LINK, 0o777, 0, "."), b""), (Member("a/b", Kind.FILE, 0o644, 1), b"x")]),
        "a/b: stands below a, which is no folder",
    ),
    "deep below a link": (
        joined([(Member("a", Kind.LINK, 0o777, 0, "."), b""), (Member("a/b/c", Kind.FILE, 0o644, 1), b"x")]),
        "a/b/c: stands below a, which is no folder",
    ),
    "link out": (joined([(Member("a", Kind.LINK, 0o777, 0, "../x"), b"")]), "a: .* it leads out"),
    "absolute link": (joined([(Member("a", Kind.LINK, 0o777, 0, "/etc"), b"")]), "a: .* it leads out"),
    "long link out": (joined([(Member("a", Kind.LINK, 0o777, 0, "b/" * 40 + "../" * 41), b"")]), "leads out"),
    "link out through a link": (
        joined([
            (Member("a/l", Kind.LINK, 0o777, 0, ".."), b""),
            (Member("b", Kind.LINK, 0o777, 0, "a/l/../x"), b""),
        ]),
        "b: .* it leads out",
    ),
    "cache": (archive({"__pycache__/a.pyc": b"x"}), "never part of a release"),
    "control letters": (archive({"a\x1b[0m": b"x"}), "control characters"),
    "setuid": (made_by_tar(info("x", mode=0o4755)), "x: expected mode 0644 or 0755, got 4755"),
    "world writable": (made_by_tar(info("x", mode=0o666)), "x: expected mode 0644 or 0755, got 0666"),
    "owner": (made_by_tar(info("x", uid=1000)), "x: its header is not as noded writes it"),
    "time": (made_by_tar(info("x", mtime=1)), "x: its header is not as noded writes it"),
    "hard link": (made_by_tar(info("x", type=tarfile.LNKTYPE, linkname="/etc/shadow")), "got a hard link"),
    "character device": (made_by_tar(info("x", type=tarfile.CHRTYPE, devmajor=1)), "got a device"),
    "block device": (made_by_tar(info("x", type=tarfile.BLKTYPE)), "got a device"),
    "fifo": (made_by_tar(info("x", type=tarfile.FIFOTYPE)), "got a fifo"),
    "folder": (made_by_tar(info("x", type=tarfile.DIRTYPE)), "got a folder"),
    "contiguous": (made_by_tar(info("x", type=tarfile.CONTTYPE)), "got something else"),
    "sparse": (made_by_tar(info("x", type=tarfile.GNUTYPE_SPARSE, size=2**40)), "got a sparse file"),
    "pax": (made_by_tar(form=tarfile.PAX_FORMAT), "node.toml: its header is not as noded writes it"),
    "pax path": (
        made_by_tar(info("x", type=tarfile.XHDTYPE, size=17), data=b"17 path=/etc/xyz\n"),
        "x: expected a file or a symbolic link, got a pax header",
    ),
    "pax for all": (made_by_tar(info("x", type=tarfile.XGLTYPE)), "got a pax header"),
    "huge size": (made_by_tar(info("x", size=2**33 - 1)), "at most 64 MiB"),
    "size beyond octal": (made_by_tar(info("x", size=2**50)), "x: its header is not as noded writes it"),
    "just too much": (made_by_tar(info("x", size=MOST_BYTES)), "at most 64 MiB"),
    "more than there is": (made_by_tar(info("x", size=60000)), "ends in the middle of it|cut off"),
    "link with bytes": (
        made_by_tar(info("x", type=tarfile.SYMTYPE, mode=0o777, linkname="a", size=5)),
        "x: its header is not as noded writes it",
    ),
    "long name": (made_by_tar(info("x" * 300)), "a path longer than 255 bytes"),
    "endless name": (made_by_tar(info("L", type=b"L", size=2**33 - 1)), "a path longer than 255 bytes"),
    "not UTF-8": (made_by_tar(info("a\udcff")), "the path is not UTF-8"),
    "nothing": (b"", "not a packed release, or cut off"),
    "noise": (bytes(range(256)) * 100, "not a packed release"),
    "zeros": (bytes(10240), "node.toml: expected the node's manifest, got no such file"),
    "endless zeros": (bytes(10240 * 100), "something follows it"),
    "gzip bomb": (gzip.compress(bytes(10**7)), "not a packed release"),
    "no manifest": (archive({"a": b"x"}), "node.toml: expected the node's manifest, got no such file"),
    "manifest is a link": (
        joined([(Member("node.toml", Kind.LINK, 0o777, 0, "a"), b"")]),
        "node.toml: expected the node's manifest, got a link",
    ),
}  # fmt: skip


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


def test_the_record_of_a_release_has_room_for_a_signature() -> None:
    record = ReleaseRecord("shop", "1.0", "sha256:1", "", "root")
    assert asdict(record) == {"node": "shop", "version": "1.0", "digest": "sha256:1", "parent": "",
                              "created_by": "root", "signature": ""}  # fmt: skip
