"""How do the tests run the worker, and how do they see that nothing of it is left?"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from nodespec.release import digest_of_tree

ROOT = Path(__file__).parents[2]
LEAKY = ROOT / "tests/regenerator/nodes/leaky"
BWRAP = shutil.which("bwrap", path=f"{ROOT}/.tools/bin{os.pathsep}{os.environ.get('PATH', '')}") or ""
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
needs_bwrap = pytest.mark.skipif(not BWRAP, reason="bubblewrap is not there: make setup unpacks it")


@dataclass(frozen=True)
class Bench:
    """A copy of the leaky node to be changed, and the worker's command line on it."""

    folder: Path
    node: Path
    out: Path

    def change(self, path: str, old: str, new: str) -> None:
        file = self.node / path
        text = file.read_text()
        assert old in text, f"{path} has no {old!r}"
        file.write_text(text.replace(old, new))

    def lock(self) -> None:
        """As releases lie on disk: nobody may write."""
        for path in [*self.node.rglob("*"), self.node]:
            path.chmod(0o555 if path.is_dir() else 0o444)

    def incident(self, **given: Any) -> Path:
        lines = (self.node / "leaky/pages.py").read_text().splitlines()
        line = 1 + next(number for number, text in enumerate(lines) if '"p" * 4000' in text)
        told = {
            "node": "leaky",
            "incident": "leaky-1",
            "signature": "memory-growth",
            "parent": {"version": "1.0.0", "digest": digest_of_tree(self.node)},
            "next_version": "1.0.0+heal.1",
            "slope": 1e6,
            "limit": 16 << 20,
            "sites": [{"file": "leaky/pages.py", "line": line, "bytes": 4_100_000, "count": 1000}],
            "python": SYSTEM_PYTHON,
        }
        path = self.folder / "incident.json"
        path.write_text(json.dumps(told | given))
        path.chmod(0o644)
        return path

    def words(self, incident: Path, budget: float = 60.0) -> list[str]:
        return [
            *(sys.executable, "-m", "regenerator", "--node", str(self.node)),
            *("--incident", str(incident), "--out", str(self.out), "--budget", str(budget)),
        ]

    def env(self, **given: str) -> dict[str, str]:
        roots = os.pathsep.join(str(ROOT / name) for name in ("daemon", "proto", "nodes"))
        own = {"PYTHONPATH": roots, "NODED_BWRAP": BWRAP, "SECRET": "s3cret", "PYTHONDONTWRITEBYTECODE": "1"}
        return os.environ | own | given

    def run(
        self, incident: Path | None = None, *, budget: float = 60.0, before: tuple[str, ...] = (), **env: str
    ) -> subprocess.CompletedProcess[str]:
        words = [*before, *self.words(incident or self.incident(), budget)]
        return subprocess.run(
            words, env=self.env(**env), capture_output=True, text=True, timeout=budget + 30, check=False
        )

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.out / "report.json").read_text())
        return report

    def failed_gate(self) -> dict[str, Any]:
        [failed] = [gate for gate in self.report()["gates"] if not gate["passed"]]
        assert isinstance(failed, dict)
        return failed


@contextmanager
def bench() -> Iterator[Bench]:
    """Outside pytest's own folder, which another user may not enter."""
    folder = Path(mkdtemp(dir="/tmp", prefix="nd"))
    folder.chmod(0o755)
    try:
        shutil.copytree(LEAKY, folder / "node")
        yield Bench(folder, folder / "node", folder / "out")
    finally:
        for inner in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            inner.chmod(0o755)
        shutil.rmtree(folder)


@contextmanager
def running(place: Bench, incident: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(place.words(incident), env=place.env(**env), stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert process.stderr
        process.stderr.close()


def wait_for(condition: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)


def processes_with(mark: str) -> list[int]:
    """Processes whose environment or command line holds the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark.encode() in text:
                found.append(int(entry.name))
    return found


def program(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
