"""What does a host for tests need around its programs: an interpreter, readable code?"""

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def inline(table: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{name} = {json.dumps(text)}" for name, text in table.items()) + " }"


@cache
def reachable_programs() -> Path:
    """Where the programs' code is for noded's user: the checkout, or one copy when it cannot go in there."""
    if os.geteuid() != 0 or (open_to_all(ROOT) and open_to_all((ROOT / ".venv/bin/python").resolve())):
        return ROOT
    copy = Path(tempfile.mkdtemp(prefix="ndp-", dir="/tmp"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    for name in ("daemon", "proto", "nodes"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    site = next((ROOT / ".venv/lib").glob("python3*/site-packages"))
    shutil.copytree(site, copy / "site", ignore=shutil.ignore_patterns("__pycache__", "*.pth"))
    copy_tools(copy)
    readable(copy)
    return copy


def copy_tools(copy: Path) -> None:
    """What starts a tool names the folder it was unpacked in."""
    shutil.copytree(ROOT / ".tools", copy / ".tools", symlinks=True)
    for starter in (copy / ".tools/bin").iterdir():
        if starter.is_file() and not starter.is_symlink():
            starter.write_bytes(starter.read_bytes().replace(bytes(ROOT), bytes(copy)))


def paths(programs: Path) -> tuple[Path, ...]:
    roots = tuple(programs / name for name in ("daemon", "proto", "nodes"))
    return roots if programs == ROOT else (*roots, programs / "site")


def node_python() -> str:
    """An interpreter that every user of the machine can start."""
    for path in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if os.path.exists(path):
            wanted = "import sys; sys.exit(sys.version_info < (3, 11))"
            if subprocess.run([path, "-c", wanted], check=False).returncode == 0:
                return path
    return os.path.realpath(sys.executable)


def program(name: str, programs: Path = ROOT) -> Path:
    found = programs / ".tools/bin" / name
    if found.exists():
        return found
    installed = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if installed is None:
        raise RuntimeError(f"no {name}: run make setup")
    return Path(installed)


def open_to_all(path: Path) -> bool:
    """Every user can go into this folder or read this file."""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def readable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def wait_for(condition: Callable[[], object], what: str, timeout: float = 20.0, step: float = 0.05) -> object:
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {timeout:.0f} s")
        time.sleep(step)
