"""Does `diff` tell what differs, keys first, and end as diff(1) does?"""

import json
import shutil
from pathlib import Path
from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb
from nodespec.release import pack
from tests.fakes.control import a_node, a_rollout


@pytest.fixture
def versions(desk: Any, node_folder: Path, tmp_path: Path) -> Path:
    """1.4.0 runs, 1.5.0 is kept; the folder of 1.5.0."""
    old = tmp_path / "old"
    shutil.copytree(node_folder, old)
    (old / "node.toml").write_text(
        '[node]\nname = "catalog"\nversion = "1.4.0"\nrun = ["python3", "x.py"]\ninstances = 2\n'
    )
    (old / "x.py").write_text("print('hi')\n")
    (old / "gone.txt").write_text("one\n")
    desk.control.archives = {"1.4.0": pack(old).blob, "1.5.0": pack(node_folder).blob}
    desk.control.status.nodes.append(a_node())
    return node_folder


def test_a_folder_against_what_runs(desk: Any, versions: Path) -> None:
    assert desk("diff", "catalog", str(versions), expect=1).stdout.splitlines() == [
        f"catalog: 1.4.0 -> {versions}",
        "  KEY             BEFORE  AFTER",
        "  node.version    1.4.0   1.5.0",
        "  node.instances  2       -",
        "--- 1.4.0/gone.txt",
        "+++ /dev/null",
        "@@ -1 +0,0 @@",
        "-one",
        "--- 1.4.0/x.py",
        f"+++ {versions}/x.py",
        "@@ -1 +1 @@",
        "-print('hi')",
        "+print('hello')",
    ]


def test_what_is_the_same(desk: Any, versions: Path) -> None:
    desk.control.status.nodes[0].version = "1.5.0"
    assert desk("diff", "catalog", str(versions)).stdout == f"catalog: 1.5.0 and {versions} are the same\n"
    assert desk("diff", "catalog", "1.4.0", "1.4.0").stdout == "catalog: 1.4.0 and 1.4.0 are the same\n"


def test_a_version_against_what_runs_and_two_versions(desk: Any, versions: Path) -> None:
    one = desk("diff", "catalog", "1.5.0", expect=1).stdout
    assert one.startswith("catalog: 1.4.0 -> 1.5.0\n")
    assert desk("diff", "catalog", "1.4.0", "1.5.0", expect=1).stdout == one
    back = desk("diff", "catalog", "1.5.0", "1.4.0", expect=1).stdout
    assert "+++ 1.4.0/gone.txt" in back and "--- /dev/null" in back


def test_alone_it_is_the_rollout_or_the_last_change(desk: Any, versions: Path) -> None:
    known = [
        pb.ReleaseStatus(node="catalog", version=version, state="kept") for version in ("1.5.0", "1.4.0")
    ]
    desk.control.answers["ListReleases"] = pb.ListReleasesResponse(releases=known)
    node = desk.control.status.nodes[0]
    node.version = "1.5.0"
    assert desk("diff", "catalog", expect=1).stdout.startswith("catalog: 1.4.0 -> 1.5.0\n")
    node.version = "1.4.0"
    assert "there is none older than 1.4.0" in desk("diff", "catalog", expect=2).stderr
    node.rollout.CopyFrom(a_rollout())
    assert desk("diff", "catalog", expect=1).stdout.startswith("catalog: 1.4.0 -> 1.5.0\n")


def test_a_release_that_was_removed_is_not_compared(desk: Any, versions: Path) -> None:
    removed = pb.ReleaseStatus(node="catalog", version="1.3.0", state="removed")
    running = pb.ReleaseStatus(node="catalog", version="1.4.0", state="running")
    desk.control.answers["ListReleases"] = pb.ListReleasesResponse(releases=[running, removed])
    assert "there is none older" in desk("diff", "catalog", expect=2).stderr


def test_what_lines_cannot_tell_is_named(desk: Any, versions: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    (old / "data.bin").write_bytes(b"\0one")
    (old / "latin").write_bytes("grün\n".encode("latin-1"))
    (old / "long").write_text("x\n" * 30_000)
    (old / "run.sh").write_text("true\n")
    (old / "link").symlink_to("x.py")
    (old / "turns").write_text("a file\n")
    desk.control.archives["1.4.0"] = pack(old).blob
    (versions / "data.bin").write_bytes(b"\0other")
    (versions / "latin").write_bytes("grün!\n".encode("latin-1"))
    (versions / "long").write_text("y\n" * 30_000)
    (versions / "run.sh").write_text("true\n")
    (versions / "run.sh").chmod(0o755)
    (versions / "link").symlink_to("run.sh")
    (versions / "turns").symlink_to("x.py")
    (versions / "empty").write_text("")
    (versions / "bare").write_text("no end")
    lines = desk("diff", "catalog", str(versions), expect=1).stdout.splitlines()
    for said in (
        "data.bin: changed, binary or long, 4 B -> 6 B",
        "latin: changed, binary or long, 5 B -> 6 B",
        "long: changed, binary or long, 58.6 KiB -> 58.6 KiB",
        "run.sh: changed, may now be run",
        "link: changed, x.py -> run.sh",
        "empty: added, empty",
        "\\ No newline at end of file",
    ):
        assert said in lines, said
    assert any(line.startswith("turns: changed, a file becomes a link") for line in lines)


def test_a_comment_in_the_manifest_is_a_difference(desk: Any, versions: Path) -> None:
    desk.control.status.nodes[0].version = "1.5.0"
    with (versions / "node.toml").open("a") as manifest:
        manifest.write("# why\n")
    output = desk("diff", "catalog", str(versions), expect=1).stdout
    assert "+# why" in output and "KEY" not in output


def test_as_json(desk: Any, versions: Path) -> None:
    found = desk.json("diff", "catalog", "1.5.0", expect=1)
    assert (found["node"], found["from"], found["to"]) == ("catalog", "1.4.0", "1.5.0")
    assert found["manifest"][0] == {"key": "node.version", "before": "1.4.0", "after": "1.5.0"}
    assert [(file["path"], file["change"]) for file in found["files"]] == [
        ("gone.txt", "removed"),
        ("x.py", "changed"),
    ]
    assert json.dumps(found["files"][1]["diff"]).startswith('"--- 1.4.0/x.py')


def test_trouble_is_more_than_one(desk: Any, versions: Path, tmp_path: Path) -> None:
    assert "no such release: 9" in desk("diff", "catalog", "9", expect=2).stderr
    assert "No such file" in desk("diff", "catalog", str(tmp_path / "none"), expect=2).stderr
    assert "holds catalog, not shop" in desk("diff", "shop", str(versions), expect=2).stderr
    desk.control.archives["1.5.0"] = b"no tar" * 200
    assert "not a packed release" in desk("diff", "catalog", "1.5.0", expect=2).stderr
    desk.control.refusals["ReadRelease"] = (grpc.StatusCode.PERMISSION_DENIED, "needs admin")
    assert "needs admin" in desk("diff", "catalog", "1.5.0", expect=5).stderr


def test_what_was_made_for_a_release_is_one_line(desk: Any, versions: Path, tmp_path: Path) -> None:
    made = tmp_path / "old/.noded/site"
    made.mkdir(parents=True)
    (made / "one.py").write_text("1\n")
    (made / "two.py").write_text("2\n")
    try:
        desk.control.archives["1.4.0"] = pack(tmp_path / "old").blob
    except ValueError:
        pytest.skip("such a folder cannot be packed")
    output = desk("diff", "catalog", "1.5.0", expect=1).stdout
    assert ".noded/: changed, 2 files of its environment" in output and "one.py" not in output
    assert ".noded" not in desk("diff", "catalog", str(versions), expect=1).stdout
