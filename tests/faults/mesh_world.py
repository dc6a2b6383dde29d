"""A mesh with nodes around it and nothing else: every process is our own and may be killed or frozen."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from nodeapi.v1 import mesh_pb2
from nodeapi.v1.mesh_pb2_grpc import MeshControlStub
from tests.e2e.ground import ROOT, connects, wait_for

CONF = """
[host]
name = "here"

[mesh]
socket = "{folder}/run/mesh.sock"
state = "{folder}/state"
listen = "off"
"""
VERSION = "1.0.0"
SETTLED = 1.0
"""Seconds after which a mesh that is killed has written down what it was told; far more than it needs."""
IN_HAND = 1.0
"""Seconds for which a consumer goes on with what it has in hand when the mesh is gone."""
PATHS = os.pathsep.join(str(ROOT / each) for each in ("", "daemon", "proto", "nodes"))


@dataclass(frozen=True, slots=True)
class Part:
    """A node: its instances are `name.1` and so on."""

    name: str
    publishes: Sequence[str] = ()
    consumes: Mapping[str, bool] = field(default_factory=dict)
    """By type: whether in order."""
    instances: int = 1


@dataclass(frozen=True, slots=True)
class Kill:
    who: str
    pid: int
    at: float


@dataclass
class MeshWorld:
    folder: Path
    transport: str = "raw"
    inside: Sequence[str] = ()
    """Words before every command of the mesh: a namespace of its own."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)
    lives: int = 0
    tables: int = 0
    parts: tuple[Part, ...] = ()

    @property
    def socket(self) -> Path:
        return self.folder / "run/mesh.sock"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    # The mesh

    def settings(self, more: str = "") -> None:
        (self.folder / "noded.toml").write_text(CONF.format(folder=self.folder) + more)

    def start_mesh(self, wrap: Sequence[str] = (), program: Sequence[str] = ("-m", "nodemesh")) -> None:
        """It answers when this returns."""
        command = [*self.inside, *wrap, sys.executable, *program, "--config", str(self.folder / "noded.toml")]
        self._spawn("mesh", command, {})
        wait_for(self.is_up, "the mesh's answer", 30.0, 0.02)

    def is_up(self) -> bool:
        ended = self.processes["mesh"].poll()
        assert ended is None, f"the mesh ended with {ended}: {self.log('mesh')[-3000:]}"
        return connects(self.socket) and connects(self.folder / "run/control.sock")

    @contextmanager
    def control(self) -> Iterator[MeshControlStub]:
        path = f"unix:{self.folder}/run/control.sock"
        with grpc.insecure_channel(path, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            yield MeshControlStub(channel)

    def declare(self, *parts: Part) -> None:
        """What noded would tell: who is there, who publishes and consumes what."""
        self.tables, self.parts = self.tables + 1, parts
        table = mesh_pb2.Table(number=self.tables, host="here")
        for part in parts:
            for number in range(1, part.instances + 1):
                table.members.add(
                    instance=f"{part.name}.{number}", node=part.name, version=VERSION, uid=os.getuid()
                )
            for kind in part.publishes:
                table.contracts.add(type=kind, node=part.name, version=VERSION, mode=mesh_pb2.Contract.OFF)
            if part.consumes:
                consumed = [mesh_pb2.Consumed(type=t, ordered=o) for t, o in part.consumes.items()]
                table.consumers.add(node=part.name, consumed=consumed, stable=VERSION)
            self._lay(part)
        with self.control() as control:
            control.SetTable(table, timeout=20)

    def map(self) -> mesh_pb2.MapReply:
        with self.control() as control:
            return control.GetMap(mesh_pb2.MapRequest(), timeout=20)

    def flow(self, consumer: str) -> mesh_pb2.Flow:
        return next(flow for flow in self.map().flows if flow.consumer == consumer)

    def _lay(self, part: Part) -> None:
        text = f'[node]\nname = "{part.name}"\n'
        text += "".join(f'[[publishes]]\ntype = "{kind}"\ncheck = "off"\n' for kind in part.publishes)
        for kind, ordered in part.consumes.items():
            text += f'[[consumes]]\ntype = "{kind}"\n' + ('order_by = "subject"\n' if ordered else "")
        release = self.folder / part.name
        release.mkdir(exist_ok=True)
        (release / "node.toml").write_text(text)

    # The nodes

    def start(self, instance: str, program: str, **environ: str) -> None:
        """`program`: a function of tests.faults.mesh_nodes."""
        name = instance.partition(".")[0]
        self.lives += 1
        given = {
            "NODED_NODE": name,
            "NODED_INSTANCE": instance,
            "NODED_VERSION": VERSION,
            "NODED_MESH": f"unix:{self.socket}",
            "NODED_MESH_TRANSPORT": self.transport,
            "NODED_STOP_TIMEOUT": "10",
            "NODED_DATA": str(self.folder),
            **environ,
        }
        command = [sys.executable, "-m", "tests.faults.mesh_nodes", program]
        self._spawn(instance, command, given, self.folder / name)

    def notes(self, name: str) -> "Notes":
        return Notes(self.folder / f"{name}.notes")

    # What happens to all of them

    def pid(self, who: str) -> int:
        return self.processes[who].pid

    def kill(self, who: str) -> None:
        process = self.processes[who]
        process.kill()
        self.kills.append(Kill(who, process.pid, time.monotonic()))
        process.wait(20)

    def stop(self, who: str) -> int:
        self.processes[who].terminate()
        self.kills.append(Kill(who, self.pid(who), time.monotonic()))
        return self.processes[who].wait(20)

    @contextmanager
    def frozen(self, who: str) -> Iterator[None]:
        os.kill(self.pid(who), signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid(who), signal.SIGCONT)

    def rss(self, who: str) -> int:
        lines = Path(f"/proc/{self.pid(who)}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

    def log(self, who: str) -> str:
        path = self.folder / f"{who}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def is_alive(self, who: str) -> bool:
        return self.processes[who].poll() is None

    def close(self, keep: bool = False) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(20)
        if not keep:
            shutil.rmtree(self.folder)

    def _spawn(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], cwd: Path | None = None
    ) -> None:
        assert name not in self.processes or self.processes[name].poll() is not None, f"{name} runs"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("NODED_", "NOTIFY_"))}
        env = {**kept, "PYTHONPATH": PATHS, "PYTHONDONTWRITEBYTECODE": "1", **environ}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env=env,
                cwd=cwd or self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


class Notes:
    """Lines that nodes append to a file; those of killed ones, too. A read goes on where the last ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[tuple[str, ...]] = []
        self._at = 0

    def read(self) -> Sequence[tuple[str, ...]]:
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._at)
                whole = file.read().rpartition(b"\n")[0]
            if whole:
                self._at += len(whole) + 1
                self.lines += (tuple(line.split("\t")) for line in whole.decode().splitlines())
        return self.lines

    @property
    def ids(self) -> set[str]:
        return {line[0] for line in self.read()}

    def of(self, kind: str, since: int = 0) -> set[str]:
        """Events of that type that were acknowledged; `since`: but for so many of all."""
        return {id for id, found, *_ in self.read()[since:] if found == kind}


def all_come(handled: Notes, wanted: Callable[[], set[str]], timeout: float = 40.0) -> None:
    """What is on disk before now is handled."""
    missing = wanted()

    def come() -> bool:
        missing.difference_update(handled.ids)
        return not missing

    try:
        wait_for(come, "all that is on disk", timeout)
    except TimeoutError as error:
        text = f"{handled.path.name} misses {len(missing)}: {sorted(missing)[:5]}"
        raise TimeoutError(text) from error


def unexplained(world: MeshWorld, lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Events handled again though neither the mesh nor who had handled them was killed in between."""
    before: dict[str, tuple[int, float]] = {}
    found = []
    for id, _, attempt, instance, pid, at in lines:
        if id in before:
            by, first = before[id]
            killed = [k for k in world.kills if first - IN_HAND <= k.at <= min(float(at), first + SETTLED)]
            if not any(kill.who == "mesh" or kill.pid == by for kill in killed):
                near = [
                    (k.who, round(k.at - first, 3)) for k in world.kills if abs(k.at - first) < 2 * SETTLED
                ]
                text = f"{id}, attempt {attempt}, first by pid {by}, then by {instance}"
                found.append(f"{text} {float(at) - first:.3f} s later; kills {near}")
        before[id] = int(pid), float(at)
    return found


@contextmanager
def made(transport: str = "raw", settings: str = "") -> Iterator[MeshWorld]:
    """Nothing runs yet; nothing is left after the block, but for the folder if NODED_KEEP is set."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="ndm"))
    (folder / "run").mkdir()
    world = MeshWorld(folder, transport)
    world.settings(settings)
    try:
        yield world
    finally:
        if os.environ.get("NODED_KEEP"):
            print(f"kept: {world.folder}")
        world.close(keep=bool(os.environ.get("NODED_KEEP")))
