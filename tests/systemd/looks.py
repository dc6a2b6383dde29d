"""What does a host look like, from inside and from outside?"""

import os
import re
from pathlib import Path

from tests.e2e.ground import wait_for
from tests.systemd.nspawn import Host

HOLDER = "noded-nodes.service"


def pids(host: Host) -> dict[str, int]:
    return {name: pid for instances in host.status().values() for name, pid in instances.items()}


def alive(host: Host, pid: int) -> bool:
    return host.path(f"/proc/{pid}/stat").exists()


def same(host: Host, before: dict[str, int]) -> bool:
    """Also those that noded has not adopted yet are looked at, by pid."""
    return all(alive(host, pid) for pid in before.values()) and pids(host) == before


def keeps(host: Host, before: dict[str, int]) -> None:
    gone = [name for name, pid in before.items() if not alive(host, pid)]
    assert gone == []
    wait_for(lambda: same(host, before), f"noded to tell {before}", 60.0, 0.3)


def is_active(host: Host, unit: str) -> bool:
    return host.show(unit, "ActiveState") == "active"


def fetch(host: Host) -> str:
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8100/healthz', timeout=5).status)"
    return host.run("python3", "-c", ask, check=False).stdout.strip()


def fields(host: Host, pid: int) -> dict[str, str]:
    lines = host.path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def group(host: Host, controller: str, instance: str, file: str) -> list[str]:
    """The words of a file, read inside: processes have other numbers there."""
    return host.ask("cat", f"/sys/fs/cgroup/{controller}/noded.slice/{HOLDER}/{instance}/{file}").split()


def drop_in(host: Host, top: str, unit: str, line: str) -> None:
    place = host.path(f"{top}/systemd/system/{unit}.d/test.conf")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"[Service]\n{line}\n")
    host.run("systemctl", "daemon-reload")


def sleeper(host: Host) -> int:
    found = host.ask("systemctl", "status", "--no-pager", "--full", "--lines=0", HOLDER)
    told = re.search(r"(\d+) sleep infinity", found)
    return int(told[1]) if told else 0


def outside(host: Host, pid: int) -> int:
    """A process of the host as this machine numbers it."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        inner = re.search(r"^NSpid:\t(\d+)\t(\d+)$", text, re.MULTILINE)
        if inner and int(inner[2]) == pid and _below(int(inner[1]), host.leader):
            return int(inner[1])
    raise ProcessLookupError(pid)


def _below(pid: int, leader: int) -> bool:
    return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{leader}/ns/pid")


def dynamic(host: Host) -> list[str]:
    """Processes of the users that only nodes have."""
    lines = host.ask("ps", "-e", "-o", "uid=,pid=,args=").splitlines()
    return [line for line in lines if 70_000 <= int(line.split()[0]) < 80_000]
