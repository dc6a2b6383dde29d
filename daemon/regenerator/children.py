"""How is a command of a node run so that it can neither outlast, outgrow nor outshout the worker?"""

import asyncio
import contextlib
import os
import re
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from regenerator.processes import family, kill_family, resident

WATCH_SECONDS = 0.05
MAX_PROCESSES = 128
MAX_OUTPUT = 8 << 20
MAX_MEMORY = 2 << 30
MAX_SHARED = 16 << 20
KEPT_OUTPUT = 16 << 10
UNPRINTABLE = re.compile(r"[^\x20-\x7e\n]+")


@dataclass(slots=True)
class Child:
    """A running command. `ended_by` says which limit killed it, empty when it ended by itself."""

    process: asyncio.subprocess.Process
    shared: Path
    memory: int
    kept: int = KEPT_OUTPUT
    """Bytes of the end of what it printed."""
    tail: bytearray = field(default_factory=bytearray)
    printed: int = 0
    ended_by: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def ended(self) -> str:
        """How it ended, empty while it runs."""
        code = self.process.returncode
        return self.ended_by or ("" if code is None else f"exit code {code}")

    @property
    def resident(self) -> int:
        return resident(family(self.pid))

    @property
    def output(self) -> str:
        """The end of what it printed, printable characters only: data, never read for a verdict."""
        return UNPRINTABLE.sub("?", self.tail.decode("utf-8", "replace"))

    @property
    def last_line(self) -> str:
        return next((line.strip()[:200] for line in reversed(self.output.splitlines()) if line.strip()), "")

    def kill(self, reason: str = "") -> None:
        self.ended_by = self.ended_by or reason
        if self.process.returncode is None:
            kill_family(self.pid)

    def exceeded(self) -> str:
        # One look at its processes for both limits: between two, a fork bomb passes from one to the other.
        own = family(self.pid)
        if max(len(own), len(family(os.getpid()))) > MAX_PROCESSES:  # also those that left their parent
            return f"more than {MAX_PROCESSES} processes"
        if resident(own) > self.memory:
            return f"more than {self.memory >> 20} MiB of memory"
        if self.printed > MAX_OUTPUT:
            return f"more than {MAX_OUTPUT >> 20} MiB of output"
        return f"more than {MAX_SHARED >> 20} MiB written" if _size(self.shared) > MAX_SHARED else ""


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    ended_by: str
    seconds: float
    output: str
    last_line: str

    @property
    def ok(self) -> bool:
        return self.code == 0 and not self.ended_by

    @property
    def fault(self) -> str:
        what = self.ended_by or f"exit code {self.code}"
        return f"{what}: {self.last_line}" if self.last_line else what


async def run(
    words: list[str], env: dict[str, str], cwd: Path, shared: Path, seconds: float, kept: int = KEPT_OUTPUT
) -> Ran:
    """Ends the command and all it started when the time is over."""
    started = time.monotonic()
    async with child(words, env, cwd, shared, kept=kept) as running:
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await running.process.wait()
        except TimeoutError:
            running.kill(f"time limit of {seconds:.1f} s")
    code = running.process.returncode
    elapsed = time.monotonic() - started
    return Ran(-1 if code is None else code, running.ended_by, elapsed, running.output, running.last_line)


@contextlib.asynccontextmanager
async def child(
    words: list[str],
    env: dict[str, str],
    cwd: Path,
    shared: Path,
    memory: int = MAX_MEMORY,
    kept: int = KEPT_OUTPUT,
) -> AsyncIterator[Child]:
    """The command runs inside the block; at its end nothing of it is left, not even after a cancellation."""
    process = await asyncio.create_subprocess_exec(
        *_limits(),
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )
    running = Child(process, shared, memory, kept)
    async with asyncio.TaskGroup() as tasks:
        drain = tasks.create_task(_drain(running))
        watch = tasks.create_task(_watch(running))
        try:
            yield running
        finally:
            running.kill()
            watch.cancel()
            await asyncio.shield(_gone(running, drain))


async def _gone(running: Child, drain: asyncio.Task[None]) -> None:
    await running.process.wait()
    _, late = await asyncio.wait([drain], timeout=1.0)
    for task in late:  # a process that left the family still holds the pipe
        task.cancel()


async def _drain(running: Child) -> None:
    stream = running.process.stdout
    assert stream is not None
    while chunk := await stream.read(1 << 16):
        running.printed += len(chunk)
        running.tail += chunk
        del running.tail[: -running.kept]
        if running.printed > MAX_OUTPUT:
            running.kill(running.exceeded())


async def _watch(running: Child) -> None:
    while running.process.returncode is None:
        reason = running.exceeded()
        if reason:
            running.kill(reason)
            return
        await asyncio.sleep(WATCH_SECONDS)


def _limits() -> list[str]:
    """Second line behind the watch. The kernel counts processes per user, so they stay with the watch."""
    words = []
    setpriv, prlimit = shutil.which("setpriv"), shutil.which("prlimit")
    if setpriv:
        words += [setpriv, "--pdeathsig", "KILL", "--no-new-privs", "--"]
    if prlimit:
        words += [prlimit, "--core=0", f"--fsize={256 << 20}", "--nofile=1024", f"--as={16 << 30}", "--"]
    return words


def _size(folder: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size
    return total
