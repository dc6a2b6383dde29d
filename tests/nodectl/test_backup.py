"""Are archives written whole or not at all, for one reader, and read back with care?"""

import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = [b"\x1f\x8b" + b"a" * 5000, b"b" * 1024]
COMMANDS = {"Bundle": ["bundle", "catalog"], "Backup": ["backup"]}


@pytest.mark.parametrize("method", COMMANDS)
def test_a_file_is_written_whole_for_its_owner(desk: Any, tmp_path: Path, method: str) -> None:
    desk.control.pieces[method] = ARCHIVE
    target = tmp_path / "x.tar.gz"
    target.write_text("before")
    target.chmod(0o644)
    assert desk(*COMMANDS[method], "-o", str(target)).stdout == f"{target}: 5.9 KiB\n"
    assert target.read_bytes() == b"".join(ARCHIVE)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]
    assert getattr(desk.control.calls[0][1], "node", "") == ("catalog" if method == "Bundle" else "")


@pytest.mark.parametrize("method", COMMANDS)
def test_a_noded_that_goes_down_leaves_the_file_as_it_was(desk: Any, tmp_path: Path, method: str) -> None:
    desk.control.pieces[method] = ARCHIVE
    desk.control.meanwhile[method] = lambda: None
    target = tmp_path / "x.tar.gz"
    target.write_text("before")
    assert "cannot reach noded" in desk(*COMMANDS[method], "-o", str(target), expect=4).stderr
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]


def test_nothing_sent_is_no_backup(desk: Any, tmp_path: Path) -> None:
    assert (
        "cannot back up this host: noded sent nothing"
        in desk("backup", "-o", str(tmp_path / "x"), expect=1).stderr
    )
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cannot_be_written(desk: Any, tmp_path: Path) -> None:
    desk.control.pieces["Backup"] = ARCHIVE
    assert "expected a file to write" in desk("backup", "-o", str(tmp_path), expect=2).stderr
    stderr = desk("backup", "-o", str(tmp_path / "none/x"), expect=1).stderr
    assert f"cannot write {tmp_path}/none/x: No such file or directory\ntry: another -o FILE" in stderr
    full = desk("backup", "-o", "/dev/full", expect=2).stderr
    assert "expected a file to write" in full


def test_to_a_pipe(desk: Any) -> None:
    desk.control.pieces["Bundle"] = ARCHIVE
    assert desk("bundle", "-o", "-").stdout_bytes == b"".join(ARCHIVE)
    assert desk.control.calls == [("Bundle", pb.BundleRequest())]


def test_the_result_as_json_is_asked_for_before_the_command(desk: Any, tmp_path: Path) -> None:
    desk.control.pieces["Backup"] = ARCHIVE
    output = desk("-o", "yaml", "backup", "-o", str(tmp_path / "x")).stdout
    assert output == f"file: {tmp_path}/x\nsize: 6026\n"


def restored(*results: str) -> pb.RestoreResponse:
    nodes = [
        pb.RestoredNode(node=f"n{n}", version="1", result=one, text="why") for n, one in enumerate(results)
    ]
    return pb.RestoreResponse(nodes=nodes)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "host.tar.gz"
    path.write_bytes(b"".join(ARCHIVE) + bytes(100_000))
    return path


def test_restore_sends_the_file_and_tells_of_every_node(desk: Any, archive: Path) -> None:
    desk.control.answers["Restore"] = restored("restored", "left alone")
    assert [line.split(maxsplit=2) for line in desk("restore", str(archive)).stdout.splitlines()] == [
        ["NODE", "VERSION", "RESULT"],
        ["n0", "1", "restored    why"],
        ["n1", "1", "left alone  why"],
    ]
    header, *chunks = desk.control.restored
    assert header.header == pb.RestoreHeader(plan_only=False, size=archive.stat().st_size)
    assert b"".join(one.chunk for one in chunks) == archive.read_bytes()
    assert max(len(one.chunk) for one in chunks) == 64 * 1024


@pytest.mark.parametrize(
    ("results", "code"),
    [
        (["would be restored", "left alone"], 3),
        (["left alone"], 0),
        ([], 0),
        (["would be restored", "failed"], 1),
    ],
)
def test_a_plan_ends_with_3_when_something_would_be_done(
    desk: Any, archive: Path, results: list[str], code: int
) -> None:
    desk.control.answers["Restore"] = restored(*results)
    desk("restore", str(archive), "--plan", expect=code)
    assert desk.control.restored[0].header.plan_only
    assert [one["result"] for one in desk.json("restore", str(archive), "--plan", expect=code)] == results


def test_what_is_no_backup_is_not_sent(desk: Any, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_text("")
    for name in ("text", "empty"):
        assert "what nodectl backup wrote" in desk("restore", str(tmp_path / name), expect=2).stderr
    assert "got no file" in desk("restore", str(tmp_path), expect=2).stderr
    assert "got no file" in desk("restore", str(tmp_path / "none"), expect=2).stderr
    assert desk.control.calls == []


def test_a_backup_that_noded_refuses(desk: Any, archive: Path) -> None:
    text = "nodes/catalog.json: its sha256 is not the one in the list: the file is damaged"
    desk.control.refusals["Restore"] = (grpc.StatusCode.INVALID_ARGUMENT, text)
    assert text in desk("restore", str(archive), expect=2).stderr


def test_an_interrupted_backup_leaves_nothing(desk: Any, tmp_path: Path) -> None:
    desk.control.silent.add("Backup")
    child = subprocess.Popen(
        [sys.executable, "-m", "nodectl", "--socket", str(desk.socket), "backup", "-o", str(tmp_path / "x")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PYTHONPATH": f"{ROOT}/daemon:{ROOT}/proto"},
    )
    desk.fake.wait_for("Backup")
    assert [path.name.startswith(".x.") for path in tmp_path.iterdir()] == [True]
    child.send_signal(signal.SIGINT)
    output, _ = child.communicate(timeout=15)
    assert (child.returncode, output) == (130, b"")
    assert list(tmp_path.iterdir()) == []
