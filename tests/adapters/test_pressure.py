"""Is it seen what a silent program does, and whether its host hinders it?"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from noded.adapters import pressure, proc
from noded.model.instance import Process
from noded.ports import Look

BUSY = "while True: pass"
IDLE = "import time\nwhile True: time.sleep(60)"
WORKERS = "import os\nos.fork()\nos.fork()\n" + BUSY
SUSPENDED = "import threading\nheld = threading.Lock()\nheld.acquire()\nheld.acquire()"


@contextmanager
def running(source: str) -> Iterator[Process]:
    with subprocess.Popen([sys.executable, "-S", "-c", source], start_new_session=True) as program:
        try:
            yield Process(program.pid, proc.start_time(program.pid), os.geteuid())
        finally:
            os.killpg(program.pid, signal.SIGKILL)


def until(process: Process, wanted: Callable[[Look], object]) -> Look:
    deadline = time.monotonic() + 10
    while True:
        found = pressure.look(process)
        assert found is not None
        if wanted(found):
            return found
        assert time.monotonic() < deadline, f"waited in vain; it is {found}"
        time.sleep(0.01)


def test_a_busy_program_uses_cpu() -> None:
    with running(BUSY) as process:
        first = until(process, lambda seen: seen.state == "R")
        assert until(process, lambda seen: seen.cpu > first.cpu + 0.1).waited >= first.waited


@pytest.mark.parametrize("source", [IDLE, SUSPENDED], ids=["sleeps", "deadlock"])
def test_an_idle_program_uses_none(source: str) -> None:
    with running(source) as process:
        first = until(process, lambda seen: seen.state == "S")
        time.sleep(0.1)
        found = pressure.look(process)
        assert found is not None
        assert found.cpu - first.cpu < 0.05
        assert found.state == "S"


def test_a_stopped_program_is_seen_as_stopped() -> None:
    with running(BUSY) as process:
        os.kill(process.pid, signal.SIGSTOP)
        until(process, lambda seen: seen.state == "T")


def test_who_waits_for_a_cpu_is_seen_waiting() -> None:
    """More programs than CPUs, all on one of them."""
    cpu = min(os.sched_getaffinity(0))
    pinned = f"import os\nos.sched_setaffinity(0, [{cpu}])\n{BUSY}"
    with running(pinned) as one, running(pinned) as other:
        until(one, lambda seen: seen.waited > 0.1)
        until(other, lambda seen: seen.waited > 0.1)


def test_what_workers_do_counts_too() -> None:
    with running(WORKERS) as process:
        found = until(process, lambda seen: len(proc.children(process.pid)) == 2 and seen.cpu > 0.2)
        alone = proc.stat(process.pid)
        assert alone is not None
        assert found.cpu > 0
        until(process, lambda seen: (own := proc.stat(process.pid)) and seen.cpu > own.cpu + 0.1)


def test_another_process_with_the_same_number_is_not_looked_at() -> None:
    mine = proc.start_time(os.getpid())
    assert pressure.look(Process(os.getpid(), mine, 0)) is not None
    assert pressure.look(Process(os.getpid(), mine + 1, 0)) is None
    assert pressure.look(Process(2**22 + 1, 1, 0)) is None


FULL = (
    "some avg10=87.03 avg60=44.55 avg300=14.68 total=3590300003\nfull avg10=99.00 avg60=0 avg300=0 total=0\n"
)


def test_pressure_is_the_share_of_the_last_ten_seconds(tmp_path: Path) -> None:
    (tmp_path / "cpu").write_text(FULL)
    (tmp_path / "memory").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
    found = pressure.pressure(tmp_path)
    assert (found.cpu, found.memory, found.io) == (0.8703, 0.0, -1.0)


ODD = ["", "\n\n", "some\n", "some avg10\n", "some avg10=x\n", "full avg10=5.00\n", "some total=1\n", "\xff"]


@pytest.mark.parametrize("text", ODD)
def test_what_cannot_be_read_is_not_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "io").write_text(text, "latin-1")
    assert pressure.pressure(tmp_path).io == -1.0


@pytest.mark.parametrize(("told", "share"), [("-3", 0.0), ("250", 1.0)])
def test_a_share_is_a_share(tmp_path: Path, told: str, share: float) -> None:
    (tmp_path / "io").write_text(f"some avg10={told} avg60=0\n")
    assert pressure.pressure(tmp_path).io == share
