"""What does one measured process say, and what has it cost so far?"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.bench.fleet import cpu_seconds

LAST_WORDS = 2000


class Program:
    """A process whose standard input and output are lines; what it complains of is kept for when it fails."""

    def __init__(self, argv: Sequence[str], folder: Path, env: Mapping[str, str], complaints: Path) -> None:
        self._complaints = complaints
        with complaints.open("wb") as errors:
            self._process = subprocess.Popen(
                argv, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        self._said = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu(self) -> float:
        """Seconds of user and kernel time so far."""
        return cpu_seconds(self.pid)

    def resident(self, field: str = "VmRSS") -> int:
        """Bytes; "VmHWM" is the most there ever were."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"no {field} in /proc/{self.pid}/status")

    def tell(self, word: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(word.encode() + b"\n")
        self._process.stdin.flush()

    def expect(self, word: str, within: float) -> None:
        line = self.line(within)
        if line != word:
            raise RuntimeError(
                f"{self._process.args}: expected {word!r}, it said {line!r}\n{self.complaints()}"
            )

    def told(self, within: float = 30.0) -> dict[str, object]:
        """What it found; then it ends by itself."""
        self.tell("tell")
        found = json.loads(self.line(within))
        assert isinstance(found, dict)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within)
        return found

    def line(self, within: float) -> str:
        assert self._process.stdout
        until = time.monotonic() + within
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._said:
                if not ready.select(max(0.0, until - time.monotonic())):
                    raise TimeoutError(
                        f"{self._process.args} was silent for {within:.0f} s\n{self.complaints()}"
                    )
                part = os.read(self._process.stdout.fileno(), 65536)
                if not part:
                    raise RuntimeError(f"{self._process.args} has ended\n{self.complaints()}")
                self._said += part
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()

    def running(self) -> bool:
        return self._process.poll() is None

    def complaints(self) -> str:
        return self._complaints.read_bytes()[-LAST_WORDS:].decode(errors="replace")

    def end(self, within: float = 20.0) -> None:
        """SIGTERM, and SIGKILL when that does not help."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        if self.running():
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


def module(name: str, *words: str, profile: Path | None = None) -> list[str]:
    """The command of a Python program, all by the same interpreter; its profile is written where asked."""
    under = ["-m", "cProfile", "-o", str(profile)] if profile else []
    return [sys.executable, *under, "-m", name, *words]
