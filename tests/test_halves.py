"""Is what both halves found told when their run is stopped, or when a test of one hangs?"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.ground import wait_for

ROOT = Path(__file__).parents[1]
SETTINGS = "[tool:pytest]\nmarkers =\n    e2e:\n    soak:\n    systemd:\n"
EXITS = "faulthandler_timeout = 1\nfaulthandler_exit_on_timeout = true\n"
TESTS = """
import pathlib, signal, pytest

def test_that_computes():
    pass

@pytest.mark.e2e
def test_that_waits():
    pass

{mark}
def test_that_hangs():
    pathlib.Path("hangs").touch()
    while True:
        signal.pause()
"""
OVER = """
import pathlib

def pytest_sessionfinish():
    pathlib.Path("over").touch()
"""
SHORT = "import sys; from tests import halves; halves.LONGEST = 20; sys.exit(halves.main(sys.argv[1:]))"
IN_EITHER = pytest.mark.parametrize("mark", ["", "@pytest.mark.e2e"])


@contextmanager
def halves(
    folder: Path, mark: str, more: str = "", program: Sequence[str] = ("-m", "tests.halves")
) -> Iterator["subprocess.Popen[str]"]:
    """Both halves, when one waits for its test that hangs and the other has told what it found."""
    (folder / "setup.cfg").write_text(SETTINGS + more)
    (folder / "test_it.py").write_text(TESTS.format(mark=mark))
    (folder / "conftest.py").write_text(OVER)
    command = [sys.executable, *program, "-v", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        wait_for(lambda: (folder / "over").exists() and (folder / "hangs").exists(), "the hang", 60)
        yield running


@IN_EITHER
def test_stopped(tmp_path: Path, mark: str) -> None:
    with halves(tmp_path, mark) as running:
        running.terminate()
        told, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert told.count(" PASSED ") == 2
    assert "KeyboardInterrupt" in told


def test_too_long(tmp_path: Path) -> None:
    with halves(tmp_path, "", program=("-c", SHORT)) as running:
        told, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert told.count(" PASSED ") == 2


@IN_EITHER
def test_hanging(tmp_path: Path, mark: str) -> None:
    with halves(tmp_path, mark, EXITS) as running:
        told, _ = running.communicate(timeout=60)
    assert running.returncode == 1
    assert told.count(" PASSED ") == 2
    assert "in test_that_hangs" in told


def test_the_terminal_stops_it(tmp_path: Path) -> None:
    with halves(tmp_path, "") as running:
        running.send_signal(signal.SIGINT)
        # As a terminal does, to all of its group.
        for child in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGINT)
        told, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert told.count(" PASSED ") == 2
