"""How much does an instance use, seen from outside?

Memory is the tree's anonymous memory by its cgroup, which is what its limit counts and cannot be
dropped like file pages; without a cgroup the resident memory of the process and its children.
"""

from collections.abc import Mapping
from pathlib import Path

import psutil

from noded.adapters import proc
from noded.model.instance import Process, Vitals
from noded.ports import Nodes

ANONYMOUS = (b"anon", b"total_rss")
"""Of memory.stat: cgroup v2, and v1 with all below."""
DEEPEST = 4
KEPT = 10_000
"""Readings remembered; those of ended instances are forgotten with all others when there are more."""


class ProcSensors:
    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._before: dict[str, tuple[float, float]] = {}

    def read(self, instance: str, process: Process, at: float) -> Vitals | None:
        found = proc.stat(process.pid)
        if found is None or found.start_time != process.start_time:
            self._before.pop(instance, None)
            return None
        heartbeat = self._nodes.heartbeat(instance)
        return Vitals(
            memory=_memory(process, found.rss),
            cpu=self._cpu(instance, at, found.cpu),
            fds=proc.open_files(process.pid),
            threads=found.threads,
            loop_lag=heartbeat.lag if heartbeat else 0.0,
            heartbeat_age=at - heartbeat.at if heartbeat else -1.0,
        )

    def _cpu(self, instance: str, at: float, used: float) -> float:
        before = self._before.get(instance)
        if len(self._before) > KEPT:
            self._before.clear()
        self._before[instance] = (at, used)
        if before is None or at <= before[0]:
            return 0.0
        return max(0.0, round((used - before[1]) / (at - before[0]), 4))


def host_memory() -> int:
    return int(psutil.virtual_memory().total)


def _memory(process: Process, rss: int) -> int:
    if process.memory_cgroup:
        counted = _anonymous(Path(process.memory_cgroup))
        if counted is not None:
            return counted
    return rss + sum(_tree(child, 1) for child in proc.children(process.pid))


def _tree(pid: int, depth: int) -> int:
    found = proc.stat(pid)
    if found is None or depth > DEEPEST:
        return 0
    return found.rss + sum(_tree(child, depth + 1) for child in proc.children(pid))


def _anonymous(cgroup: Path) -> int | None:
    try:
        text = (cgroup / "memory.stat").read_bytes()
    except OSError:
        return None
    counts: Mapping[bytes, bytes] = dict(line.split(b" ", 1) for line in text.splitlines() if b" " in line)
    for key in ANONYMOUS:
        if key in counts:
            return int(counts[key])
    return None
