"""Does the launcher keep to the folder that a unit delegates, whatever hierarchies the host has?"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.cgroups import Cgroups
from launcher.hierarchies import detect
from launcher.orders import Limits, Refusal
from tests.launcher.lab import KIND, Lab, alive, until
from tests.launcher.test_cgroups import mount, v1_trees, v2_tree

UNIT = "noded.slice/noded-nodes.service"


def delegated_v2(path: Path, controllers: str = "cpu io memory pids") -> str:
    mountinfo = v2_tree(path, controllers)
    unit = path / UNIT
    unit.mkdir(parents=True)
    (unit / "cgroup.controllers").write_text(controllers + "\n")
    (unit / "cgroup.subtree_control").write_text("\n")
    (unit / "holder").mkdir()
    (unit / "holder/cgroup.procs").write_text("77\n")
    return mountinfo


def test_on_v2_nothing_above_and_nobody_else_is_touched(tmp_path: Path) -> None:
    mountinfo = delegated_v2(tmp_path / "cg")
    found = detect(mountinfo, "auto", str(tmp_path / "cg" / UNIT))
    assert (found.kind, found.degraded) == ("v2", ())
    assert set(found.roots.values()) == {str(tmp_path / "cg" / UNIT)}
    assert (tmp_path / "cg/cgroup.subtree_control").read_text() == "memory\n"
    assert not (tmp_path / "cg/noded.slice/cgroup.subtree_control").exists()
    assert (tmp_path / "cg" / UNIT / "holder/cgroup.procs").read_text() == "77\n"
    assert found.instances() == set()


def test_a_unit_that_does_not_run_is_told(tmp_path: Path) -> None:
    found = detect(v2_tree(tmp_path / "cg"), "auto", str(tmp_path / "cg" / UNIT))
    assert found.kind == "none"
    assert f"{tmp_path}/cg/{UNIT} does not exist: is the unit that delegates it running?" in found.degraded[0]
    assert not (tmp_path / "cg/noded.slice").exists()


def test_a_unit_that_was_stopped_since_is_told_with_the_start(tmp_path: Path) -> None:
    mountinfo = delegated_v2(tmp_path / "cg")
    unit = tmp_path / "cg" / UNIT
    found = detect(mountinfo, "auto", str(unit))
    unit.rename(tmp_path / "away")
    with pytest.raises(Refusal, match="is gone: is the unit that delegates it running") as caught:
        found.make("a.1", Limits())
    assert caught.value.kind == "unavailable"
    # Started again: the folder is new, and hands nothing down yet.
    unit.mkdir()
    (unit / "cgroup.controllers").write_text("cpu io memory pids\n")
    (unit / "cgroup.subtree_control").write_text("\n")
    assert found.make("a.1", Limits(memory=7)) == []
    assert (unit / "cgroup.subtree_control").read_text() == "+io"
    assert (unit / "a.1/memory.max").read_text() == "7"


def hybrid(tmp_path: Path, *names: str) -> str:
    mountinfo = v2_tree(tmp_path / "unified", "hugetlb") + v1_trees(tmp_path, *names)
    (tmp_path / "systemd" / UNIT).mkdir(parents=True)
    return mountinfo + mount(tmp_path / "systemd", "cgroup", "name=systemd")


@pytest.mark.parametrize("place", ["unified/", ""])
def test_the_same_settings_fit_a_hybrid_host(tmp_path: Path, place: str) -> None:
    """A package's settings name the folder as on a v2 host: there it is the mount that is named otherwise."""
    mountinfo = hybrid(tmp_path, "memory", "cpu", "pids", "freezer", "blkio")
    (tmp_path / "unified" / UNIT).mkdir(parents=True)
    found = detect(mountinfo, "auto", f"{tmp_path}/{place}{UNIT}")
    assert (found.kind, found.degraded) == ("hybrid", ())
    names = {"unified": "unified", "memory": "memory", "cpu": "cpu", "pids": "pids", "io": "blkio"}
    wanted = {name: f"{tmp_path}/{folder}/{UNIT}" for name, folder in names.items()}
    assert found.roots == wanted | {"systemd": f"{tmp_path}/systemd/{UNIT}"}
    assert len(found.joins("a.1")) == 6


def test_and_a_host_with_v1_alone(tmp_path: Path) -> None:
    mountinfo = v1_trees(tmp_path, "memory", "cpu", "pids", "freezer")
    found = detect(mountinfo, "auto", f"{tmp_path}/{UNIT}")
    assert (found.kind, found.degraded) == ("v1", ())
    assert found.roots["memory"] == f"{tmp_path}/memory/{UNIT}"
    assert "systemd" not in found.roots


def test_without_systemds_tree_for_the_unit_none_is_made(tmp_path: Path) -> None:
    mountinfo = v1_trees(tmp_path, "memory", "cpu", "pids", "freezer")
    (tmp_path / "systemd").mkdir()
    mountinfo += mount(tmp_path / "systemd", "cgroup", "name=systemd")
    assert "systemd" not in detect(mountinfo, "v1", f"{tmp_path}/{UNIT}").roots
    assert list((tmp_path / "systemd").iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "present", "text", "note"),
    [
        ("v2", "io.weight", "250", ""),
        ("v2", "io.bfq.weight", "113", ""),
        ("v1", "blkio.bfq.weight", "113", ""),
        ("v1", "blkio.weight", "1000", ""),
        ("v2", "", "", "io weight not applied: the kernel has none here (v2)"),
        ("v1", "", "", "io weight not applied: the kernel has none here (v1)"),
    ],
)
def test_the_weight_of_io_in_whatever_file_there_is(
    tmp_path: Path, kind: str, present: str, text: str, note: str
) -> None:
    made = Cgroups(kind, dict.fromkeys(("unified", "io"), str(tmp_path)))
    (tmp_path / "a.1").mkdir()
    if present:
        (tmp_path / "a.1" / present).write_text("100\n")
    assert made.make("a.1", Limits(io=250)) == ([note] if note else [])
    if present:
        assert (tmp_path / "a.1" / present).read_text() == text


def test_limits_that_a_host_lacks_are_told(tmp_path: Path) -> None:
    made = Cgroups("hybrid", dict.fromkeys(("unified", "memory"), str(tmp_path)))
    assert made.make("a.1", Limits(memory_high=5, io=9)) == [
        "memory_high limit not applied: the kernel has none here (hybrid)",
        "io weight not applied: no io controller (hybrid)",
    ]


def test_what_the_kernel_counts(tmp_path: Path) -> None:
    v2 = Cgroups("v2", dict.fromkeys(("unified", "memory"), str(tmp_path)))
    v1 = Cgroups("v1", {"memory": str(tmp_path)})
    group = tmp_path / "a.1"
    group.mkdir()
    none = {"high": 0, "max": 0, "oom": 0, "oom_kill": 0}
    assert v2.events("a.1") == v1.events("a.1") == Cgroups("none", {}).events("a.1") == none
    (group / "memory.events").write_text("low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n")
    assert v2.events("a.1") == {"high": 2, "max": 3, "oom": 4, "oom_kill": 5}
    (group / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (group / "memory.failcnt").write_text("9\n")
    assert v1.events("a.1") == {"high": 0, "max": 9, "oom": 2, "oom_kill": 2}
    assert v2.pressure("a.1") == {"cpu": None, "memory": None, "io": None}
    (group / "memory.pressure").write_text(
        "some avg10=12.50 avg60=1.00 avg300=0.00 total=7\nfull avg10=3.00\n"
    )
    (group / "cpu.pressure").write_text("nonsense\n")
    assert v2.pressure("a.1") == {"cpu": None, "memory": 0.125, "io": None}


@pytest.fixture
def unit() -> Iterator[Path]:
    """A folder in this host's v2 tree, as a unit would delegate it, with the unit's own process in a leaf."""
    if KIND != "hybrid":
        pytest.skip("needs a hybrid host that may be written")
    name = f"noded-t-unit-{os.getpid()}"
    place = Path("/sys/fs/cgroup/unified") / name / "noded-nodes.service"
    (place / "holder").mkdir(parents=True)
    holder = subprocess.Popen(["/bin/sleep", "1000"])
    (place / "holder/cgroup.procs").write_text(str(holder.pid))
    yield place
    holder.kill()
    holder.wait()
    for controller in Path("/sys/fs/cgroup").iterdir():
        for folder in ("noded-nodes.service/holder", "noded-nodes.service", ""):
            root = controller / name / folder
            until(lambda root=root: not root.is_dir() or _gone(root), f"{root} to go")


def _gone(root: Path) -> bool:
    try:
        root.rmdir()
    except OSError:
        return False
    return True


def test_a_delegated_tree_on_a_real_hybrid_host(unit: Path) -> None:
    (holder,) = map(int, (unit / "holder/cgroup.procs").read_text().split())
    made = Lab(cgroup=str(unit))
    try:
        client = made.start().client()
        assert client.do("hello")["cgroups"] == "hybrid"
        result = client.do("start", **made.order("in.1", "sleep", "1000", limits={"memory": 64 << 20}))
        relative = unit.relative_to("/sys/fs/cgroup/unified")
        assert result["cgroup"]["unified"] == f"{unit}/in.1"
        assert result["cgroup"]["memory"] == f"/sys/fs/cgroup/memory/{relative}/in.1"
        assert result["degraded"] == []
        made.end("terminate")
        assert unit.is_dir()
        client = made.start().client()
        assert [entry["instance"] for entry in client.do("list")["instances"]] == ["in.1"]
        client.do("kill", instance="in.1")
        client.do("remove", instance="in.1")
        assert alive(holder)
        assert (unit / "holder/cgroup.procs").read_text() == f"{holder}\n"
    finally:
        made.close()
