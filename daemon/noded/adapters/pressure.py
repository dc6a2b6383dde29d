"""Does the host hinder its programs, and what does a silent one do meanwhile?

Read only in doubt, so nothing is kept open: a look costs one small file for each thread of the tree.
"""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from noded.adapters import proc
from noded.model.instance import Process
from noded.model.liveness import Pressure
from noded.ports import Look

PSI = Path("/proc/pressure")
NANOSECONDS = 1e9
DEEPEST = 4
MOST_PROCESSES = 32
MOST_THREADS = 64
"""Of one process that are looked at."""


def pressure(folder: Path = PSI) -> Pressure:
    return Pressure(*(_some(folder / name) for name in ("cpu", "memory", "io")))


def look(process: Process) -> Look | None:
    found = proc.stat(process.pid)
    if found is None or found.start_time != process.start_time:
        return None
    # What a server's workers do counts as its own doing.
    cpu, waited = found.cpu, _waited(process.pid)
    for pid in islice(_below(process.pid, 1), MOST_PROCESSES):
        child = proc.stat(pid)
        cpu += child.cpu if child is not None else 0.0
        waited += _waited(pid)
    return Look(cpu, waited, found.state)


def _below(pid: int, depth: int) -> Iterator[int]:
    for child in proc.children(pid) if depth <= DEEPEST else ():
        yield child
        yield from _below(child, depth + 1)


def _some(path: Path) -> float:
    """Share of the last ten seconds in which some work waited; negative when the kernel does not tell."""
    try:
        for line in path.read_text().splitlines():
            kind, *figures = line.split()
            if kind == "some":
                values = dict(figure.split("=", 1) for figure in figures)
                return min(1.0, max(0.0, float(values["avg10"]) / 100))
    except (OSError, ValueError, KeyError):
        pass
    return -1.0


def _waited(pid: int) -> float:
    """Seconds its threads were ready to run and had no CPU: the second field of schedstat."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")[:MOST_THREADS]
    except OSError:
        return 0.0
    return sum(_of_thread(f"/proc/{pid}/task/{thread}/schedstat") for thread in threads)


def _of_thread(path: str) -> float:
    try:
        with open(path, "rb") as file:
            return int(file.read().split()[1]) / NANOSECONDS
    except (OSError, ValueError, IndexError):
        return 0.0
