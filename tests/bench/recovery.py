"""How long is a service away when its process dies or hangs? `make bench-recovery`

A client asks every 2 ms. Measured is the time from the `kill -9`, or from what makes the process hang, to
the next good answer, which another process gives. noded and its peers run the same program with their own
defaults, side by side; in every round each is killed, so that whatever else the machine does falls on all.
"""

import argparse
import compileall
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import peers, subjects
from tests.bench.client import pid_at, send, until_answered
from tests.bench.figures import Target, conclude, percentile, spread
from tests.bench.fleet import Fleet
from tests.e2e import host as hosts
from tests.e2e.host import Host
from tests.e2e.programs import lay
from tests.ports import free_ports

IMPORTS = {"": 0.1, "_1s": 1.0}
"""CPU seconds of import, by the suffix of the row's key."""
SPARE_KILLS = 4
"""In each round."""
APART = 32.0
"""Seconds between two kills of one node: noded counts what fails more often as a crash loop, and waits."""
HANGS = ("stopped", "blocked", "deadlocked")
CALM = 0.2


@dataclass(slots=True)
class Subject:
    """A node under noded."""

    name: str
    port: int
    spares: int
    born: float = field(default_factory=time.monotonic)
    """When its newest instance was seen ready."""


class Recovery:
    def __init__(self, fleet: Fleet, rounds: int) -> None:
        self.fleet = fleet
        self.host = fleet.host
        self.rounds = rounds
        self.rows: dict[str, list[float]] = defaultdict(list)
        self.subjects: dict[str, list[Subject]] = defaultdict(list)
        self.peers: dict[str, peers.Peer] = {}
        self.scripts: dict[str, Path] = {}
        self.ports = itertools.count(1)

    # What runs

    def lay_out(self, copies: int, stack: ExitStack) -> None:
        for suffix, seconds in IMPORTS.items():
            program = subjects.serves(seconds)
            for number in range(copies):
                self._node(f"spare{suffix}", f"spare{number}", program, spares=1)
            for number in range(2):
                self._node(f"restart{suffix}", f"plain{number}", program)
            self._peers(suffix, program, stack)
        for kind in HANGS:
            for number in range(2):
                self._hanging(kind, number)
        self.fleet.await_ready(120)
        for group in self.subjects.values():
            for subject in group:
                self._await_whole(subject)

    def _node(
        self,
        row: str,
        name: str,
        program: str,
        spares: int = 0,
        tables: str = "",
        run: tuple[str, ...] = ("python3", "main.py"),
    ) -> None:
        name = f"{name}{'-slow' if row.endswith('_1s') else ''}"
        number = next(self.ports)
        head = f'user = "dynamic"\nspares = {spares}'
        folder = lay(self.host, name, program=program, port=number, head=head, tables=tables, run=run)
        self.fleet.apply(folder)
        self.fleet.names.append(name)
        self.subjects[row].append(Subject(name, self.host.first_port + number - 1, spares))

    def _hanging(self, kind: str, number: int) -> None:
        if kind == "deadlocked":
            health = '\n[health]\nreadiness = "http"\nliveness = "http"\npath = "/"\n'
            run = ("python3", "main.py", "{listen}")
            self._node(kind, f"{kind}{number}", subjects.threaded(0.1), tables=health, run=run)
        else:
            self._node(kind, f"{kind}{number}", subjects.serves(0.1))

    def _peers(self, suffix: str, program: str, stack: ExitStack) -> None:
        folder = self.host.folder / f"peers{suffix}"
        folder.mkdir()
        script = self.scripts[suffix] = folder / "main.py"
        script.write_text(program)
        root = peers.provide()
        for name, make in (("supervisord", peers.supervisord), ("runit", peers.runit)):
            port = free_ports()
            peer = make(root, folder / name, port, self._argv(script), self._env(port))
            stack.callback(peer.stop)
            peer.await_ready()
            self.peers[f"{name}{suffix}"] = peer

    def _argv(self, script: Path) -> list[str]:
        return [self.host.node_python, str(script)]

    def _env(self, port: int) -> dict[str, str]:
        """What the nodes of this host find in theirs."""
        return {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{self.host.folder}/sdk",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            "NODED_LISTEN": f"127.0.0.1:{port}",
        }

    # What is done to it

    def run(self) -> None:
        for number in range(self.rounds):
            suffix = tuple(IMPORTS)[number % 2]
            for _ in range(SPARE_KILLS):
                self._killed(f"spare{suffix}")
            self._killed(f"restart{suffix}")
            self._cold(suffix)
            for name in ("supervisord", "runit"):
                self._peer_killed(f"{name}{suffix}")
            self._hung(HANGS[number % len(HANGS)])
            said = ", ".join(f"{row} {values[-1]:.0f}" for row, values in self.rows.items())
            print(f"{time.strftime('%H:%M:%S')} round {number + 1} of {self.rounds}: {said}", flush=True)

    def _killed(self, row: str) -> None:
        with self._rested(row) as subject:
            pid = pid_at(subject.port)
            took = until_answered(subject.port, lambda: os.kill(pid, signal.SIGKILL), gone=pid)
            self.rows[row].append(took * 1000)

    def _hung(self, kind: str) -> None:
        with self._rested(kind) as subject, ExitStack() as held:
            pid = pid_at(subject.port)

            def hang() -> None:
                if kind == "stopped":
                    os.kill(pid, signal.SIGSTOP)
                else:
                    held.enter_context(send(subject.port, "/block"))

            took = until_answered(subject.port, hang, gone=pid)
            self.rows[kind].append(took * 1000)

    def _cold(self, suffix: str) -> None:
        time.sleep(CALM)
        port = free_ports()
        begun: list[subprocess.Popen[bytes]] = []
        argv, env = self._argv(self.scripts[suffix]), self._env(port)
        took = until_answered(port, lambda: begun.append(peers.bare(argv, env)))
        self.rows[f"cold_start{suffix}"].append(took * 1000)
        for process in begun:
            peers.end(process)

    def _peer_killed(self, name: str) -> None:
        peer = self.peers[name]
        pid = pid_at(peer.port)
        # A process that lived shorter than a second counts as a failed start with both.
        time.sleep(1.1)
        took = until_answered(peer.port, lambda: os.kill(pid, signal.SIGKILL), gone=pid)
        self.rows[name].append(took * 1000)

    @contextmanager
    def _rested(self, row: str) -> Iterator[Subject]:
        """The subject that was left in peace longest; afterwards it is waited for until it is whole again."""
        subject = min(self.subjects[row], key=lambda one: one.born)
        time.sleep(max(CALM, subject.born + APART - time.monotonic()))
        yield subject
        self._await_whole(subject)

    def _await_whole(self, subject: Subject, timeout: float = 60.0) -> None:
        until = time.monotonic() + timeout
        while not self.fleet.whole(subject.name, 1 + subject.spares):
            if time.monotonic() > until:
                raise TimeoutError(f"{subject.name} was not whole again within {timeout:.0f} s")
            time.sleep(0.05)
        subject.born = time.monotonic()


@contextmanager
def running() -> Iterator[Fleet]:
    hosts.PORTS = 48  # a port for each subject
    host: Host = hosts.make("nr")
    try:
        # On a host the SDK is installed and compiled.
        compileall.compile_dir(str(host.folder / "sdk"), quiet=2)
        host.start()
        fleet = Fleet(host)
        try:
            yield fleet
        finally:
            fleet.close()
    finally:
        host.close()


def summed_up(rows: dict[str, list[float]]) -> dict[str, object]:
    told: dict[str, object] = {"kills": len(rows["spare"]) + len(rows["spare_1s"])}
    told["spare_ms"] = spread(rows["spare"] + rows["spare_1s"])
    for suffix in IMPORTS:
        told[f"cold_start{suffix}_ms"] = round(percentile(rows[f"cold_start{suffix}"], 0.5), 1)
        for name in ("restart", "supervisord", "runit"):
            told[f"{name}{suffix}_ms"] = spread(rows[f"{name}{suffix}"])
    told["spare_1s_ms"] = spread(rows["spare_1s"])
    told["hang_ms"] = spread([took for kind in HANGS for took in rows[kind]])
    for kind in HANGS:
        told[f"hang_{kind}_ms"] = spread(rows[kind])
    told["counts"] = {name: len(values) for name, values in rows.items()}
    return told


def targets(rows: dict[str, list[float]]) -> tuple[Target, ...]:
    middle = {name: percentile(values, 0.5) for name, values in rows.items()}
    spare = rows["spare"] + rows["spare_1s"]
    found = [
        Target("kill to serving with a spare, median, ms", percentile(spare, 0.5), 25.0),
        Target("the same, 99th percentile, ms", percentile(spare, 0.99), 150.0),
    ]
    for suffix, seconds in IMPORTS.items():
        of = f"import of {seconds:g} s"
        share = 100 * middle[f"spare{suffix}"] / middle[f"supervisord{suffix}"]
        late = middle[f"restart{suffix}"] - middle[f"cold_start{suffix}"]
        found.append(Target(f"with a spare, % of supervisord's, {of}", share, 10.0))
        found.append(Target(f"without a spare, beyond a bare start, ms, {of}", late, 20.0))
    found += [Target(f"hang ({kind}) to serving, worst, ms", max(rows[kind]), 3000.0) for kind in HANGS]
    return tuple(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds; no figure")
    parser.add_argument("--rounds", type=int, default=60, help="at least 60 for a figure")
    options = parser.parse_args()
    rounds = min(6, options.rounds) if options.quick else options.rounds
    with running() as fleet, ExitStack() as stack:
        bench = Recovery(fleet, rounds)
        bench.lay_out(2 if options.quick else 6, stack)
        bench.run()
        rows = bench.rows
    report = {**summed_up(rows), "load": os.getloadavg()}
    return conclude(report, targets(rows), figure=rounds >= 60)


if __name__ == "__main__":
    sys.exit(main())
