"""How do others keep the same program running? supervisord and runit from Debian, with their own defaults.

Their packages are unpacked into `.tools/root`, as `make setup` does it; nothing is installed.
"""

import importlib
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from tests.bench.client import pid_at
from tests.e2e.ground import ROOT

PACKAGES = {
    "runit": "usr/bin/runsv",
    "supervisor": "usr/lib/python3/dist-packages/supervisor/supervisord.py",
}
LIBRARIES = "usr/lib/python3/dist-packages"
PYTHON = "/usr/bin/python3"


def provide(tools: Path = ROOT / ".tools") -> Path:
    """The folder that holds both; downloads what is not there."""
    root = tools / "root"
    for package, member in PACKAGES.items():
        if not (root / member).exists():
            _debian().unpack(package, tools)
    asked = [PYTHON, "-c", "import pkg_resources"]
    if subprocess.run(asked, env=_paths(root), capture_output=True, check=False).returncode:
        _debian().unpack("python3-pkg-resources", tools)
    return root


def _debian() -> ModuleType:
    sys.path.append(str(ROOT / "packaging/setup"))
    return importlib.import_module("debian")


def _paths(root: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root / LIBRARIES)}


class Peer:
    """One supervisor that keeps one program."""

    def __init__(self, port: int, command: list[str], env: Mapping[str, str]) -> None:
        self.port = port
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
        )

    def await_ready(self) -> None:
        pid_at(self.port)

    def stop(self) -> None:
        """Ends what it keeps too."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


def supervisord(root: Path, folder: Path, port: int, argv: list[str], env: Mapping[str, str]) -> Peer:
    folder.mkdir(parents=True)
    given = ",".join(f'{name}="{value}"' for name, value in env.items())
    (folder / "supervisord.conf").write_text(
        f"[supervisord]\nnodaemon=true\nlogfile={folder}/log\npidfile={folder}/pid\nchildlogdir={folder}\n"
        f"[program:subject]\ncommand={' '.join(argv)}\nenvironment={given}\n"
    )
    command = [PYTHON, "-m", "supervisor.supervisord", "-c", str(folder / "supervisord.conf")]
    return Peer(port, command, _paths(root))


def runit(root: Path, folder: Path, port: int, argv: list[str], env: Mapping[str, str]) -> Peer:
    (folder / "subject").mkdir(parents=True)
    run = folder / "subject/run"
    given = "".join(f"{name}='{value}' " for name, value in env.items())
    run.write_text(f"#!/bin/sh\nexec env {given}{' '.join(argv)}\n")
    run.chmod(0o755)
    return Peer(port, [str(root / PACKAGES["runit"]), str(folder / "subject")], _paths(root))


def bare(argv: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Only fork and exec."""
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
    )


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(10)
