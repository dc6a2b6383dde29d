"""Does a node get what its manifest says and nothing of the launcher's? Compared from outside, in /proc."""

import ctypes
import grp
import itertools
import os
import pwd
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launcher.surroundings import _hosts_namespace, notes_of
from tests.launcher.lab import DEADLINE, KIND, Client, Lab, holds_only, is_root, needs_limits, needs_root

NUMBERS = itertools.count(1)
LIMITS = {"memory": 64 << 20, "memory_high": 48 << 20, "cpu": 0.5, "pids": 12, "io": 50, "files": 77}
SLACK = "50000"


@pytest.fixture(scope="module")
def room() -> Iterator[Lab]:
    """A launcher in surroundings that no node should see."""
    made = Lab(users=["nobody"])
    (made.home / "etc").mkdir()
    (made.home / "srv").mkdir()
    made.settings |= {"secrets": [str(made.home / "etc")], "write": [str(made.home / "srv")]}

    def odd() -> None:
        os.umask(0o027)
        os.nice(3)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        Path("/proc/self/oom_score_adj").write_text("200")
        ctypes.CDLL(None).prctl(29, 777_000, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096))

    try:
        yield made.start(preexec_fn=odd)
    finally:
        made.close()


@pytest.fixture
def client(room: Lab) -> Iterator[Client]:
    made = room.client()
    yield made
    made.close()


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def limits_of(pid: int | str) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:].split()[:2] for line in lines}


def full_order(room: Lab, **more: Any) -> dict[str, Any]:
    (room.home / "etc/env").write_text("FROM_FILE=1\n")
    (room.home / "etc/key").write_text("secret\n")
    for name in ("env", "key"):
        (room.home / "etc" / name).chmod(0o600)
    return room.order(
        f"full.{next(NUMBERS)}",
        "sleep",
        "1000",
        data=True,
        limits=LIMITS,
        env_file=f"{room.home}/etc/env",
        secrets={"KEY": f"file:{room.home}/etc/key"},
        write=[f"{room.home}/srv/full"],
        **more,
    )


def test_what_the_manifest_says_and_nothing_else(room: Lab, client: Client) -> None:
    assert room.process is not None
    order = full_order(room)
    result = client.do("start", **order)
    pid = result["pid"]
    status = status_of(pid)
    none = "0" * 16
    if is_root:
        assert [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [none] * 5
        assert status["Uid"].split() == [str(result["uid"])] * 4
        assert status["Gid"].split() == [str(result["uid"])] * 4
        assert status["Groups"] == ""
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", status_of(os.getpid())["Seccomp"])
    # Of those above 31 two belong to the C library.
    assert int(status["SigIgn"], 16) & 0x7FFFFFFF == 0
    assert (status["SigBlk"], status["Umask"]) == (none, "0007")
    inherited_limits = limits_of(room.process.pid)
    limits = limits_of(pid)
    assert limits["Max open files"] == ["77", "77"]
    assert limits["Max core file size"] == ["0", "0"]
    own = {"Max open files", "Max core file size"}
    assert {k: v for k, v in limits.items() if k not in own} == {
        k: v for k, v in inherited_limits.items() if k not in own
    }
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "0\n"
    assert Path(f"/proc/{pid}/timerslack_ns").read_text().strip() == SLACK
    assert os.getpriority(os.PRIO_PROCESS, pid) == (0 if is_root else 3)
    assert os.sched_getscheduler(pid) == os.SCHED_OTHER
    assert Path(f"/proc/{pid}/mountinfo").read_text() == Path("/proc/self/mountinfo").read_text()
    for name in ("mnt", "net", "ipc", "uts", "pid", "user", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/self/ns/{name}")
    holds_only(pid, "0", "1", "2")
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    pairs = Path(f"/proc/{pid}/environ").read_text().rstrip("\0").split("\0")
    assert dict(pair.split("=", 1) for pair in pairs) == {
        **order["env"],
        "FROM_FILE": "1",
        "KEY": "secret",
        "NODED_INSTANCE": order["instance"],
        "NODED_ORDERS": f"{result['run']}/orders.sock",
        "NODED_DATA": f"{room.home}/data/full",
    }


@needs_limits
def test_every_limit_of_the_manifest_is_in_its_groups(room: Lab, client: Client) -> None:
    order = full_order(room)
    result = client.do("start", **order)
    groups = result["cgroup"]
    member = Path(f"/proc/{result['pid']}/cgroup").read_text()
    assert member.count(f"/{room.subtree}/{order['instance']}\n") == len(set(groups.values()) - {""})
    told = {note.partition(":")[0] for note in result["degraded"]}
    if KIND == "v2":
        wanted = {"memory.max": str(64 << 20), "memory.high": str(48 << 20), "cpu.max": "50000 100000"}
        wanted |= {"pids.max": "12", "memory.oom.group": "1"}
        assert {name: Path(groups["memory"], name).read_text().strip() for name in wanted} == wanted
        assert told <= {"io weight not applied"}
        return
    assert told <= {"memory_high limit not applied", "io weight not applied"}
    assert "memory_high limit not applied" in told
    assert Path(groups["memory"], "memory.limit_in_bytes").read_text() == f"{64 << 20}\n"
    assert Path(groups["cpu"], "cpu.cfs_quota_us").read_text() == "50000\n"
    assert Path(groups["pids"], "pids.max").read_text() == "12\n"
    if "io weight not applied" not in told:
        assert Path(groups["io"], "blkio.bfq.weight").read_text().split()[-1] == "50"


def test_files_without_a_limit_are_as_many_as_the_launcher_was_started_with(
    room: Lab, client: Client
) -> None:
    assert room.process is not None
    pid = client.do("start", **room.order(f"plain.{next(NUMBERS)}", "sleep", "1000"))["pid"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = [str(value) if value != resource.RLIM_INFINITY else "unlimited" for value in (soft, hard)]
    assert limits_of(pid)["Max open files"] == told
    # The launcher itself took what it may have.
    assert int(limits_of(room.process.pid)["Max open files"][0]) >= soft


@needs_root
def test_an_existing_user_has_the_groups_of_the_hosts_database(room: Lab, client: Client) -> None:
    pid = client.do("start", **full_order(room, user="nobody") | {"data": False, "write": []})["pid"]
    entry = pwd.getpwnam("nobody")
    status = status_of(pid)
    assert status["Gid"].split() == [str(entry.pw_gid)] * 4
    groups = {group.gr_gid for group in grp.getgrall() if "nobody" in group.gr_mem} - {entry.pw_gid}
    assert {int(word) for word in status["Groups"].split()} == groups


@needs_root
def test_groups_reach_the_program() -> None:
    """No user of a bare host has groups: the step itself is taken with some."""
    code = (
        "import os; from launcher.inherit import switch_user; from launcher.users import User;"
        "switch_user(User(65534, 65533, (64301, 64302)));"
        "print(os.getresuid(), os.getresgid(), os.getgroups())"
    )
    daemon = str(Path(__file__).parents[2] / "daemon")
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code],
        env={"PYTHONPATH": daemon},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    assert done.stdout == "(65534, 65534, 65534) (65533, 65533, 65533) [64301, 64302]\n"


def test_a_user_in_roots_group_is_refused(room: Lab, client: Client) -> None:
    in_it = next((pwd.getpwnam(name) for name in grp.getgrgid(0).gr_mem if name != "root"), None)
    if in_it is None:
        pytest.skip("this host has nobody in root's group")
    kind, text = client.refused("start", **full_order(room, user=in_it.pw_name))
    assert (kind, "nodes never run as root" in text) == ("refused", True)


@pytest.mark.parametrize(
    ("status", "own", "hosts", "count", "word"),
    [
        (b"Name:\tx\nSeccomp:\t0\n", "mnt:[1]", "mnt:[1]", 0, ""),
        (b"Seccomp:\t2\nSeccomp_filters:\t1\n", "mnt:[1]", "mnt:[1]", 1, "SystemCallFilter="),
        (b"Seccomp:\t0\n", "mnt:[1]", "mnt:[2]", 1, "mount namespace"),
        (b"Seccomp:\t1\n", "mnt:[1]", "mnt:[2]", 2, "every node with it"),
        (b"", "mnt:[1]", "", 0, ""),
        (b"", "", "mnt:[1]", 0, ""),
    ],
)
def test_what_cannot_be_taken_off_is_told(status: bytes, own: str, hosts: str, count: int, word: str) -> None:
    notes = notes_of(status, own, hosts)
    assert len(notes) == count
    assert all(word in note for note in notes)


@needs_root
def test_a_launcher_in_a_namespace_of_its_own_says_so() -> None:
    if not _hosts_namespace():
        pytest.skip("neither pid 1 nor the kernel's first thread lets itself be looked at")
    made = Lab(cgroups="none")
    made.command = ["unshare", "--mount", *made.command]
    try:
        notes = made.start().client().do("hello")["degraded"]
        assert any(note.startswith("files: the launcher has a mount namespace of its own") for note in notes)
        assert any("degraded: files: the launcher" in line for line in made.log.splitlines())
    finally:
        made.close()
