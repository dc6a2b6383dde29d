"""Are hierarchies recognised, limits written and counters read? On plain files, so for every kind of host."""

from pathlib import Path

import pytest

from launcher.cgroups import Cgroups
from launcher.hierarchies import detect
from launcher.orders import Limits
from tests.launcher.lab import KIND, needs_limits

V2_FILES = {
    "memory.max": "1048576",
    "memory.high": "524288",
    "memory.oom.group": "1",
    "cpu.max": "150000 100000",
    "pids.max": "7",
}
NO_LIMITS = {"memory.max": "max", "memory.high": "max", "cpu.max": "max 100000", "pids.max": "max"}
V1_FILES = {"memory.limit_in_bytes": "1048576", "cpu.cfs_quota_us": "150000", "pids.max": "7"}
NO_V1_LIMITS = {"memory.limit_in_bytes": "-1", "cpu.cfs_quota_us": "-1", "pids.max": "max"}
ALL = Limits(memory=1 << 20, memory_high=1 << 19, cpu=1.5, pids=7)
V1_ALL = Limits(memory=1 << 20, cpu=1.5, pids=7)


def mount(path: Path, kind: str, options: str) -> str:
    place = str(path).replace(" ", "\\040")
    return f"31 23 0:28 / {place} rw,relatime shared:5 - {kind} {kind} rw,{options}\n"


def v2_tree(path: Path, controllers: str = "cpuset cpu io memory pids") -> str:
    path.mkdir()
    (path / "cgroup.controllers").write_text(controllers + "\n")
    (path / "cgroup.subtree_control").write_text("memory\n")
    group = path / "noded"
    group.mkdir()
    (group / "cgroup.controllers").write_text(controllers + "\n")
    return mount(path, "cgroup2", "nsdelegate")


def v1_trees(path: Path, *names: str) -> str:
    for name in names:
        (path / name).mkdir()
    return "".join(mount(path / name, "cgroup", name) for name in names)


def test_v2_is_taken_when_it_has_the_controllers(tmp_path: Path) -> None:
    found = detect(v2_tree(tmp_path / "c g"), "auto", "noded")
    root = str(tmp_path / "c g/noded")
    assert (found.kind, found.degraded) == ("v2", ())
    assert found.roots == dict.fromkeys(("unified", "memory", "cpu", "pids", "io"), root)
    # Each level hands on what it does not hand on yet; a file keeps the last word written.
    assert (tmp_path / "c g/cgroup.subtree_control").read_text() == "+io"
    assert (tmp_path / "c g/noded/cgroup.subtree_control").read_text() == "+io"


def test_delegated_v2_folder_is_left_alone_above(tmp_path: Path) -> None:
    mountinfo = v2_tree(tmp_path / "cg")
    found = detect(mountinfo, "auto", str(tmp_path / "cg/noded"))
    assert found.roots["memory"] == str(tmp_path / "cg/noded")
    assert (tmp_path / "cg/cgroup.subtree_control").read_text() == "memory\n"


def test_controllers_that_v2_lacks_are_told(tmp_path: Path) -> None:
    found = detect(v2_tree(tmp_path / "cg", "cpu pids"), "v2", "noded")
    assert set(found.roots) == {"unified", "cpu", "pids"}
    assert found.degraded == (f"memory limits: controller not available in {tmp_path}/cg",)


def test_hybrid_when_v1_holds_the_controllers(tmp_path: Path) -> None:
    mountinfo = v2_tree(tmp_path / "unified", "hugetlb") + v1_trees(tmp_path, "memory", "pids")
    (tmp_path / "cpu,cpuacct").mkdir()
    mountinfo += mount(tmp_path / "cpu,cpuacct", "cgroup", "cpu,cpuacct")
    found = detect(mountinfo, "auto", "noded")
    assert (found.kind, found.degraded) == ("hybrid", ())
    assert found.roots["cpu"] == found.roots["cpuacct"] == f"{tmp_path}/cpu,cpuacct/noded"
    assert found.roots["unified"] == f"{tmp_path}/unified/noded"


def test_v1_alone(tmp_path: Path) -> None:
    found = detect(v1_trees(tmp_path, "memory", "cpu", "pids", "freezer"), "auto", "noded")
    assert (found.kind, set(found.roots)) == ("v1", {"memory", "cpu", "pids", "freezer"})
    assert found.degraded == ()


def test_missing_v1_controller_is_told(tmp_path: Path) -> None:
    found = detect(v1_trees(tmp_path, "memory"), "auto", "noded")
    assert found.degraded == (
        "cpu limits: no v1 controller mounted",
        "pids limits: no v1 controller mounted",
        "freeze, kill of what forks without end: no v1 freezer can be used",
    )


@pytest.mark.parametrize(("wanted", "reason"), [("none", "configured"), ("auto", "no cgroup mount found")])
def test_none(wanted: str, reason: str) -> None:
    found = detect("1 0 8:1 / / rw - ext4 /dev/sda rw\n", wanted, "noded")
    assert (found.kind, found.roots) == ("none", {})
    assert found.degraded == (f"no limits, no whole-tree kill: cgroups = none ({reason})",)


@pytest.mark.parametrize("wanted", ["v2", "hybrid", "v1"])
def test_wanted_but_absent(wanted: str) -> None:
    found = detect("1 0 8:1 / / rw - ext4 /dev/sda rw\n", wanted, "noded")
    assert (found.kind, found.roots) == ("none", {})
    assert any("no cgroup can be used" in note for note in found.degraded)


def test_folder_outside_the_mount(tmp_path: Path) -> None:
    found = detect(v2_tree(tmp_path / "cg"), "auto", f"{tmp_path}/cg2/noded")
    assert found.degraded == (f"no limits, no whole-tree kill: {tmp_path}/cg2/noded is in no cgroup mount",)


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    mountinfo = v1_trees(tmp_path, "memory", "pids")
    (tmp_path / "pids/noded").touch()
    found = detect(mountinfo, "v1", "noded")
    assert set(found.roots) == {"memory"}
    assert found.degraded[0].startswith("pids limits: Not a directory")


def groups(tmp_path: Path, kind: str) -> Cgroups:
    return Cgroups(kind, dict.fromkeys(("unified", "memory", "cpu", "pids"), str(tmp_path)))


@pytest.mark.parametrize(
    ("kind", "limits", "files"),
    [
        ("v2", ALL, V2_FILES),
        ("v2", Limits(), NO_LIMITS),
        ("v1", V1_ALL, V1_FILES),
        ("v1", Limits(), NO_V1_LIMITS),
    ],
)
def test_limits_as_written(tmp_path: Path, kind: str, limits: Limits, files: dict[str, str]) -> None:
    made = groups(tmp_path, kind)
    assert made.make("a.1", limits) == []
    assert made.make("a.1", limits) == []
    assert {path.name: path.read_text() for path in (tmp_path / "a.1").iterdir()} == files


def test_limit_that_cannot_be_applied_does_not_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "a.1/memory.max").mkdir(parents=True)
    assert groups(tmp_path, "v2").make("a.1", ALL) == [
        f"memory limit not applied: Is a directory: {tmp_path}/a.1/memory.max"
    ]
    assert Cgroups("none", {}).make("a.1", Limits(cpu=1)) == [
        "cpu limit not applied: no cpu controller (none)"
    ]


def test_counters_and_members(tmp_path: Path) -> None:
    made = groups(tmp_path, "v2")
    made.make("a.1", Limits())
    assert (made.oom_kills("a.1"), made.pids("a.1")) == (0, set())
    (tmp_path / "a.1/memory.events").write_text("low 0\noom 4\noom_kill 3\noom_group_kill 1\n")
    (tmp_path / "a.1/cgroup.procs").write_text("12\n34\n")
    (tmp_path / "not an instance").mkdir()
    assert (made.oom_kills("a.1"), made.pids("a.1")) == (3, {12, 34})
    assert made.instances() == {"a.1"}
    assert made.folders("a.1")["cpuacct"] == ""


def test_kill_at_once_or_not(tmp_path: Path) -> None:
    made = groups(tmp_path, "v2")
    made.make("a.1", ALL)
    assert made.kill("a.1")
    assert (tmp_path / "a.1/cgroup.kill").read_text() == "1"
    (tmp_path / "a.1/cgroup.kill").unlink()
    (tmp_path / "a.1/cgroup.kill").mkdir()
    assert not made.kill("a.1")
    made.stop_growth("a.1")
    assert (tmp_path / "a.1/pids.max").read_text() == "0"


def test_removal_answers_what_is_left(tmp_path: Path) -> None:
    made = groups(tmp_path, "v2")
    (tmp_path / "a.1/nested").mkdir(parents=True)
    assert made.remove("a.1") is None
    assert not (tmp_path / "a.1").exists()
    assert made.remove("a.1") is None
    made.make("a.1", ALL)
    assert str(made.remove("a.1")).startswith("Directory not empty")


@needs_limits
def test_this_host_is_recognised() -> None:
    mountinfo = Path("/proc/self/mountinfo").read_text()
    found = detect(mountinfo, "auto", "noded-t-detect")
    try:
        assert (found.kind, found.degraded) == (KIND, ())
    finally:
        for root in set(found.roots.values()):
            Path(root).rmdir()
