"""How is a node's next version made without noded doing the work?

The worker is a program of its own, started by the launcher in its own cgroup. It gets a folder
with the evidence and leaves a report and perhaps a tree; both are untrusted and read with limits.
"""

import asyncio
import contextlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from noded.adapters import schema_texts
from noded.adapters.masking import Masking
from noded.adapters.processes import LauncherProcesses
from noded.adapters.releases import FolderReleases
from noded.launch import Launch
from noded.model.actions import Regenerate
from noded.model.incident import Gate, Report
from noded.model.inputs import CandidateProposed, RegenerationFailed
from noded.model.release import Release
from noded.ports import Clock, Inbox, PortError, Unavailable

WORKER = "noded-regenerate"
BUDGET = 180.0
GRACE = 15.0
LARGEST_REPORT = 1024 * 1024
LONGEST_TEXT = 4000
MEMORY = 1024 * 1024 * 1024
PROCESSES = 256


@dataclass(frozen=True, slots=True)
class Bench:
    """How the worker is run here."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    node_env: tuple[tuple[str, str], ...]
    python: str
    user: str
    evidence: Path


class LauncherWorkshop:
    def __init__(
        self,
        bench: Bench,
        processes: LauncherProcesses,
        releases: FolderReleases,
        inbox: Inbox,
        clock: Clock,
        group: asyncio.TaskGroup,
    ) -> None:
        self._bench = bench
        self._processes = processes
        self._releases = releases
        self._inbox = inbox
        self._clock = clock
        self._group = group
        self._numbers: dict[str, str] = {}

    async def begin(self, order: Regenerate) -> None:
        try:
            folder, out = await asyncio.to_thread(self._prepare, order)
        except OSError as error:
            what = f"cannot keep the evidence of {order.incident}"
            raise Unavailable(f"{what} in {self._bench.evidence}: {error.strerror}") from error
        name = f"{WORKER}.{int(self._clock.now() * 10) % 1_000_000_000}"
        launch = Launch(
            node=WORKER,
            instance=name,
            argv=(
                *self._bench.argv,
                *("--node", str(self._releases.path(order.digest))),
                *("--incident", str(folder / "incident.json")),
                *("--out", str(out)),
                *("--budget", f"{BUDGET:g}"),
            ),
            cwd=str(folder),
            env=self._bench.env,
            user=self._bench.user,
            memory=MEMORY,
            pids=PROCESSES,
            data=False,
        )
        process, _ = await self._processes.start(launch)
        self._numbers[order.incident] = name
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._processes.wait(name, process, ended.set_result)
        self._group.create_task(self._await(order, name, out, ended))

    async def cancel(self, incident: str) -> None:
        name = self._numbers.get(incident)
        if name is not None:
            await self._processes.kill(name)

    def _prepare(self, order: Regenerate) -> tuple[Path, Path]:
        folder = self._bench.evidence / order.incident
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        (folder / "incident.json").write_text(json.dumps(self._incident(order), indent=1))
        number = 1 + sum(1 for _ in folder.glob("attempt-*"))
        return folder, folder / f"attempt-{number}"

    def _incident(self, order: Regenerate) -> Mapping[str, object]:
        return {
            "node": order.node,
            "incident": order.incident,
            "signature": order.signature,
            "parent": {"version": order.version, "digest": order.digest},
            "next_version": order.next_version,
            "slope": order.slope,
            "limit": order.limit,
            "sites": [asdict(site) for site in order.sites],
            "caches": [],
            "rungs": [
                {"rung": rung, "verdict": verdict}
                for rung, _, verdict in (t.partition(": ") for t in order.tried)
            ],
            "env": dict(self._bench.node_env),
            "python": self._bench.python,
        }

    async def _await(self, order: Regenerate, name: str, out: Path, ended: asyncio.Future[str]) -> None:
        try:
            async with asyncio.timeout(BUDGET + GRACE):
                status = await asyncio.shield(ended)
            report = await asyncio.to_thread(_read_report, out)
            if report is None:
                raise ValueError(f"the worker left no report ({status}): see its log {WORKER}/{name}.log")
            if report.verdict != "candidate":
                self._failed(order, report)
            else:
                await self._propose(order, report, out)
        except TimeoutError:
            self._failed(order, Report("failed", f"the worker took longer than {BUDGET + GRACE:.0f} s"))
        except (PortError, ValueError, OSError) as error:
            self._failed(order, Report("failed", str(error)[:LONGEST_TEXT]))
        finally:
            self._numbers.pop(order.incident, None)
            with contextlib.suppress(PortError):
                await self._processes.remove(name)

    async def _propose(self, order: Regenerate, report: Report, out: Path) -> None:
        digest, spec = await self._releases.add_tree(out / "release")
        if (spec.name, spec.version) != (order.node, order.next_version):
            raise ValueError(
                f"the worker made {spec.name} {spec.version}, not {order.node} {order.next_version}"
            )
        folders = self._releases.path(order.digest), self._releases.path(digest)
        changed = await asyncio.to_thread(schema_texts.changed, *folders, spec)
        if changed:
            raise ValueError(f"the worker changed the contract {changed}: that is for a person")
        release = Release(order.node, spec.version, digest, f"incident {order.incident}")
        now = self._clock.now()
        self._inbox.put(CandidateProposed(now, order.node, order.incident, spec, release, report))

    def _failed(self, order: Regenerate, report: Report) -> None:
        self._inbox.put(RegenerationFailed(self._clock.now(), order.node, order.incident, report))


def _read_report(out: Path) -> Report | None:
    """None when there is none; ValueError when it is not what a report is."""
    try:
        # The worker owns the folder: a link or pipe in the report's place is not followed or waited for.
        handle = os.open(out / "report.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        text = file.read(LARGEST_REPORT + 1) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    if len(text) > LARGEST_REPORT:
        raise ValueError(f"the worker's report is larger than {LARGEST_REPORT} bytes")
    try:
        return _report(json.loads(text))
    except (AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"the worker's report has another shape than expected: {error}") from error


def _report(raw: Any) -> Report:
    gates = tuple(
        Gate(_text(gate, "name"), gate.get("passed") is True, _said(gate, "detail"))
        for gate in raw.get("gates", ())[:50]
    )
    return Report(
        verdict=_text(raw, "verdict"),
        reason=_said(raw, "reason"),
        generator=_text(raw, "generator"),
        version=_text(raw, "version"),
        gates=gates,
        diff_lines=int(raw.get("diff_lines", 0)),
        diff=str(raw.get("diff", "")).encode(errors="replace").decode()[: 64 * 1024],
        seconds=float(raw.get("seconds", 0.0)),
    )


def _said(raw: Mapping[str, object], key: str) -> str:
    """May quote what a program printed in the sandbox."""
    return Masking().text(_text(raw, key)).rstrip("\n")


def _text(raw: Mapping[str, object], key: str) -> str:
    return "".join(c for c in str(raw.get(key, ""))[:LONGEST_TEXT] if c.isprintable() or c == "\n")
