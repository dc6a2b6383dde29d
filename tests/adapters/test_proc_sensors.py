"""Is an instance's use read rightly: from cgroups of both kinds, and without any?"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from noded.adapters import proc
from noded.adapters.proc_sensors import ProcSensors, host_memory
from noded.model.instance import Process
from noded.ports import Heartbeat
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox
from tests.fakes.nodes import FakeNodes

HOLD = """
import os, sys
held = bytearray(os.urandom(1)) * (20 << 20)
pids = []
for _ in range(2):
    pid = os.fork()
    if not pid:
        more = bytearray(b"y") * (30 << 20)
        print("ready", flush=True)
        os.read(0, 1)
        os._exit(0)
    pids.append(pid)
print("ready", flush=True)
sys.stdin.read()
"""


def nodes() -> FakeNodes:
    return FakeNodes(FakeInbox(), FakeClock())


def me(cgroup: str = "", ticks: int = 0) -> Process:
    return Process(os.getpid(), proc.start_time(os.getpid()) + ticks, os.geteuid(), cgroup)


@pytest.fixture(scope="module")
def tree() -> Iterator[Process]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as made:
        assert made.stdout is not None
        for _ in range(3):
            made.stdout.readline()
        yield Process(made.pid, proc.start_time(made.pid), os.geteuid())
        made.communicate()


V1 = "cache 1000\nrss 5\nactive_anon 77\ntotal_cache 9000\ntotal_rss {} \ntotal_active_anon 8\n"
V2 = "anon {}\nfile 99999\nkernel 5\nanon_thp 0\n"


@pytest.mark.parametrize("text", [V1, V2], ids=["v1", "v2"])
def test_memory_is_the_anonymous_memory_of_the_group(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.stat").write_text(text.format(123_456_789))
    found = ProcSensors(nodes()).read("a.1", me(str(tmp_path)), 1.0)
    assert found is not None
    assert found.memory == 123_456_789


@pytest.mark.parametrize("text", [None, "", "file 7\n", "no number at all\n"])
def test_without_a_count_the_tree_is_added_up(tmp_path: Path, tree: Process, text: str | None) -> None:
    if text is not None:
        (tmp_path / "memory.stat").write_text(text)
    alone = ProcSensors(nodes()).read("a.1", tree, 1.0)
    grouped = Process(tree.pid, tree.start_time, tree.uid, str(tmp_path))
    found = ProcSensors(nodes()).read("a.1", grouped, 1.0)
    assert alone is not None
    assert found is not None
    assert found.memory >= 80 << 20
    assert abs(found.memory - alone.memory) < 4 << 20


def test_a_real_process(tree: Process) -> None:
    found = ProcSensors(nodes()).read("a.1", tree, 1.0)
    assert found is not None
    assert found.threads == 1
    assert found.cpu == 0.0  # a share needs two readings
    assert found.fds == proc.open_files(tree.pid)


def test_a_share_of_a_core_is_between_two_readings() -> None:
    sensors = ProcSensors(nodes())
    first = proc.stat(os.getpid())
    assert first is not None
    sensors.read("a.1", me(), 100.0)
    while (now := proc.stat(os.getpid())) and now.cpu < first.cpu + 0.05:
        pass
    found = sensors.read("a.1", me(), 100.5)
    assert found is not None
    assert 0.1 <= found.cpu < 1.0
    for at in (100.5, 100.4):  # no time has passed
        again = sensors.read("a.1", me(), at)
        assert again is not None
        assert again.cpu == 0.0


def test_instances_are_counted_apart() -> None:
    sensors = ProcSensors(nodes())
    sensors.read("a.1", me(), 100.0)
    found = sensors.read("a.2", me(), 200.0)
    assert found is not None
    assert found.cpu == 0.0


def test_one_that_is_gone_or_is_somebody_else_has_no_readings() -> None:
    sensors = ProcSensors(nodes())
    sensors.read("a.1", me(), 1.0)
    assert sensors.read("a.1", me(ticks=1), 2.0) is None
    assert sensors.read("a.1", Process(2**22 + 1, 5, 0), 2.0) is None
    assert sensors._open == {}


def files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_files_of_one_that_is_not_asked_for_any_more_are_closed(tmp_path: Path) -> None:
    (tmp_path / "memory.stat").write_text(V2.format(7))
    before, sensors = files(), ProcSensors(nodes())
    for at in (1.0, 2.0):
        sensors.read("a.1", me(str(tmp_path)), at)
        sensors.read("a.2", me(str(tmp_path)), at)
        assert files() == before + 6
    sensors.read("a.1", me(str(tmp_path)), 3.0)
    sensors.read("a.1", me(str(tmp_path)), 4.0)
    assert files() == before + 3
    assert sensors.read("a.1", me(str(tmp_path), ticks=1), 5.0) is None
    assert files() == before


def test_the_end_of_a_process_closes_its_files() -> None:
    before, sensors = files(), ProcSensors(nodes())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as made:
        process = Process(made.pid, proc.start_time(made.pid), os.geteuid())
        assert sensors.read("a.1", process, 1.0) is not None
        made.communicate()
    assert sensors.read("a.1", process, 2.0) is None
    assert files() == before


def test_a_group_that_has_gone_is_no_reason_to_know_nothing(tmp_path: Path) -> None:
    group = Path("/sys/fs/cgroup/memory") / f"noded-t-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no cgroup can be made here")
    sensors = ProcSensors(nodes())
    try:
        counted = sensors.read("a.1", me(str(group)), 1.0)
    finally:
        group.rmdir()
    found = sensors.read("a.1", me(str(group)), 2.0)
    assert counted is not None
    assert found is not None
    assert found.memory > 4 << 20  # its own, when nobody counts any more


def test_the_sdk_adds_what_only_it_knows() -> None:
    line = nodes()
    line.listen("a", "a.1")
    sensors = ProcSensors(line)
    silent = sensors.read("a.1", me(), 10.0)
    assert silent is not None
    assert (silent.loop_lag, silent.heartbeat_age) == (0.0, -1.0)
    line.lines["a.1"].heartbeat = Heartbeat(9.25, 0.004, 7)
    told = sensors.read("a.1", me(), 10.0)
    assert told is not None
    assert (told.loop_lag, told.heartbeat_age) == (0.004, 0.75)


def test_the_machine_has_memory() -> None:
    assert host_memory() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
