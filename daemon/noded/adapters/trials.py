"""What do a release's own tests say, run as they are for a candidate?

The worker that proves candidates runs them in its sandbox, started by the launcher in a cgroup of its own.
What it leaves is untrusted and read with limits.
"""

import asyncio
import json
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from noded.adapters.releases import FolderReleases
from noded.adapters.workshop import GRACE, MEMORY, PROCESSES, WORKER, Bench
from noded.launch import Launch, Ran
from noded.ports import Conflict, Processes, Refused

LONGEST = 600.0
"""Seconds, whatever the manifest allows."""
LARGEST_OUTCOME = 512 * 1024
KEPT_OUTPUT = 64 * 1024
LONGEST_DETAIL = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    version: str
    passed: bool
    output: str
    """The end of what the tests printed."""
    seconds: float
    detail: str
    """How they ended, or why they could not be run."""


class LauncherTrials:
    """One at a time for each node."""

    def __init__(self, bench: Bench, processes: Processes, releases: FolderReleases) -> None:
        self._bench = bench
        self._processes = processes
        self._releases = releases
        self._running: set[str] = set()

    async def run(self, node: str, digest: str) -> Outcome:
        """Raises NotFound without the release, Refused without tests, Conflict while they run."""
        spec = self._releases.spec(digest)
        if not spec.tests.command:
            raise Refused(f"{node} {spec.version} has no tests: tests.command in its node.toml is empty")
        if node in self._running:
            raise Conflict(f"the tests of {node} run already: wait for their end")
        self._running.add(node)
        folder = self._bench.evidence / f".tests-{node}"
        try:
            await asyncio.to_thread(self._prepare, folder)
            ran = await self._run(folder, digest)
            if ran.timed_out:
                late = f"they were ended after {ran.seconds:.0f} s"
                return Outcome(spec.version, False, "", ran.seconds, late)
            return await asyncio.to_thread(_outcome, folder / "outcome", spec.version, ran)
        finally:
            self._running.discard(node)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _prepare(self, folder: Path) -> None:
        # what an earlier noded left
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o750, parents=True)
        host = {"python": self._bench.python, "env": dict(self._bench.node_env)}
        (folder / "host.json").write_text(json.dumps(host), "utf-8")

    async def _run(self, folder: Path, digest: str) -> Ran:
        launch = Launch(
            node=WORKER,
            instance="",
            argv=(
                *(*self._bench.argv, "--test-only", "--node", str(self._releases.path(digest))),
                *("--host", str(folder / "host.json"), "--out", str(folder / "outcome")),
                *("--budget", f"{LONGEST:g}"),
            ),
            cwd=str(folder),
            env=self._bench.env,
            user=self._bench.user,
            memory=MEMORY,
            pids=PROCESSES,
            data=False,
        )
        return await self._processes.run(launch, LONGEST + GRACE)


def _outcome(path: Path, version: str, ran: Ran) -> Outcome:
    try:
        # The worker owns the folder: a link or pipe in its place is not followed or waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        said = (ran.output.strip().splitlines() or ["it printed nothing"])[-1]
        why = f"they could not be run ({ran.status}): {_plain(said)}"
        return Outcome(version, False, "", ran.seconds, why)
    try:
        found = _content(handle)
    finally:
        os.close(handle)
    if not isinstance(found, Mapping):
        why = "what was left of the run is not what a worker leaves"
        return Outcome(version, False, "", ran.seconds, why)
    output = found.get("output")
    return Outcome(
        version=version,
        passed=found.get("passed") is True and ran.status == "code 0",
        output=_plain(output, KEPT_OUTPUT) if isinstance(output, str) else "",
        seconds=ran.seconds,
        detail=_plain(str(found.get("detail", ""))),
    )


def _content(handle: int) -> object:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        return None
    with open(handle, "rb", closefd=False) as file:
        raw = file.read(LARGEST_OUTCOME + 1)
    try:
        return json.loads(raw) if len(raw) <= LARGEST_OUTCOME else None
    except (ValueError, RecursionError):
        return None


def _plain(text: str, most: int = LONGEST_DETAIL) -> str:
    kept = text if len(text) <= most else text[-most:]
    return "".join(letter for letter in kept if letter.isprintable() or letter in "\n\t")
