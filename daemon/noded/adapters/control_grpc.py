"""What may be asked of noded over its socket? Requests become inputs, the state becomes replies."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1 import control_pb2_grpc
from noded.adapters import (
    control_archives,
    control_exec,
    control_logs,
    control_releases,
    control_tests,
    host_checks,
)
from noded.adapters.apply_facts import Beside, gathered
from noded.adapters.apply_plan import changes, conflict_status
from noded.adapters.control_desk import Desk, decided, named, reading, receive, refuse
from noded.adapters.control_status import audit_entry, host_status, node_status, without_code
from noded.adapters.lineage import parent
from noded.adapters.peercred import Caller, caller
from noded.adapters.roles import WHOLE, Role
from noded.adapters.schema_texts import of_order
from noded.model.capacity import peak
from noded.model.inputs import ApplyRequested, CommandRequested
from noded.model.release import Release
from noded.model.state import HostState
from noded.ports import Entry, PortError, Record, Refused
from nodespec.manifest import NodeSpec

UPLOAD_TIME = 300.0
PLANS = 4
"""Uploads at a time of callers who are no administrators."""
LARGEST_RELEASE = 128 * 1024 * 1024
MOST_ENTRIES = 10_000
FOLLOW = 0.25
EFFECTS = {
    "none": pb.EFFECT_NONE,
    "create": pb.EFFECT_CREATE,
    "rollout": pb.EFFECT_ROLLOUT,
    "replace": pb.EFFECT_REPLACE,
}
HIDDEN = "(operators see it)"
BRINGS_BACK = ("retry", "rollback")


class ControlService(control_pb2_grpc.ControlServiceServicer):  # type: ignore[misc]
    """Who may call what was decided before, in call_gate.py."""

    def __init__(self, desk: Desk, upload_time: float = UPLOAD_TIME) -> None:
        self._desk = desk
        self._upload_time = upload_time
        self._plans = asyncio.Semaphore(PLANS)

    async def Apply(self, requests: AsyncIterator[pb.ApplyRequest], context: Any) -> pb.ApplyResponse:
        desk = self._desk
        first = await anext(requests, None)
        if first is None or first.WhichOneof("part") != "header":
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "the first message must be the header")
        header, who = first.header, caller(context)
        async with self._room(who, context):
            digest, spec, held, beside = await self._taken(requests, header, context)
        before = desk.view()
        release = Release(spec.name, spec.version, digest, f"uid {who.uid}")
        taken = digest_of(held.value) if held else ""
        reply = await decided(
            desk,
            lambda number: ApplyRequested(
                desk.clock.now(),
                number,
                spec,
                release,
                taken,
                header.plan_only,
                schemas=beside.schemas,
                lost=beside.lost,
                force=header.force,
                supersede=header.supersede,
            ),
            context,
        )
        node = before.nodes.get(spec.name)
        whole = await self._sees_whole(context)
        return pb.ApplyResponse(
            node=spec.name,
            effect=EFFECTS.get(reply.effect, pb.EFFECT_UNSPECIFIED),
            from_version=node.release.version if node else "",
            to_version=spec.version,
            digest=digest,
            changes=[
                pb.KeyChange(key=key, before=old if whole else HIDDEN, after=new)
                for key, old, new in changes(node.spec if node else None, spec)
            ],
            peak_memory=peak(node, spec),
            text=reply.text,
            conflicts=map(conflict_status, reply.conflicts),
            lost=beside.lost if whole else beside.lost and HIDDEN,
        )

    @asynccontextmanager
    async def _room(self, who: Caller, context: Any) -> AsyncIterator[None]:
        """Plans of people who decide nothing wait for each other: they shall not fill the disk."""
        if await self._desk.roles.of(who) >= Role.ADMIN:
            yield
            return
        try:
            async with asyncio.timeout(self._upload_time / 10):
                await self._plans.acquire()
        except TimeoutError:
            text = f"{PLANS} plans are being looked at already: try again later"
            await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        try:
            yield
        finally:
            self._plans.release()

    async def _taken(
        self, requests: AsyncIterator[pb.ApplyRequest], header: pb.ApplyHeader, context: Any
    ) -> tuple[str, NodeSpec, Record | None, Beside]:
        """The uploaded release's digest and manifest, what is on record for its version, what is beside."""
        desk = self._desk
        # Without a name: it is gone with noded, however noded ends (O_TMPFILE, open(2)).
        with tempfile.TemporaryFile() as blob:
            path = Path(f"/proc/self/fd/{blob.fileno()}")
            try:
                async with asyncio.timeout(self._upload_time):
                    await receive(requests, blob, header.size, LARGEST_RELEASE, "a release", context)
            except TimeoutError:
                text = f"the release did not come within {self._upload_time:g} s"
                await refuse(context, grpc.StatusCode.DEADLINE_EXCEEDED, text)
            except OSError as error:
                text = f"cannot keep the release in {tempfile.gettempdir()}: {error.strerror}"
                await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            try:
                # Anybody may plan, so a plan leaves nothing on disk.
                take = desk.releases.examine if header.plan_only else desk.releases.add
                digest, spec = await take(path)
                held = await desk.registry.get(f"releases/{spec.name}/{spec.version}")
                before = await parent(desk.view().nodes.get(spec.name), desk.registry)
                told = (desk.view(), desk.releases.path, spec, digest, path, before)
                return digest, spec, held, await asyncio.to_thread(gathered, *told)
            except Refused as error:
                await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except PortError as error:
                await refuse(context, grpc.StatusCode.INTERNAL, str(error))
            except OSError as error:
                text = f"cannot compare the release with what runs: {error.strerror}"
                await refuse(context, grpc.StatusCode.INTERNAL, text)

    async def Command(self, request: pb.CommandRequest, context: Any) -> pb.CommandResponse:
        verb = (
            pb.Verb.Name(request.verb).removeprefix("VERB_").lower()
            if request.verb in pb.Verb.values()
            else ""
        )
        if verb in ("", "unspecified"):
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, f"unknown order {request.verb}")
        if request.node:
            await named(request.node, context)
        desk, version = self._desk, request.version[:64]
        told = (desk.view(), desk.releases.path, verb, request.node, version)
        schemas = await asyncio.to_thread(of_order, *told) if verb in BRINGS_BACK else ()
        by, now = f"uid {caller(context).uid}", desk.clock.now()
        reply = await decided(
            desk,
            lambda number: CommandRequested(
                now, number, verb, request.node, by, version, schemas, request.force
            ),
            context,
        )
        return pb.CommandResponse(text=reply.text)

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        state = self._desk.view()
        if request.node and request.node not in state.nodes:
            await refuse(context, grpc.StatusCode.NOT_FOUND, f"no such node: {request.node[:40]}")
        whole = await self._sees_whole(context)
        return pb.GetStatusResponse(
            host=host_status(state, self._desk.facts()),
            nodes=self._nodes(state, request.node, whole=whole, manifest=whole),
        )

    async def WatchStatus(
        self, request: pb.WatchStatusRequest, context: Any
    ) -> AsyncIterator[pb.WatchStatusResponse]:
        if request.node and request.node not in self._desk.view().nodes:
            await refuse(context, grpc.StatusCode.NOT_FOUND, f"no such node: {request.node[:40]}")
        whole = await self._sees_whole(context)
        while True:
            changed = self._desk.changed()
            state = self._desk.view()
            yield pb.WatchStatusResponse(
                host=host_status(state, self._desk.facts()),
                nodes=self._nodes(state, request.node, whole=whole, manifest=False),
            )
            await changed.wait()
            # Several decisions in a moment are one picture to a person.
            await asyncio.sleep(FOLLOW)

    async def Explain(self, request: pb.ExplainRequest, context: Any) -> AsyncIterator[pb.ExplainResponse]:
        limit = min(request.limit or 200, MOST_ENTRIES)
        last, whole = 0, await self._sees_whole(context)
        while True:
            found = self._desk.chronicle.read(request.node, request.incident, last, limit)
            entries = await reading(context, found)
            for entry in entries:
                last = entry.sequence
                yield _entry(entry, whole)
            if not request.follow:
                return
            limit = MOST_ENTRIES
            await asyncio.sleep(FOLLOW)

    def ReadLogs(self, request: pb.ReadLogsRequest, context: Any) -> AsyncIterator[pb.ReadLogsResponse]:
        return control_logs.read_logs(self._desk, request, context)

    async def ListReleases(self, request: pb.ListReleasesRequest, context: Any) -> pb.ListReleasesResponse:
        return await control_releases.listed(self._desk, request, context)

    def ReadRelease(
        self, request: pb.ReadReleaseRequest, context: Any
    ) -> AsyncIterator[pb.ReadReleaseResponse]:
        return control_releases.packed(self._desk, request, context)

    async def Exec(self, request: pb.ExecRequest, context: Any) -> pb.ExecResponse:
        return await control_exec.run(self._desk, request, context)

    async def RunTests(self, request: pb.RunTestsRequest, context: Any) -> pb.RunTestsResponse:
        return await control_tests.run(self._desk, request, context)

    async def CheckHost(self, request: pb.CheckHostRequest, context: Any) -> pb.CheckHostResponse:
        return pb.CheckHostResponse(checks=await host_checks.checked(self._desk))

    def Bundle(self, request: pb.BundleRequest, context: Any) -> AsyncIterator[pb.BundleResponse]:
        return control_archives.bundle(self._desk, request, context)

    def Backup(self, request: pb.BackupRequest, context: Any) -> AsyncIterator[pb.BackupResponse]:
        return control_archives.backup(self._desk, context)

    async def Restore(self, requests: AsyncIterator[pb.RestoreRequest], context: Any) -> pb.RestoreResponse:
        return await control_archives.restore(self._desk, requests, context)

    async def ReadAudit(self, request: pb.ReadAuditRequest, context: Any) -> pb.ReadAuditResponse:
        trail = await self._desk.audit.read(min(request.limit or 100, MOST_ENTRIES))
        return pb.ReadAuditResponse(entries=map(audit_entry, trail.entries), broken=trail.broken)

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.GetVersionResponse:
        return pb.GetVersionResponse(version=self._desk.facts().version, build=self._desk.build, protocol=1)

    async def _sees_whole(self, context: Any) -> bool:
        return await self._desk.roles.of(caller(context)) >= WHOLE

    def _nodes(self, state: HostState, name: str, *, whole: bool, manifest: bool) -> Sequence[pb.NodeStatus]:
        at = self._desk.clock.now()
        nodes = [node for _, node in sorted(state.nodes.items()) if name in ("", node.name)]
        texts = [self._manifest(node.release.digest) if manifest and name else "" for node in nodes]
        shown = [node_status(node, at, text, bool(name)) for node, text in zip(nodes, texts, strict=True)]
        return shown if whole else [without_code(each) for each in shown]

    def _manifest(self, digest: str) -> str:
        try:
            return (self._desk.releases.path(digest) / "node.toml").read_text("utf-8", "replace")
        except (OSError, PortError):
            return ""


def digest_of(value: bytes) -> str:
    return str(json.loads(value)["digest"])


def _entry(entry: Entry, whole: bool) -> pb.ExplainResponse:
    """The body holds settings of nodes."""
    return pb.ExplainResponse(
        sequence=entry.sequence,
        at=entry.at,
        node=entry.node,
        kind=entry.kind,
        name=entry.name,
        text=entry.text,
        body=entry.body if whole else "",
    )
