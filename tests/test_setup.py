"""Does the set-up of a checkout keep its promises where it can be tried without the network?"""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETUP = ROOT / "packaging/setup"


@pytest.fixture
def setup() -> Iterator[dict[str, ModuleType]]:
    """The scripts as they see each other: `packaging/setup` is their source root, for this test only."""
    sys.path.insert(0, str(SETUP))
    names = ("debian", "environment", "programs")
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(SETUP))
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    (tmp_path / "with space/.tools/bin").mkdir(parents=True)
    return tmp_path / "with space/.tools"


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def find_python(path: str) -> subprocess.CompletedProcess[str]:
    # The absolute candidates are hidden by running a copy in which they do not exist.
    script = (SETUP / "find-python").read_text().replace("/usr/", "/nowhere/")
    return subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": path}, text=True, capture_output=True, timeout=60, check=False
    )


def test_finds_a_new_python_on_the_path(tmp_path: Path) -> None:
    python = program(tmp_path, "python3", "exit 0")
    assert find_python(str(tmp_path)).stdout.strip() == str(python)


def test_refuses_an_old_python_and_says_what_to_do(tmp_path: Path) -> None:
    program(tmp_path, "python3", "exit 1")
    done = find_python(str(tmp_path))
    assert done.returncode == 1
    assert ">= 3.11" in done.stderr
    assert "install the package python3" in done.stderr


def test_a_wrapper_passes_words_and_libraries(setup: dict[str, ModuleType], tools: Path) -> None:
    binary = program(
        tools, "real program", 'echo "$LD_LIBRARY_PATH"; for word; do echo "[$word]"; done; exit 3'
    )
    setup["programs"]._wrap(tools, "real", binary, "/a b:/c")
    done = subprocess.run([tools / "bin/real", "x y", "$z"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["/a b:/c", "[x y]", "[$z]"]
    assert done.returncode == 3


def test_a_removed_program_is_noticed(setup: dict[str, ModuleType], tools: Path) -> None:
    programs = setup["programs"]
    binary = program(tools, "real", "exit 0")
    programs._wrap(tools, "real", binary, None)
    assert programs._wrapped_exist(tools)
    binary.unlink()
    assert not programs._wrapped_exist(tools)


@pytest.mark.parametrize(
    ("says", "fits"),
    [
        ("HAProxy version 2.6.12-1 2023", True),
        ("HAProxy version 3.0.1", True),
        ("HA-Proxy version 2.2.9", False),
    ],
)
def test_an_old_haproxy_is_not_taken(
    setup: dict[str, ModuleType], tools: Path, says: str, fits: bool
) -> None:
    programs = setup["programs"]
    assert programs._works(programs.PROGRAMS[0], program(tools, "haproxy", f"echo '{says}'"), None) is fits


def test_a_failed_step_shows_its_own_words(setup: dict[str, ModuleType]) -> None:
    debian = setup["debian"]
    with pytest.raises(debian.Failed, match=r"ended with 4:\n  no such package"):
        debian.run(["/bin/sh", "-c", "echo no such package >&2; exit 4"])
    with pytest.raises(debian.Failed, match="not found"):
        debian.run(["/nowhere/apt-get", "download"])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "requirements", copy / "requirements")
    shutil.copy(ROOT / "setup.cfg", copy)
    (copy / ".venv").mkdir()
    return copy


def test_the_environment_is_current_until_a_lock_or_script_changes(
    setup: dict[str, ModuleType], checkout: Path
) -> None:
    environment = setup["environment"]
    assert not environment.is_current(checkout)  # interrupted: no stamp was written
    (checkout / ".venv/stamp").write_text(environment._wanted(checkout))
    assert environment.is_current(checkout)
    with (checkout / "requirements/dev.txt").open("a") as lock:
        lock.write("# changed\n")
    assert not environment.is_current(checkout)
    (checkout / ".venv/stamp").write_text(environment._wanted(checkout))
    (checkout / "setup.cfg").write_text("[options.entry_points]\nconsole_scripts =\n    other = a.b:c\n")
    assert not environment.is_current(checkout)


def test_a_moved_or_broken_environment_is_made_anew(setup: dict[str, ModuleType], tmp_path: Path) -> None:
    is_usable = setup["environment"]._is_usable
    venv = tmp_path / "here" / ".venv"
    assert not is_usable(venv)
    base = Path(os.path.realpath(sys.executable))
    venv.joinpath("bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(base)
    (venv / "pyvenv.cfg").write_text(f"executable = {base}\ncommand = {base} -m venv {venv}\n")
    assert is_usable(venv)
    moved = (tmp_path / "here").rename(tmp_path / "there") / ".venv"
    assert not is_usable(moved)
    moved = (tmp_path / "there").rename(tmp_path / "here") / ".venv"
    (venv / "bin/python").unlink()
    assert not is_usable(moved)


def test_a_console_script_runs(setup: dict[str, ModuleType], tmp_path: Path) -> None:
    checkout = tmp_path / "a long path with spaces" / ("x" * 120)
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / "setup.cfg").write_text("[options.entry_points]\nconsole_scripts =\n    hello = hello:main\n")
    (checkout / ".venv/bin/python").symlink_to(sys.executable)
    (checkout / "hello.py").write_text("import sys\ndef main():\n    print(sys.argv[1:])\n    return 5\n")
    setup["environment"]._write_scripts(checkout, checkout / ".venv")
    env = {**os.environ, "PYTHONPATH": str(checkout)}
    script = [checkout / ".venv/bin/hello", "a b"]
    done = subprocess.run(script, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("['a b']\n", 5), done.stderr


def test_other_users_may_read_what_set_up_made() -> None:
    made = [ROOT / ".venv/bin/python", *(ROOT / ".tools/bin").iterdir(), ROOT / ".venv/lib"]
    assert [str(path) for path in made if path.stat().st_mode & 0o005 != 0o005] == []
