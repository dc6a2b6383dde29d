"""What do a child and everything it started cost right now, seen from outside?

Reads /proc; a process that is gone counts nothing.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
PAGE = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> list[int]:
    """The process and all its descendants, parents first."""
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting.extend(_children(current))
        if len(found) > 10_000:
            break
    return found


def resident(pids: Iterable[int]) -> int:
    """Bytes of resident memory, shared pages counted in each process."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE
    return total


def kill_family(pid: int) -> None:
    """All are stopped first, parents before children, so that none can start more meanwhile."""
    stopped: set[int] = set()
    while fresh := [member for member in family(pid) if member not in stopped]:
        _signal(fresh, signal.SIGSTOP)
        stopped.update(fresh)
    _signal(stopped, signal.SIGKILL)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def adopt_strays() -> None:
    """Processes that leave their parent become this one's children, so that none hides from `end_strays`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def end_strays() -> None:
    """Only while no child of the worker is meant to run."""
    while strays := [pid for pid in _children(os.getpid()) if not _reaped(pid)]:
        for pid in strays:
            kill_family(pid)
        time.sleep(0.005)


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _children(pid: int) -> list[int]:
    """Children of every thread. The kernel file exists on Debian's kernels (CONFIG_PROC_CHILDREN)."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found.extend(
                    int(word) for word in Path(f"/proc/{pid}/task/{task}/children").read_text("ascii").split()
                )
    return found
