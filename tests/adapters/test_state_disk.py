"""Is a full disk seen in time, and the ballast given up and taken back when it should?"""

import subprocess
import sys
from pathlib import Path

import pytest

from noded.adapters.aside import kept_aside, put_aside
from noded.adapters.state_disk import MIB, StateDisk, free_bytes
from tests.mounts import needs_mounts, on_a_small_disk

STORY = """
import sys
from pathlib import Path
from noded.adapters.state_disk import MIB, StateDisk
folder = Path(sys.argv[1])
ballast = folder / "ballast"
disk = StateDisk(ballast, 2 * MIB)
assert disk.lacking() == "" and ballast.stat().st_blocks * 512 == 2 * MIB
with (folder / "filler").open("wb") as filler:
    filler.write(bytes(6 * MIB - 100_000))
told = disk.lacking()
assert "MiB free; 3 MiB are wanted" in told, told
assert not ballast.exists(), "it is given up"
(folder / "journal").write_bytes(bytes(MIB))
assert disk.lacking(), "it does not come back while that would fill the disk"
(folder / "journal").unlink()
assert disk.lacking()
assert StateDisk(ballast, 2 * MIB).lacking(), "nor for the next noded"
(folder / "filler").unlink()
assert disk.lacking() == "" and ballast.exists()
assert disk.give_up() and not disk.give_up(), "only once there is something to give"
print("told")
"""


@needs_mounts
def test_the_ballast_goes_first_and_comes_back_last(tmp_path: Path) -> None:
    assert on_a_small_disk(tmp_path, "8m", [sys.executable, "-c", STORY, str(tmp_path)]) == "told\n"


def test_with_room_nothing_is_lacking(tmp_path: Path) -> None:
    disk = StateDisk(tmp_path / "ballast", 1)
    assert disk.lacking() == ""
    assert (tmp_path / "ballast").stat().st_size == MIB, "at least so much"
    assert free_bytes(tmp_path) > MIB


def test_a_ballast_that_somebody_cut_is_whole_again(tmp_path: Path) -> None:
    disk = StateDisk(tmp_path / "ballast", MIB)
    disk.lacking()
    (tmp_path / "ballast").write_bytes(b"cut")
    assert disk.lacking() == ""
    assert (tmp_path / "ballast").stat().st_size == MIB


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    assert "cannot be looked at" in StateDisk(tmp_path / "gone/ballast", MIB).lacking()


@pytest.mark.skipif(sys.platform != "linux", reason="needs setrlimit")
def test_a_ballast_that_cannot_be_made_is_lacking(tmp_path: Path) -> None:
    made = (
        "import resource, signal, sys; from pathlib import Path; from noded.adapters.state_disk import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "print(StateDisk(Path(sys.argv[1]), MIB).lacking())"
    )
    done = subprocess.run(
        [sys.executable, "-c", made, str(tmp_path / "ballast")], capture_output=True, text=True, timeout=60
    )
    assert "are wanted" in done.stdout, done.stderr
    assert not (tmp_path / "ballast").exists()


def test_what_is_put_aside_takes_what_belongs_to_it_along(tmp_path: Path) -> None:
    base = tmp_path / "journal.db"
    for name in ("journal.db", "journal.db-wal", "journal.db-shm", "other.db"):
        (tmp_path / name).write_text(name)
    aside = put_aside(base)
    assert aside.read_text() == "journal.db"
    assert aside.with_name(aside.name + "-wal").read_text() == "journal.db-wal"
    assert not base.exists() and not base.with_name("journal.db-wal").exists()
    assert list(kept_aside((tmp_path, tmp_path / "gone"))) == [aside]
    base.write_text("next")
    assert put_aside(base, copy=True) and base.read_text() == "next"
