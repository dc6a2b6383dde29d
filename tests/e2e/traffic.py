"""How do requests fare while something happens? A load process of one port, and its tally."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.ground import ROOT, wait_for


class Traffic:
    """`with Traffic(out, port) as traffic:` requests flow inside the block and are all counted after it."""

    def __init__(
        self, out: Path, port: int, rate: float = 50.0, *, clients: int = 16, method: str = "GET"
    ) -> None:
        self._out = out
        self._command = [sys.executable, "-m", "tests.e2e.load", "--port", str(port), "--rate", str(rate)]
        self._command += ["--out", str(out), "--clients", str(clients), "--method", method]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(self._command, cwd=ROOT, env=environment)
        self.goes_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def tally(self) -> dict[str, Any]:
        lines = self._lines()
        told: dict[str, Any] = json.loads(lines[-1]) if lines else {"at": 0.0, "total": 0, "failed": 0}
        return told

    def goes_on(self) -> dict[str, Any]:
        """The tally once requests that were sent after this call are in it."""
        now = time.time()
        wait_for(lambda: self.tally()["at"] > now + 0.5 and self.tally()["total"], "requests", 20)
        return self.tally()

    def faults(self) -> list[str]:
        return [fault for line in self._lines() for fault in json.loads(line)["faults"]]

    def _lines(self) -> list[str]:
        """Whole ones."""
        if not self._out.exists():
            return []
        return self._out.read_text().rpartition("\n")[0].splitlines()
