"""Is a state folder held by one, and is every life of the mesh a later one?"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nodemesh.adapters import state_folder
from nodemesh.ports import Refused


def test_every_start_is_a_later_one_even_within_a_second_and_with_a_clock_set_back(tmp_path: Path) -> None:
    first = state_folder.next_generation(tmp_path)
    assert abs(first - time.time()) < 5
    assert state_folder.next_generation(tmp_path) == first + 1
    (tmp_path / "generation").write_text(f"{first + 100_000}\n")
    assert state_folder.next_generation(tmp_path) == first + 100_001


def test_a_damaged_note_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "generation").write_text("nonsense")
    assert abs(state_folder.next_generation(tmp_path) - time.time()) < 5


def test_a_folder_that_is_held_names_its_holder(tmp_path: Path) -> None:
    held = "import sys, time; from pathlib import Path; from nodemesh.adapters import state_folder as s;"
    held += " s.take(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen(
        [sys.executable, "-c", held, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(Refused, match=f"pid {holder.pid}"):
            state_folder.take(tmp_path)
    finally:
        holder.kill()
        holder.wait()
