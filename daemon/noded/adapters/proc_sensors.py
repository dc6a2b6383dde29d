"""How much does an instance use, seen from outside?

Memory is the tree's anonymous memory by its cgroup, which is what its limit counts and cannot be
dropped like file pages; without a cgroup the resident memory of the process and its children.

The files are kept open and read anew every time: finding them costs more than reading them.
"""

import contextlib
import os
from dataclasses import dataclass

import psutil

from noded.adapters import pressure, proc
from noded.model.instance import Process, Vitals
from noded.model.liveness import Pressure
from noded.ports import Look, Nodes

ANONYMOUS = (b"\nanon ", b"\ntotal_rss ")
"""Lines of memory.stat: cgroup v2, and v1 with all below."""
LARGEST = 8192
"""Bytes of one of the files; memory.stat has below 3000."""
DEEPEST = 4
RESOLUTION = 3
"""Digits of times after the point."""
NONE = -1
"""For a file that is not there."""


@dataclass(slots=True)
class Open:
    """The files of one instance. Those of a process that has ended are never those of another."""

    process: Process
    stat: int
    descriptors: int
    memory: int
    at: float
    used: float
    """Seconds of CPU time until `at`."""

    def close(self) -> None:
        for file in (self.stat, self.descriptors, self.memory):
            if file != NONE:
                os.close(file)


class ProcSensors:
    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._open: dict[str, Open] = {}
        self._at = 0.0

    def read(self, instance: str, process: Process, at: float) -> Vitals | None:
        if at != self._at:
            self._forget_unasked()
            self._at = at
        held = self._open.get(instance)
        if held is None or (held.process is not process and held.process != process):
            self._close(instance)
            held = _opened(process, at)
            if held is None:
                return None
            self._open[instance] = held
        try:
            found = proc.told(os.pread(held.stat, LARGEST, 0))
        except OSError:
            self._close(instance)
            return None
        heartbeat = self._nodes.heartbeat(instance)
        return Vitals(
            _memory(held, found.rss),
            _share(held, at, found.cpu),
            _size(held.descriptors),
            found.threads,
            round(heartbeat.lag, RESOLUTION) if heartbeat else 0.0,
            round(at - heartbeat.at, RESOLUTION) if heartbeat else -1.0,
        )

    def look(self, process: Process) -> Look | None:
        return pressure.look(process)

    def pressure(self) -> Pressure:
        return pressure.pressure()

    def _forget_unasked(self) -> None:
        """Whoever was not asked for at the last time has ended."""
        for instance in [name for name, held in self._open.items() if held.at != self._at]:
            self._close(instance)

    def _close(self, instance: str) -> None:
        held = self._open.pop(instance, None)
        if held is not None:
            held.close()


def host_memory() -> int:
    return int(psutil.virtual_memory().total)


def _opened(process: Process, at: float) -> Open | None:
    """None when the process has ended, or its number belongs to another."""
    folder = f"/proc/{process.pid}"
    stat = _file(f"{folder}/stat", os.O_RDONLY)
    if stat == NONE:
        return None
    cgroup = process.memory_cgroup
    memory = _file(f"{cgroup}/memory.stat", os.O_RDONLY) if cgroup else NONE
    held = Open(process, stat, _file(f"{folder}/fd", os.O_PATH), memory, NONE, 0.0)
    with contextlib.suppress(OSError):
        if proc.told(os.pread(stat, LARGEST, 0)).start_time == process.start_time:
            return held
    held.close()
    return None


def _file(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return NONE


def _size(descriptors: int) -> int:
    """Number of descriptors. Since Linux 6.2 the folder's size tells it to everybody; 0 when not told."""
    try:
        return os.fstat(descriptors).st_size if descriptors != NONE else 0
    except OSError:
        return 0


def _share(held: Open, at: float, used: float) -> float:
    """Of one core since the time before; 0 at the first."""
    before, since = held.used, held.at
    held.at, held.used = at, used
    if since == NONE or at <= since:
        return 0.0
    return max(0.0, round((used - before) / (at - since), 4))


def _memory(held: Open, rss: int) -> int:
    counted = _anonymous(held.memory) if held.memory != NONE else None
    if counted is not None:
        return counted
    return rss + sum(_tree(child, 1) for child in proc.children(held.process.pid))


def _tree(pid: int, depth: int) -> int:
    found = proc.stat(pid)
    if found is None or depth > DEEPEST:
        return 0
    return found.rss + sum(_tree(child, depth + 1) for child in proc.children(pid))


def _anonymous(memory: int) -> int | None:
    try:
        text = b"\n" + os.pread(memory, LARGEST, 0)
    except OSError:
        return None
    for key in ANONYMOUS:
        start = text.find(key)
        if start >= 0:
            start += len(key)
            return int(text[start : text.find(b"\n", start)])
    return None
