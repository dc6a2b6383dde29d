"""What does /proc say of one process?"""

import os
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Stat:
    """Fields of /proc/PID/stat, see proc(5)."""

    cpu: float
    """Seconds in user and kernel mode."""
    threads: int
    start_time: int
    rss: int
    state: str
    """The kernel's letter for the main thread: R, S, D, T, t, Z or X."""


def stat(pid: int) -> Stat | None:
    """None when there is no such process any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return told(file.read())
    except OSError:
        return None


def told(text: bytes) -> Stat:
    """What /proc/PID/stat says."""
    # The program's name is in brackets and may hold anything, brackets and spaces too.
    fields = text[text.rindex(b")") + 2 :].split(b" ", 22)
    cpu = (int(fields[11]) + int(fields[12])) / TICKS
    state = fields[0].decode("ascii", "replace")
    return Stat(cpu, int(fields[17]), int(fields[19]), int(fields[21]) * PAGE, state)


def start_time(pid: int) -> int:
    """Clock ticks after boot; 0 when the process is gone."""
    found = stat(pid)
    return found.start_time if found else 0


def open_files(pid: int) -> int:
    """Number of descriptors. Since Linux 6.2 the folder's size tells it to everybody; 0 when not told."""
    try:
        return os.stat(f"/proc/{pid}/fd").st_size
    except OSError:
        return 0


def children(pid: int) -> tuple[int, ...]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return tuple(map(int, file.read().split()))
    except OSError:
        return ()
