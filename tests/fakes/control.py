"""A noded that does what the test scripted: ControlService on a unix socket, in a thread of its own."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1 import mesh_pb2
from nodeapi.v1.control_pb2_grpc import ControlServiceServicer, add_ControlServiceServicer_to_server
from nodeapi.v1.mesh_pb2_grpc import add_MeshControlServicer_to_server
from tests.fakes.mesh_control import FakeMeshControl

STEP = 0.02
"""Seconds between two scripted states."""

Change = Callable[[pb.GetStatusResponse], None]


class FakeControl(ControlServiceServicer):
    """`script` says how the status goes on after an order; `refusals` which calls fail and how.

    A method in `meanwhile` ends its stream once as a noded does that goes down; then what happens until it
    is back is called. `answers` and `pieces` are what the other methods answer with, `archives` the packed
    releases by version.
    """

    def __init__(self) -> None:
        self.status = pb.GetStatusResponse(host=healthy_host())
        self.script: dict[int, list[Change]] = {}
        self.refusals: dict[str, tuple[grpc.StatusCode, str]] = {}
        self.silent: set[str] = set()
        self.calls: list[tuple[str, Any]] = []
        self.apply_answer = pb.ApplyResponse()
        self.applied: list[pb.ApplyRequest] = []
        self.refuse_applies: tuple[grpc.StatusCode, str] | None = None
        """How all but plans fail."""
        self.after_apply: list[Change] = []
        self.journal: list[pb.ExplainResponse] = []
        self.output: list[pb.ReadLogsResponse] = []
        self.command_text = ""
        self.version = "0.1.0"
        self.cut_watches = False
        self.meanwhile: dict[str, Callable[[], None]] = {}
        self.answers: dict[str, Any] = {}
        self.pieces: dict[str, list[bytes]] = {}
        self.archives: dict[str, bytes] = {}
        self.events: list[mesh_pb2.Event] = []
        self.restored: list[pb.RestoreRequest] = []
        self._changed = asyncio.Event()
        self._plays: set[asyncio.Task[None]] = set()

    def node(self, name: str) -> pb.NodeStatus:
        return next(one for one in self.status.nodes if one.name == name)

    def change(self, change: Change) -> None:
        """In the loop of the server."""
        change(self.status)
        before, self._changed = self._changed, asyncio.Event()
        before.set()

    async def Apply(self, requests: AsyncIterator[Any], context: Any) -> pb.ApplyResponse:
        self.applied = [one async for one in requests]
        await self._begin("Apply", self.applied[0].header, context)
        if not self.applied[0].header.plan_only:
            if self.refuse_applies is not None:
                await context.abort(*self.refuse_applies)
            self._play(self.after_apply)
        return self.apply_answer

    async def Command(self, request: Any, context: Any) -> pb.CommandResponse:
        await self._begin("Command", request, context)
        self._play(self.script.get(request.verb, []))
        return pb.CommandResponse(text=self.command_text)

    async def GetStatus(self, request: Any, context: Any) -> pb.GetStatusResponse:
        await self._begin("GetStatus", request, context)
        return self._of(request.node)

    async def WatchStatus(self, request: Any, context: Any) -> AsyncIterator[pb.WatchStatusResponse]:
        await self._begin("WatchStatus", request, context)
        while True:
            changed = self._changed
            answer = self._of(request.node)
            yield pb.WatchStatusResponse(host=answer.host, nodes=answer.nodes)
            if self.cut_watches:
                self.cut_watches = False
                await context.abort(grpc.StatusCode.UNAVAILABLE, "going down")
            await changed.wait()

    async def Explain(self, request: Any, context: Any) -> AsyncIterator[pb.ExplainResponse]:
        await self._begin("Explain", request, context)
        for entry in self.journal:
            yield entry
        await self._go_down("Explain", context)
        if request.follow:
            await asyncio.Event().wait()

    async def ReadLogs(self, request: Any, context: Any) -> AsyncIterator[pb.ReadLogsResponse]:
        await self._begin("ReadLogs", request, context)
        for piece in self.output:
            yield piece
        await self._go_down("ReadLogs", context)
        if request.follow:
            await asyncio.Event().wait()

    async def ListReleases(self, request: Any, context: Any) -> pb.ListReleasesResponse:
        return await self._answer("ListReleases", request, context)

    async def ReadRelease(self, request: Any, context: Any) -> AsyncIterator[pb.ReadReleaseResponse]:
        await self._begin("ReadRelease", request, context)
        blob = self.archives.get(request.version)
        if blob is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no such release: {request.version}")
        for start in range(0, len(blob), 64 * 1024):
            yield pb.ReadReleaseResponse(chunk=blob[start : start + 64 * 1024])

    async def Exec(self, request: Any, context: Any) -> pb.ExecResponse:
        return await self._answer("Exec", request, context)

    async def RunTests(self, request: Any, context: Any) -> pb.RunTestsResponse:
        return await self._answer("RunTests", request, context)

    async def CheckHost(self, request: Any, context: Any) -> pb.CheckHostResponse:
        return await self._answer("CheckHost", request, context)

    async def ReadAudit(self, request: Any, context: Any) -> pb.ReadAuditResponse:
        return await self._answer("ReadAudit", request, context)

    async def Bundle(self, request: Any, context: Any) -> AsyncIterator[pb.BundleResponse]:
        await self._begin("Bundle", request, context)
        for chunk in self.pieces.get("Bundle", []):
            yield pb.BundleResponse(chunk=chunk)
        await self._go_down("Bundle", context)

    async def Backup(self, request: Any, context: Any) -> AsyncIterator[pb.BackupResponse]:
        await self._begin("Backup", request, context)
        for chunk in self.pieces.get("Backup", []):
            yield pb.BackupResponse(chunk=chunk)
        await self._go_down("Backup", context)

    async def Restore(self, requests: AsyncIterator[Any], context: Any) -> pb.RestoreResponse:
        self.restored = [one async for one in requests]
        answer: pb.RestoreResponse = await self._answer("Restore", self.restored[0].header, context)
        return answer

    async def GetVersion(self, request: Any, context: Any) -> pb.GetVersionResponse:
        await self._begin("GetVersion", request, context)
        return pb.GetVersionResponse(version=self.version, build="abc1234", protocol=1)

    async def _answer(self, method: str, request: Any, context: Any) -> Any:
        await self._begin(method, request, context)
        return self.answers[method]

    async def _go_down(self, method: str, context: Any) -> None:
        if method in self.meanwhile:
            self.meanwhile.pop(method)()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "going down")

    async def _begin(self, method: str, request: Any, context: Any) -> None:
        self.calls.append((method, request))
        if method in self.silent:
            await asyncio.Event().wait()
        if method in self.refusals:
            await context.abort(*self.refusals[method])

    def _of(self, node: str) -> pb.GetStatusResponse:
        found = [one for one in self.status.nodes if node in ("", one.name)]
        return pb.GetStatusResponse(host=self.status.host, nodes=found)

    def _play(self, changes: list[Change]) -> None:
        async def play() -> None:
            for change in changes:
                await asyncio.sleep(STEP)
                self.change(change)

        task = asyncio.create_task(play())
        self._plays.add(task)
        task.add_done_callback(self._plays.discard)


class Running:
    """The fake as a test holds it; `control` may be read and set between calls."""

    def __init__(self, control: FakeControl, loop: asyncio.AbstractEventLoop) -> None:
        self.control = control
        self._loop = loop

    def change(self, change: Change) -> None:
        self._loop.call_soon_threadsafe(self.control.change, change)

    def wait_for(self, method: str) -> None:
        """Until the method was called."""
        deadline = time.monotonic() + 10
        while method not in [name for name, _ in self.control.calls]:
            assert time.monotonic() < deadline, f"{method} was not called"
            time.sleep(0.01)


@contextmanager
def serving(path: Path) -> Iterator[Running]:
    ready: Future[tuple[Running, asyncio.Event, asyncio.AbstractEventLoop]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(path, ready)))
    thread.start()
    running, ended, loop = ready.result(10)
    try:
        yield running
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)


async def _serve(path: Path, ready: "Future[Any]") -> None:
    control, ended = FakeControl(), asyncio.Event()
    server = grpc.aio.server()
    add_ControlServiceServicer_to_server(control, server)  # type: ignore[no-untyped-call]
    add_MeshControlServicer_to_server(FakeMeshControl(control), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    loop = asyncio.get_running_loop()
    ready.set_result((Running(control, loop), ended, loop))
    await ended.wait()
    await server.stop(0)


def healthy_host() -> pb.HostStatus:
    return pb.HostStatus(
        name="web1",
        version="0.1.0",
        cgroups="v2",
        proxy_up=True,
        launcher_up=True,
        started_at=time.time() - 3600,
    )


def a_node(name: str = "catalog", **fields: Any) -> pb.NodeStatus:
    given: dict[str, Any] = {
        "version": "1.4.0",
        "digest": "sha256:" + "ab" * 32,
        "condition": "running",
        "port": 8100,
        "memory_limit": 256 * 2**20,
        "instances": [an_instance(f"{name}.1"), an_instance(f"{name}.2", role="spare", requests=0)],
    }
    return pb.NodeStatus(name=name, **{**given, **fields})


def an_instance(identity: str, **fields: Any) -> pb.InstanceStatus:
    given: dict[str, Any] = {
        "version": "1.4.0",
        "role": "stable",
        "phase": "ready",
        "pid": 4711,
        "started_at": time.time() - 125,
        "memory": 32_925_286,
        "cpu_share": 0.073,
        "loop_lag": 0.0012,
        "requests": 12_345,
        "fds": 23,
        "threads": 4,
    }
    return pb.InstanceStatus(id=identity, **{**given, **fields})


def a_rollout(**fields: Any) -> pb.RolloutStatus:
    given: dict[str, Any] = {
        "id": "r-7",
        "from_version": "1.4.0",
        "to_version": "1.5.0",
        "phase": "step",
        "share": 0.1,
        "steps": [0.1, 0.5, 1.0],
        "step": 0,
        "started_at": time.time() - 12,
        "canary_requests": 1372,
        "canary_bad": 1,
        "stable_requests": 12_345,
        "stable_bad": 3,
        "rollback_evidence": 0.4123,
        "promotion_evidence": 12.34,
        "requests_needed": 210,
        "origin": "root",
        "dwell_left": 12.0,
    }
    return pb.RolloutStatus(**{**given, **fields})


def an_incident(**fields: Any) -> pb.IncidentStatus:
    given: dict[str, Any] = {
        "id": "i-3",
        "signature": "memory-growth",
        "state": "watching the effect",
        "finding": "memory grows 5.0 MiB/min, the limit in 40 min",
        "opened_at": time.time() - 90,
        "rungs": [
            pb.RungStatus(
                rung="collect",
                verdict="did not hold",
                freed=1_200_000,
                slope_after=80_000,
                at=time.time() - 80,
            ),
            pb.RungStatus(rung="shrink", verdict="", at=time.time() - 5),
        ],
        "slope": 87_381.0,
        "seconds_to_limit": 2400.0,
        "detected_after": 61.0,
        "sites": [pb.SiteStatus(file="catalog/prices.py", line=41, function="price_of", bytes=1_234_567)],
    }
    return pb.IncidentStatus(**{**given, **fields})
