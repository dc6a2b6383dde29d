"""Does a release carry exactly the environment its requirements name, and is it found?"""

from pathlib import Path

import pytest

from nodespec.environment import (
    RECORD,
    SITE,
    Environment,
    digest_of_requirements,
    with_site,
)
from nodespec.manifest import NodeSpec
from nodespec.release import pack, unpack
from nodespec.tree import MOST_BYTES, MOST_FILES
from tests.nodespec.archives import MANIFEST, refused

LOCKED = b"flask==3 --hash=sha256:0\n"
RECORDED = Environment(digest_of_requirements(LOCKED), "3.11", "linux-x86_64", "pip 23.0.1").text()
MADE = {
    RECORD: (RECORDED, False),
    f"{SITE}/flask/__init__.py": (b"x", False),
    f"{SITE}/bin/flask": (b"#!/usr/bin/env python3\n", True),
}


@pytest.fixture
def needing(source: Path) -> Path:
    (source / "node.toml").write_bytes(MANIFEST + b'requirements = "locked.txt"\n')
    (source / "locked.txt").write_bytes(LOCKED)
    return source


def test_it_travels_with_the_release(needing: Path, tmp_path: Path) -> None:
    packed = pack(needing, MADE)
    assert pack(needing, dict(reversed(MADE.items()))) == packed, "whatever the order"
    target = tmp_path / "target"
    assert unpack(packed.blob, target) == packed.digest
    assert (target / SITE / "flask/__init__.py").read_bytes() == b"x"
    assert (target / SITE / "bin/flask").stat().st_mode & 0o777 == 0o755
    assert not (needing / ".noded").exists()
    assert pack(target) == packed, "an unpacked release is packed with what it carries"


def test_what_lies_in_its_place_is_left_behind(needing: Path, source: Path, tmp_path: Path) -> None:
    packed = pack(needing, MADE)
    (needing / ".noded").mkdir()
    (needing / ".noded/old").write_text("x")
    assert pack(needing, MADE) == packed
    assert pack(needing, {}).files == packed.files - len(MADE)


def test_a_release_without_it_is_refused(needing: Path, tmp_path: Path) -> None:
    (got,) = refused(lambda: unpack(pack(needing, {}).blob, tmp_path / "target"))
    wanted = digest_of_requirements(LOCKED)[:19]
    assert got == (
        f".noded: expected the environment of locked.txt ({wanted}), got none; "
        "nodectl apply builds it from the node's folder"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize(
    "record",
    [b"", b"{", b"[]", b"{}", b'{"requirements": 1}', b"\xff", b"[" * 100_000, b'{"requirements": "a\\nb"}'],
)
def test_a_record_that_says_nothing(needing: Path, tmp_path: Path, record: bytes) -> None:
    (got,) = refused(
        lambda: unpack(pack(needing, {**MADE, RECORD: (record, False)}).blob, tmp_path / "target")
    )
    assert "got none" in got


def test_an_environment_of_other_requirements(needing: Path, tmp_path: Path) -> None:
    (needing / "locked.txt").write_bytes(LOCKED + b"# changed\n")
    (got,) = refused(lambda: unpack(pack(needing, MADE).blob, tmp_path / "target"))
    assert f"got one of other requirements ({digest_of_requirements(LOCKED)[:19]})" in got


def test_a_link_is_no_record(needing: Path, tmp_path: Path) -> None:
    (needing / ".noded").mkdir()
    (needing / RECORD).symlink_to("../locked.txt")
    assert "got none" in refused(lambda: unpack(pack(needing).blob, tmp_path / "target"))[0]


def test_nothing_else_lies_there(needing: Path, source: Path, tmp_path: Path) -> None:
    more = {**MADE, ".noded/other": (b"x", False)}
    (got,) = refused(lambda: unpack(pack(needing, more).blob, tmp_path / "target"))
    assert (
        got
        == '.noded/other: expected only .noded/site and .noded/environment.json in .noded, got ".noded/other"'
    )
    (source / "node.toml").write_bytes(MANIFEST)
    (got,) = refused(lambda: unpack(pack(source, MADE).blob, tmp_path / "target"))
    assert got.startswith(".noded/environment.json: only nodectl writes there")


def test_it_counts_as_the_rest_does(needing: Path) -> None:
    large = {f"{SITE}/{number}": (bytes(MOST_BYTES // 4), False) for number in range(4)}
    assert refused(lambda: pack(needing, large)) == [
        "expected at most 64 MiB in all files together, got more"
    ]
    many = {f"{SITE}/{number}": (b"", False) for number in range(MOST_FILES)}
    assert "10,000 files" in refused(lambda: pack(needing, many))[0]
    assert "255 are allowed" in refused(lambda: pack(needing, {f"{SITE}/{'d' * 255}": (b"", False)}))[0]


def test_its_programs_find_it() -> None:
    plain = NodeSpec("shop", "1", ("x",))
    needs = NodeSpec("shop", "1", ("x",), requirements="locked.txt")
    assert with_site(plain, "/r", {"PATH": "/bin"}) == {"PATH": "/bin"}
    site = "/r/.noded/site"
    assert with_site(needs, "/r", {}) == {"PATH": f"{site}/bin", "PYTHONPATH": site}
    given = {"PATH": "/bin", "PYTHONPATH": "/sdk", "A": "1"}
    assert with_site(needs, "/r", given) == {
        "PATH": f"{site}/bin:/bin",
        "PYTHONPATH": f"{site}:/sdk",
        "A": "1",
    }
