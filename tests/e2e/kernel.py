"""What really runs, whatever anybody says? Read from /proc."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.e2e.host import Host


def processes(host: Host) -> dict[str, set[int]]:
    """Every living process of the host's nodes, children too, by instance."""
    place = f"NODED_ORDERS={host.folder}/run/i/".encode()
    found: defaultdict[str, set[int]] = defaultdict(set)
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            for variable in (entry / "environ").read_bytes().split(b"\0"):
                if variable.startswith(place) and alive(pid):
                    found[variable.decode().split("/")[-2]].add(pid)
    return dict(found)


def of_node(host: Host, name: str) -> set[int]:
    found = (pids for instance, pids in processes(host).items() if instance.rpartition(".")[0] == name)
    return set().union(*found)


def alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


def uids(pids: Iterable[int]) -> set[int]:
    return {os.stat(f"/proc/{pid}").st_uid for pid in pids}
