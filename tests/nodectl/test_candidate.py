"""Does git itself take what `candidate export` writes, and nothing else of it?"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb
from nodectl.mailbox import Letter, mailed
from nodespec.release import pack
from tests.fakes.control import a_node, an_incident

MANIFEST = """[node]
name = "catalog"
version = "{version}"
run = ["python3", "x.py"]
[regeneration]
constraints = ["keep the answers"]
"""
OLD = "import os\n\ncache = {}\n\n\ndef price(sku):\n    return cache.get(sku)\n"
NEW = OLD.replace("cache = {}", "cache = bounded(100)  # \u00fc")
HEALED = "1.4.0+heal.1"
NO_GIT = pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")


def blob(folder: Path, version: str, **files: str | bytes) -> bytes:
    folder.mkdir()
    (folder / "node.toml").write_text(MANIFEST.format(version=version))
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return pack(folder).blob


@pytest.fixture
def host(desk: Any, tmp_path: Path) -> Any:
    """A host on which a machine has healed the catalog."""
    desk.control.archives = {
        "1.4.0": blob(tmp_path / "old", "1.4.0", x_py=OLD),
        HEALED: blob(tmp_path / "new", HEALED, x_py=NEW),
    }
    made = pb.RegenerationStatus(
        generator="boundcache", version=HEALED, gates=[pb.GateStatus(name="tests", passed=True)]
    )
    evil = "memory grows\nFrom: evil\n--- a/x\ndiff --git a/y b/y\n\x1b[2JIndex: z"
    incident = an_incident(id="catalog-1", finding=evil, regeneration=made)
    desk.control.status.nodes.append(a_node(version=HEALED, past_incidents=[incident]))
    desk.control.answers["ListReleases"] = pb.ListReleasesResponse(
        releases=[
            pb.ReleaseStatus(node="catalog", version=HEALED, state="running", recorded_at=1_763_859_600.0),
            pb.ReleaseStatus(node="catalog", version="1.4.0", state="kept"),
        ]
    )
    return desk


def git(folder: Path, *words: str, given: bytes = b"") -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=anna", "-c", "user.email=anna@example", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *who, *words],
        cwd=folder,
        input=given,
        capture_output=True,
        env=environment,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode()


def checkout(tmp_path: Path, place: str, **files: str | bytes) -> Path:
    """Of people who own the node, whose work has gone on since."""
    root = tmp_path / "checkout"
    node = root / place
    node.mkdir(parents=True)
    (node / "node.toml").write_text(MANIFEST.format(version="1.5.0"))
    for name, content in files.items():
        (node / name.replace("_", ".")).write_bytes(content.encode() if isinstance(content, str) else content)
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "work")
    return root


@NO_GIT
@pytest.mark.parametrize("place", ["", "nodes/our catalog"])
def test_git_takes_it_with_who_when_and_why(host: Any, tmp_path: Path, place: str) -> None:
    root = checkout(tmp_path, place, x_py=OLD)
    (root / place / "x.py").write_text("# ours\n" + OLD)
    git(root, "commit", "-q", "-a", "-m", "more work")
    told = host("candidate", "export", "--git-am", "--prefix", place, "catalog").stdout
    git(root, "am", "-3", given=told.encode())
    assert (root / place / "x.py").read_text() == "# ours\n" + NEW
    assert 'version = "1.5.0"' in (root / place / "node.toml").read_text()
    shown = git(root, "log", "-1", "--format=%an <%ae>%n%aI%n%s%n%b")
    who, when, subject, *body = shown.splitlines()
    assert who.startswith("noded <noded@") and when.startswith("2025-11-23T01:00:00")
    assert subject == "catalog: a cure for memory-growth (incident catalog-1)"
    text = "\n".join(body)
    for part in ("Incident: catalog-1", "Finding: memory grows", "boundcache", "Gates passed: tests"):
        assert part in text
    assert "Constraint: keep the answers" in text
    assert git(root, "status", "--porcelain") == ""


@NO_GIT
def test_git_takes_files_that_come_go_and_may_be_run(host: Any, tmp_path: Path) -> None:
    crlf = "one\r\ntwo\r\n"
    host.control.archives["1.4.0"] = blob(tmp_path / "a", "1.4.0", x_py=OLD, gone_txt="x", win_txt=crlf)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "b/run.sh").chmod(0o755)
    (tmp_path / "b/x.py").write_text(OLD)
    (tmp_path / "b/x.py").chmod(0o755)
    (tmp_path / "b/end.txt").write_text("no end")
    (tmp_path / "b/win.txt").write_bytes(crlf.replace("two", "three").encode())
    (tmp_path / "b/node.toml").write_text(MANIFEST.format(version=HEALED) + "# more\n")
    host.control.archives[HEALED] = pack(tmp_path / "b").blob
    root = checkout(tmp_path, "", x_py=OLD, gone_txt="x", win_txt=crlf)
    (root / "node.toml").write_text(MANIFEST.format(version="1.4.0"))
    git(root, "commit", "-q", "-a", "-m", "as it was")
    out = tmp_path / "change.patch"
    host("candidate", "export", "--git-am", "--out", str(out), "catalog", HEALED)
    git(root, "am", str(out))
    assert not (root / "gone.txt").exists()
    assert (root / "end.txt").read_text() == "no end"
    assert (root / "win.txt").read_bytes() == b"one\r\nthree\r\n"
    assert all((root / name).stat().st_mode & 0o100 for name in ("run.sh", "x.py"))
    assert (root / "node.toml").read_text() == MANIFEST.format(version="1.4.0") + "# more\n"


def test_without_git_am_it_is_the_diff_alone(host: Any) -> None:
    told = host("candidate", "export", "catalog").stdout
    assert told.splitlines()[:3] == ["diff --git a/x.py b/x.py", told.splitlines()[1], "--- a/x.py"]
    assert "version" not in told


def test_the_newest_that_a_machine_wrote_is_meant(host: Any) -> None:
    host.control.node("catalog").version = "1.4.0"
    assert host("candidate", "export", "catalog").stdout
    asked = [call.version for name, call in host.control.calls if name == "ReadRelease"]
    assert asked == ["1.4.0", HEALED]
    host.control.answers["ListReleases"].releases[0].state = "removed"
    told = host("candidate", "export", "catalog", expect=1).stderr
    assert told.startswith("nodectl: no release of catalog on this host was written by a machine\n")


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("catalog", "1.4.0"), "catalog 1.4.0 was not written by a machine", 2),
        (("--prefix", "../x", "catalog"), "expected a folder inside the checkout", 2),
        (("Catalog",), "is no node name", 2),
    ],
)
def test_what_cannot_be_meant(host: Any, words: tuple[str, ...], said: str, code: int) -> None:
    assert said in host("candidate", "export", *words, expect=code).stderr


def test_what_no_patch_can_hold_is_told(host: Any, tmp_path: Path) -> None:
    host.control.archives[HEALED] = blob(tmp_path / "bin", HEALED, x_py=OLD, data_bin=b"\0")
    told = host("candidate", "export", "catalog", expect=1).stderr
    assert "no patch can hold data.bin: it is binary" in told
    assert "try: nodectl diff catalog 1.4.0 1.4.0+heal.1" in told
    host.control.archives[HEALED] = host.control.archives["1.4.0"]
    assert (
        "differs from 1.4.0 in nothing but its version"
        in host("candidate", "export", "catalog", expect=1).stderr
    )


def test_files_that_are_gone_are_told(host: Any) -> None:
    host.control.refusals["ReadRelease"] = (
        grpc.StatusCode.NOT_FOUND,
        "the files are not on this host any more",
    )
    assert "not on this host any more" in host("candidate", "export", "catalog", expect=1).stderr


def test_words_of_others_stand_at_no_left_edge() -> None:
    letter = Letter(
        "noded", 1.0, "a\nSubject: b\u00fc", ("Finding: x\n--- a/b\nFrom: c", "Incident: " + "y " * 200)
    )
    head, _, rest = mailed(letter, "").partition("\n\n")
    assert "Subject: [PATCH] a Subject: b?" in head.splitlines()
    lines = rest.partition("\n---\n")[0].splitlines()
    assert all(line.startswith(("  ", "Finding:", "Incident:")) for line in lines if line)
    assert max(map(len, lines)) <= 80
