"""Is a state folder used by one noded at a time?"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from noded.adapters import state_lock
from noded.ports import Conflict, Refused

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from noded.adapters import state_lock
state_lock.take(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        env={"PYTHONPATH": f"{ROOT / 'daemon'}", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other


def test_it_is_held_with_its_pid(tmp_path: Path) -> None:
    path = tmp_path / "state/lock"
    handle = state_lock.take(path)
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(handle)
    os.close(handle)


def test_a_second_one_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as other:
        text = rf"cannot use {tmp_path}: another noded \(pid {other.pid}\) works there: stop it, or set"
        with pytest.raises(Conflict, match=text):
            state_lock.take(path)
        assert path.read_text() == f"{other.pid}\n"


def test_it_ends_with_its_holder_however_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as other:
        other.kill()
    os.close(state_lock.take(path))
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_long_text_of_an_earlier_holder_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("1234567890123\n")
    os.close(state_lock.take(path))
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_holder_that_wrote_nothing_yet_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path):
        path.write_text("")
        with pytest.raises(Conflict, match=r"pid unknown"):
            state_lock.take(path)


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=rf"cannot use {tmp_path}/file: (File exists|Not a directory)"):
        state_lock.take(tmp_path / "file/lock")
    (tmp_path / "lock").mkdir()
    with pytest.raises(Refused, match=rf"cannot use {tmp_path}: Is a directory"):
        state_lock.take(tmp_path / "lock")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Refused, match="Permission denied"):
        state_lock.take(tmp_path / "state/lock")
