"""Is a real process read as the kernel has it, and one that is gone as nothing?"""

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from noded.adapters import proc

GONE = 2**22 + 1
"""Above the largest pid there can be."""


@contextmanager
def child(program: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has said "ready"."""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as made:
        assert made.stdout is not None
        assert made.stdout.readline() == "ready\n"
        yield made
        made.kill()


def test_ourselves() -> None:
    found = proc.stat(os.getpid())
    assert found is not None
    assert found.rss > 1_000_000
    assert found.threads == threading.active_count() or found.threads >= 1
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - found.start_time / proc.TICKS
    assert 0 < age < 24 * 3600
    assert proc.start_time(os.getpid()) == found.start_time


def test_used_time_grows() -> None:
    before = proc.stat(os.getpid())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        now = proc.stat(os.getpid())
        assert before is not None
        assert now is not None
        if now.cpu > before.cpu:
            return
    raise AssertionError("no processor time was counted")


def test_a_process_that_is_gone() -> None:
    assert proc.stat(GONE) is None
    assert proc.start_time(GONE) == 0
    assert proc.open_files(GONE) == 0
    assert proc.children(GONE) == ()


NAMES = [b") R 1 1 1", b"a b", b"((", b"x\ny)"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_cannot_pass_for_fields(name: bytes) -> None:
    before = proc.start_time(threading.get_native_id()) or proc.start_time(os.getpid())
    libc = ctypes.CDLL(None)
    held = Path("/proc/self/comm").read_bytes().strip()
    try:
        libc.prctl(15, name, 0, 0, 0)  # PR_SET_NAME
        found = proc.stat(os.getpid())
    finally:
        libc.prctl(15, held, 0, 0, 0)
    assert found is not None
    assert found.start_time == before


def test_open_files_and_children() -> None:
    with child(
        "import os, sys\n"
        "files = [open('/dev/null') for _ in range(40)]\n"
        "pid = os.fork()\n"
        "if not pid: os.read(0, 1); os._exit(0)\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    ) as made:
        release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
        if release >= (6, 2):
            assert 40 <= proc.open_files(made.pid) < 60
        (inner,) = proc.children(made.pid)
        assert proc.stat(inner) is not None
        os.kill(inner, 9)


def test_a_zombie_is_still_itself() -> None:
    with child("print('ready', flush=True); input()") as made:
        began = proc.start_time(made.pid)
        made.kill()
        os.waitid(os.P_PID, made.pid, os.WEXITED | os.WNOWAIT)
        found = proc.stat(made.pid)
        assert found is not None
        assert (found.start_time, found.rss) == (began, 0)
