"""A user without rights has a host of its own: `unprivileged.py` run as somebody else, from a checkout."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.background import Story
from tests.e2e.ground import ROOT, copy_tools, open_to_all, readable

SOMEBODY = 64102
LONGEST = 200.0


class Rightless(Story):
    printed = ""

    def __init__(self) -> None:
        super().__init__()
        self._scratch = Path(tempfile.mkdtemp(prefix="ndr-", dir="/tmp"))
        self._process: subprocess.Popen[str] | None = None

    @property
    def uid(self) -> int:
        return SOMEBODY if os.geteuid() == 0 else os.geteuid()

    def tell(self) -> None:
        checkout = self._checkout()
        home = self._scratch / "home"
        home.mkdir()
        self._scratch.chmod(0o755)
        drop = {}
        if os.geteuid() == 0:
            os.chown(home, SOMEBODY, SOMEBODY)
            drop = {"user": SOMEBODY, "group": SOMEBODY, "extra_groups": []}
        own = {"PYTHONPATH": str(checkout), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            [str(python(checkout)), "-m", "tests.e2e.unprivileged"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=checkout,
            env={**os.environ, **own},
            # Ctrl-C is for the tests: they end this one by SIGTERM.
            start_new_session=True,
            **drop,
        )
        self.printed, errors = self._process.communicate(timeout=LONGEST)
        if self._process.returncode != 0:
            raise RuntimeError(errors[-6000:])

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _checkout(self) -> Path:
        """The checkout, or a copy of what is needed when others may not go in there."""
        if os.geteuid() != 0 or (open_to_all(ROOT) and open_to_all(python(ROOT).resolve())):
            return ROOT
        copy = self._scratch / "checkout"
        for name in ("daemon", "proto", "nodes", "tests/e2e", ".venv"):
            skip = shutil.ignore_patterns("__pycache__", ".pytest_cache")
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=skip)
        shutil.copy(ROOT / "tests/ports.py", copy / "tests")
        copy_tools(copy)
        readable(copy)
        return copy


def python(checkout: Path) -> Path:
    own = checkout / ".venv/bin/python"
    return own if own.exists() else Path(sys.executable)
