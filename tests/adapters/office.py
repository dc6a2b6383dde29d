"""A control service on a real socket, as noded serves it, in front of a desk that the test scripts."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from nodeapi.v1.control_pb2_grpc import ControlServiceStub
from noded.adapters import peercred
from noded.adapters.answers import PendingAnswers
from noded.adapters.audit import Audit
from noded.adapters.control_desk import Desk
from noded.adapters.control_server import control_server
from noded.adapters.control_status import Facts
from noded.adapters.mesh import GrpcMesh
from noded.adapters.node_logs import NodeLogs
from noded.adapters.peercred import Caller
from noded.adapters.releases import FolderReleases
from noded.adapters.roles import Members, Role, Roles
from noded.adapters.trials import LauncherTrials
from noded.adapters.workshop import Bench
from noded.launch import Launch
from noded.model.conflict import Conflict
from noded.model.inputs import ApplyRequested, CommandRequested, Input
from noded.model.instance import Instance
from noded.model.state import HostState
from nodespec.host import Paths, Settings
from tests.fakes.chronicle import FakeChronicle
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox
from tests.fakes.processes import FakeProcesses
from tests.fakes.registry import FakeRegistry
from tests.runtime.nouns import host

ROOT = Path(__file__).resolve().parents[2]
Requests = ApplyRequested | CommandRequested


class Desks(FakeInbox):
    """Decides at once what the test says; `reply` is kind, text and effect, or None to stay silent."""

    def __init__(self, answers: PendingAnswers) -> None:
        super().__init__()
        self.reply: tuple[str, str, str] | None = ("", "it is done", "create")
        self.conflicts: tuple[Conflict, ...] = ()
        self._answers = answers

    def put(self, fact: Input) -> None:
        super().put(fact)
        if self.reply is not None and isinstance(fact, ApplyRequested | CommandRequested):
            self._answers.answer(fact.request, *self.reply, self.conflicts)


class Fixed(Roles):
    """Roles as policy.toml gives them, or the one the test gives to everybody."""

    given: Role | None = None

    async def of(self, who: Caller) -> Role:
        return await super().of(who) if self.given is None else self.given


class Office:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
        self.folder.chmod(0o755)
        for name in ("releases", "logs"):
            (self.folder / name).mkdir()
        self.state: HostState = host()
        self.members = Members(operator=(), admin=())
        self.roles = Fixed(lambda: self.members)
        self.audit = Audit(self.folder / "audit")
        self.answers, self.chronicle = PendingAnswers(), FakeChronicle()
        self.inbox, self.registry = Desks(self.answers), FakeRegistry()
        self.releases = FolderReleases(self.folder / "releases")
        self.changed = asyncio.Event()
        self.processes = FakeProcesses(self.inbox, FakeClock())
        self.bench = Bench(
            ("/bin/sleep",), (), (("LANG", "C"),), "/usr/bin/python3", "7", self.folder / "evidence"
        )
        self.settings = Settings(paths=Paths(state=str(self.folder), logs=str(self.folder / "logs")))

    def launch(self, instance: Instance, argv: tuple[str, ...]) -> Launch:
        return Launch(instance.id.partition(".")[0], "", argv, str(self.folder), (("A", "1"),), "dynamic")

    async def hello(self) -> dict[str, object]:
        return {"version": 1}

    @property
    def path(self) -> Path:
        return self.folder / "c.sock"

    @property
    def desk(self) -> Desk:
        return Desk(
            view=lambda: self.state,
            changed=lambda: self.changed,
            facts=lambda: Facts("0.1.0", "hybrid", ("no io limits",), True),
            clock=FakeClock(),
            inbox=self.inbox,
            answers=self.answers,
            chronicle=self.chronicle,
            registry=self.registry,
            releases=self.releases,
            logs=NodeLogs(self.folder / "logs"),
            roles=self.roles,
            audit=self.audit,
            processes=self.processes,
            launch=self.launch,
            hello=self.hello,
            trials=LauncherTrials(self.bench, self.processes, self.releases),
            mesh=GrpcMesh(self.folder / "control.sock", self.releases.path),
            settings=self.settings,
            policy=self.folder / "policy.toml",
            build="0.1.0-abc",
        )

    def change(self, state: HostState) -> None:
        self.state = state
        before, self.changed = self.changed, asyncio.Event()
        before.set()

    def write_log(self, instance: str, text: bytes) -> Path:
        path = self.folder / "logs" / instance.rpartition(".")[0] / f"{instance}.log"
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            file.write(text)
        return path


@asynccontextmanager
async def opened(office: Office, server: grpc.aio.Server | None = None) -> AsyncIterator[Any]:
    """A stub of a client of this process."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with asyncio.TaskGroup() as group:
        async with (
            peercred.serve(office.path, server or control_server(office.desk), group),
            grpc.aio.insecure_channel(f"unix:{office.path}", options) as channel,
        ):
            yield ControlServiceStub(channel)  # type: ignore[no-untyped-call]
        assert not group._tasks


def offices(kind: Callable[[], Office] | None = None) -> Iterator[Office]:
    made = kind() if kind else Office()
    yield made
    made.audit.close()
    for place, _, _ in os.walk(made.folder):
        os.chmod(place, 0o700)
    shutil.rmtree(made.folder)


async def code_of(call: Any) -> tuple[str, str]:
    """How a call failed; a stream is read to its end."""
    try:
        if hasattr(call, "__aiter__"):
            [one async for one in call]
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


PROBE = """
import os, sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1.control_pb2_grpc import ControlServiceStub
uid = int(sys.argv[2])
os.setgroups([]), os.setgid(uid), os.setuid(uid)
channel = grpc.insecure_channel(f"unix:{sys.argv[1]}")
stub = ControlServiceStub(channel)
header = lambda plan: iter([pb.ApplyRequest(header=pb.ApplyHeader(plan_only=plan, size=0))])
calls = {
    "GetStatus": lambda: stub.GetStatus(pb.GetStatusRequest(), timeout=10),
    "GetVersion": lambda: stub.GetVersion(pb.GetVersionRequest(), timeout=10),
    "WatchStatus": lambda: next(stub.WatchStatus(pb.WatchStatusRequest(), timeout=10)),
    "Explain": lambda: list(stub.Explain(pb.ExplainRequest(), timeout=10)),
    "Command": lambda: stub.Command(pb.CommandRequest(verb=pb.VERB_PAUSE), timeout=10),
    "Apply": lambda: stub.Apply(header(False), timeout=10),
    "Plan": lambda: stub.Apply(header(True), timeout=10),
    "Health": lambda: health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10),
}
for name, call in calls.items():
    try:
        call()
        print(name, "OK")
    except grpc.RpcError as error:
        print(name, error.code().name)
"""


async def outcomes_of(uid: int, path: Path) -> dict[str, str]:
    """How each call ends for another user of this machine."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROBE, str(path), str(uid)),
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "proto"), "GRPC_VERBOSITY": "NONE", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    out, _ = await asyncio.wait_for(child.communicate(), 40)
    return dict(line.split() for line in out.decode().splitlines())
