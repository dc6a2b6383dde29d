"""Does everything hold on a Debian 12 host with systemd: from installing over all kinds of ends to purging?

One host, in the order of this file: a test finds what the ones before it left, as an administrator would.
"""

import itertools
import json
import os
import re
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.ground import wait_for
from tests.systemd import packages
from tests.systemd.looks import (
    HOLDER,
    alive,
    drop_in,
    dynamic,
    fetch,
    fields,
    group,
    is_active,
    keeps,
    outside,
    pids,
    sleeper,
)
from tests.systemd.nspawn import Host

pytestmark = pytest.mark.systemd

SERVICES = ("noded-launcher.service", "noded-proxy.service", "noded.service")
MESH = "noded-mesh.service"
ORDERS = list(itertools.permutations(SERVICES))
NODES = ("catalog", "ticker", "hog", "brood")
INSTANCES = 5
"""Two of them are catalog's."""
HIGHER = "9.0.0"
# What a node may find in its environment: what noded says, its manifest's and the host's.
ENVIRONMENT = re.compile(r"NODED_[A-Z_]+|NOTIFY_SOCKET|PATH|LANG|PYTHON[A-Z]+")


@pytest.fixture
def host(machine: Host) -> Host:
    """With noded and all nodes up."""
    machine.run("systemctl", "start", "noded.service")
    wait_for(lambda: len(pids(machine)) == INSTANCES, "all instances to be ready", 90.0, 0.3)
    return machine


# Installing.


def test_installs_and_starts(machine: Host) -> None:
    debs = sorted(f"/srv/debs/{path.name}" for path in machine.path("/srv/debs").iterdir())
    machine.run("dpkg", "--install", *debs)
    for unit in (HOLDER, *SERVICES, MESH):
        assert is_active(machine, unit), machine.ask("systemctl", "status", "--no-pager", unit)
        assert machine.ask("systemctl", "is-enabled", unit) == "enabled"
    assert machine.ask("systemctl", "--failed", "--plain", "--no-legend") == ""

    # Some nodes here do not listen to TERM, and 45 s each time are long.
    drop_in(machine, "/etc", HOLDER, "TimeoutStopSec=4")


def test_the_first_nodes_run(machine: Host) -> None:
    for node in NODES:
        machine.run("nodectl", "apply", f"/srv/nodes/{node}")
    wait_for(lambda: len(pids(machine)) == INSTANCES, "all instances to be ready", 90.0, 0.3)
    wait_for(lambda: fetch(machine) == "200", "an answer through the proxy")


def test_nothing_is_missing(host: Host) -> None:
    told = json.loads(host.ask("nodectl", "status", "-o", "json"))["host"]
    assert told["cgroups"] in ("hybrid", "v2")
    # systemd-nspawn has a filter on all of the host, and the launcher says so.
    assert [note for note in told["degraded"] if not note.startswith("system calls: ")] == []
    assert told["proxy_up"]
    assert told["launcher_up"]


def test_every_program_starts(host: Host) -> None:
    host.run("/usr/lib/noded/bin/noded-launcher", "--help")
    host.run("runuser", "-u", "noded", "--", "/usr/lib/noded/bin/noded-regenerate", "--help")
    host.run("runuser", "-u", "nobody", "--", "nodekit", "--help")
    host.run("runuser", "-u", "nobody", "--", "nodectl", "status")
    assert "0 failed" in host.ask("nodectl", "doctor")


def test_the_worker_runs_the_tests_of_a_node(host: Host) -> None:
    host.run("nodectl", "test", "catalog")


# What nodes inherit.


def test_a_node_inherits_nothing_it_must_not(host: Host) -> None:
    # systemd-nspawn has filters of its own on everything in the host.
    first = fields(host, 1)
    for name, pid in pids(host).items():
        place = host.path(f"/proc/{pid}")
        status = fields(host, pid)
        assert status["Seccomp_filters"] == first["Seccomp_filters"], name
        assert status["NoNewPrivs"] == "1", name
        assert {status[key].strip("0") for key in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {""}, name
        assert status["Umask"] == "0007", name
        assert min(int(uid) for uid in status["Uid"].split()) >= 70_000, name
        assert status["Groups"].split() == [], name
        for space in (place / "ns").iterdir():
            if not space.name.startswith(("pid_for", "time_for")):
                assert os.readlink(space) == os.readlink(host.path(f"/proc/1/ns/{space.name}")), (
                    name,
                    space.name,
                )
        names = {entry.partition(b"=")[0].decode() for entry in (place / "environ").read_bytes().split(b"\0")}
        assert [one for one in names if one and not ENVIRONMENT.fullmatch(one)] == [], name
        assert (place / "oom_score_adj").read_text() == "0\n", name


def test_a_node_has_the_limits_of_its_manifest(host: Host) -> None:
    instance, pid = host.status()["hog"].popitem()
    assert group(host, "memory", instance, "memory.limit_in_bytes") == [str(48 * 1024**2)]
    assert group(host, "cpu", instance, "cpu.cfs_quota_us") == ["50000"]
    assert group(host, "pids", instance, "pids.max") == ["40"]
    for controller in ("unified", "memory", "cpu", "pids"):
        assert str(pid) in group(host, controller, instance, "cgroup.procs")


# Every end of every unit, in every order, with nodes running.


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: ">".join(name.split(".")[0] for name in order))
@pytest.mark.parametrize("how", ["restart", "stop and start", "kill"])
def test_no_end_of_a_service_ends_a_node(host: Host, how: str, order: tuple[str, ...]) -> None:
    before = pids(host)
    for unit in order:
        end(host, unit, how)
        assert [name for name, pid in before.items() if not alive(host, pid)] == [], unit
        host.run("systemctl", "daemon-reload")
        wait_for(partial(is_active, host, unit), f"{unit} to be active", 60.0, 0.1)
    keeps(host, before)
    wait_for(lambda: fetch(host) == "200", "an answer through the proxy", 60.0, 0.3)


def end(host: Host, unit: str, how: str) -> None:
    if how == "restart":
        host.run("systemctl", "restart", unit)
    elif how == "kill":
        was = host.show(unit, "MainPID")
        host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit)
        wait_for(lambda: host.show(unit, "MainPID") not in (was, "0"), f"{unit} to be back", 60.0, 0.1)
    else:
        host.run("systemctl", "stop", unit)
        assert not is_active(host, unit)
        host.run("systemctl", "start", unit)


def test_all_services_killed_at_once(host: Host) -> None:
    before = pids(host)
    for unit in SERVICES:
        host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit)
    wait_for(lambda: all(is_active(host, unit) for unit in SERVICES), "all services", 60.0, 0.1)
    keeps(host, before)


def test_the_sleeper_of_the_holder_killed(host: Host) -> None:
    before = pids(host)
    os.kill(outside(host, sleeper(host)), signal.SIGKILL)
    wait_for(lambda: sleeper(host) == 0, "the sleeper to be gone", 10.0)
    host.run("systemctl", "daemon-reload")
    assert is_active(host, HOLDER)
    host.run("systemctl", "restart", "noded-launcher.service", "noded.service")
    keeps(host, before)
    # Where it has nothing left to hold, systemd would have begun anew. Give it its sleeper back.
    host.run("systemctl", "restart", HOLDER)
    assert sleeper(host)


@pytest.mark.parametrize("verb", ["daemon-reload", "daemon-reexec"])
def test_systemd_itself_reloaded(host: Host, verb: str) -> None:
    before = pids(host)
    host.run("systemctl", verb)
    keeps(host, before)
    for name in before:
        assert f"{HOLDER}/{name}" in host.ask("cat", f"/proc/{before[name]}/cgroup")


# Faults.


def test_a_stopped_noded_is_replaced_and_nodes_live(host: Host) -> None:
    before = pids(host)
    drop_in(host, "/run", "noded.service", "WatchdogSec=4")
    host.run("systemctl", "restart", "noded.service")
    was = host.show("noded.service", "MainPID")
    host.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "noded.service")
    wait_for(lambda: host.show("noded.service", "MainPID") not in (was, "0"), "another noded", 60.0, 0.2)
    assert "watchdog" in host.ask("journalctl", "--no-pager", "--unit=noded.service", "--lines=40").lower()
    keeps(host, before)
    drop_in(host, "/run", "noded.service", "WatchdogSec=30")
    host.run("systemctl", "restart", "noded.service")


def test_out_of_memory_is_told_as_such_and_harms_nobody_else(host: Host) -> None:
    before = pids(host)
    host.path("/var/lib/noded/data/hog/eat").touch()
    (hog,) = [name for name in before if name.startswith("hog.")]
    others = {name: pid for name, pid in before.items() if name != hog}
    wait_for(lambda: "hog" in host.status() and hog not in pids(host), "the hog to end", 60.0, 0.3)
    told = host.ask("nodectl", "explain", "hog")
    assert "out of memory" in told, told
    assert is_active(host, HOLDER)
    wait_for(lambda: len(pids(host)) == INSTANCES, "a new hog", 60.0, 0.3)
    assert {name: pid for name, pid in pids(host).items() if name in others} == others


def test_stop_leaves_no_process_of_a_node_that_clings(host: Host) -> None:
    (brood,) = host.status()["brood"]
    members = group(host, "unified", brood, "cgroup.procs")
    assert len(members) >= 4
    host.run("nodectl", "stop", "brood")
    wait_for(lambda: not any(alive(host, int(pid)) for pid in members), "the brood to be gone", 60.0, 0.2)
    host.run("nodectl", "start", "brood")


# The holder, and the whole machine.


def test_stopping_noded_stops_no_node(host: Host) -> None:
    before = pids(host)
    host.run("systemctl", "stop", *SERVICES)
    assert [name for name, pid in before.items() if not alive(host, pid)] == []
    host.run("systemctl", "start", "noded.service")
    assert all(is_active(host, unit) for unit in SERVICES)
    keeps(host, before)


@pytest.mark.parametrize("before_it", [[], ["daemon-reload"], ["daemon-reexec"]], ids=str)
def test_stopping_the_holder_stops_all(host: Host, before_it: list[str]) -> None:
    before = pids(host)
    assert len(dynamic(host)) >= len(before)
    for verb in before_it:
        host.run("systemctl", verb)
    host.run("systemctl", "stop", HOLDER)
    assert [name for name, pid in before.items() if alive(host, pid)] == []
    assert not any(is_active(host, unit) for unit in (HOLDER, "noded-launcher.service", "noded.service"))
    # Nobody starts them again behind the administrator's back.
    until = time.monotonic() + 3.0
    while time.monotonic() < until:
        assert not is_active(host, "noded.service")
        time.sleep(0.2)
    assert dynamic(host) == []


def test_restarting_the_holder_brings_all_anew(host: Host) -> None:
    before = pids(host)
    host.run("systemctl", "restart", HOLDER)
    assert [name for name, pid in before.items() if alive(host, pid)] == []
    wait_for(lambda: all(is_active(host, unit) for unit in SERVICES), "all services", 60.0, 0.1)
    wait_for(lambda: len(pids(host)) == INSTANCES, "all instances", 120.0, 0.3)


@pytest.mark.parametrize("how", ["reboot", "power cut"])
def test_nodes_are_back_after_the_machine_was_down(host: Host, how: str) -> None:
    before = pids(host)
    host.poweroff() if how == "reboot" else host.cut()
    host.boot()
    wait_for(lambda: all(is_active(host, unit) for unit in (HOLDER, *SERVICES)), "all units", 60.0, 0.2)
    began = [int(host.show(unit, "ActiveEnterTimestampMonotonic")) for unit in (HOLDER, *SERVICES)]
    assert began == sorted(began)
    wait_for(lambda: len(pids(host)) == INSTANCES, "all instances", 120.0, 0.3)
    assert set(pids(host)).isdisjoint(before), "instances of another life keep their names to themselves"
    wait_for(lambda: fetch(host) == "200", "an answer through the proxy", 60.0, 0.3)


# Upgrading and leaving.


def test_an_upgrade_ends_no_node_and_fails_no_request(host: Host, debs: Path, tmp_path: Path) -> None:
    packages.with_version(debs, HIGHER, tmp_path / "higher")
    for package in (tmp_path / "higher").iterdir():
        host.path(f"/srv/{package.name}").write_bytes(package.read_bytes())
    host.path("/etc/noded/noded.toml").write_text(
        host.path("/etc/noded/noded.toml").read_text() + "\n# mine\n"
    )
    host.path("/srv/load.py").write_text(LOAD)
    before = pids(host)
    kept = {HOLDER: sleeper(host), "noded-proxy.service": int(host.show("noded-proxy.service", "MainPID"))}
    replaced = {unit: host.show(unit, "MainPID") for unit in ("noded-launcher.service", "noded.service")}
    host.run("systemd-run", "--quiet", "--unit=load", "python3", "/srv/load.py")
    host.run("sh", "-c", f"dpkg --install --force-confold /srv/*_{HIGHER}_*.deb")
    host.run("touch", "/srv/enough")
    wait_for(lambda: host.path("/srv/counts").exists(), "the count of requests", 30.0)
    asked, failed = map(int, host.path("/srv/counts").read_text().split())
    assert asked > 50
    assert failed == 0
    assert host.ask("dpkg-query", "-W", "-f", "${Version}", "noded") == HIGHER
    keeps(host, before)
    assert {
        HOLDER: sleeper(host),
        "noded-proxy.service": int(host.show("noded-proxy.service", "MainPID")),
    } == kept
    assert [unit for unit, pid in replaced.items() if host.show(unit, "MainPID") == pid] == []
    assert host.path("/etc/noded/noded.toml").read_text().endswith("# mine\n")


LOAD = """\
import os, time, urllib.request
asked = failed = 0
while not os.path.exists("/srv/enough"):
    asked += 1
    try:
        urllib.request.urlopen("http://127.0.0.1:8100/healthz", timeout=5).read()
    except OSError:
        failed += 1
    time.sleep(0.02)
open("/srv/counts.new", "w").write(f"{asked} {failed}")
os.rename("/srv/counts.new", "/srv/counts")
"""


def test_removing_ends_all_and_keeps_what_is_the_administrators(host: Host) -> None:
    before = pids(host)
    host.run("dpkg", "--remove", "noded", "nodectl")
    assert [name for name, pid in before.items() if alive(host, pid)] == []
    assert host.path("/etc/noded/noded.toml").exists()
    assert host.path("/var/lib/noded/registry.db").exists()


def test_purging_leaves_nothing(machine: Host) -> None:
    machine.run("dpkg", "--purge", "noded", "nodectl", "noded-runtime")
    for place in (
        "/etc/noded",
        "/var/lib/noded",
        "/var/lib/noded-mesh",
        "/var/log/noded",
        "/usr/lib/noded",
        "/run/noded",
        "/usr/bin/nodectl",
    ):
        assert not os.path.lexists(machine.path(place)), place
    # It ends with 1 when there are none.
    assert machine.run("systemctl", "list-unit-files", "--no-legend", "noded*", check=False).stdout == ""
    assert machine.ask("systemctl", "list-units", "--no-legend", "--plain", "--all", "noded*.service") == ""
    assert list(machine.path("/sys/fs/cgroup/unified/noded.slice").glob("*.service")) == []
    assert machine.ask("systemctl", "--failed", "--plain", "--no-legend") == ""
