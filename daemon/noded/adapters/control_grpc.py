"""What may be asked of noded over its socket? Requests become inputs, the state becomes replies."""

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc

from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1 import control_pb2_grpc
from noded.adapters.answers import PendingAnswers, Reply
from noded.adapters.apply_plan import changes, peak_memory
from noded.adapters.control_status import Facts, host_status, node_status
from noded.adapters.node_logs import NodeLogs, newest
from noded.adapters.peercred import Caller, caller, denial
from noded.adapters.releases import FolderReleases
from noded.model.inputs import ApplyRequested, CommandRequested
from noded.model.release import Release
from noded.model.state import HostState
from noded.ports import Chronicle, Clock, Entry, Inbox, PortError, Record, Refused, Registry
from nodespec.manifest import NodeSpec

T = TypeVar("T")

ANSWER_TIME = 10.0
UPLOAD_TIME = 300.0
LARGEST_RELEASE = 128 * 1024 * 1024
MOST_ENTRIES = 10_000
FOLLOW = 0.25
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
INSTANCE = re.compile(r"[a-z][a-z0-9-]{0,31}\.[0-9]{1,9}")
EFFECTS = {
    "none": pb.EFFECT_NONE,
    "create": pb.EFFECT_CREATE,
    "rollout": pb.EFFECT_ROLLOUT,
    "replace": pb.EFFECT_REPLACE,
}
CODES = {"not found": grpc.StatusCode.NOT_FOUND, "refused": grpc.StatusCode.FAILED_PRECONDITION}


@dataclass(frozen=True, slots=True)
class Desk:
    """What the control service works with."""

    view: Callable[[], HostState]
    changed: Callable[[], asyncio.Event]
    facts: Callable[[], Facts]
    clock: Clock
    inbox: Inbox
    answers: PendingAnswers
    chronicle: Chronicle
    registry: Registry
    releases: FolderReleases
    logs: NodeLogs
    admin: Callable[[Caller], bool]
    build: str


class ControlService(control_pb2_grpc.ControlServiceServicer):  # type: ignore[misc]
    def __init__(self, desk: Desk, upload_time: float = UPLOAD_TIME) -> None:
        self._desk = desk
        self._upload_time = upload_time

    async def Apply(self, requests: AsyncIterator[pb.ApplyRequest], context: Any) -> pb.ApplyResponse:
        desk = self._desk
        first = await anext(requests, None)
        if first is None or first.WhichOneof("part") != "header":
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "the first message must be the header")
        header = first.header
        who = caller(context)
        if not header.plan_only and not desk.admin(who):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, denial(who, "Apply"))
        digest, spec, held = await self._taken(requests, header, context)
        before = desk.view()
        release = Release(spec.name, spec.version, digest, f"uid {who.uid}")
        taken = _digest_of(held.value) if held else ""
        reply = await self._decided(
            lambda number: ApplyRequested(desk.clock.now(), number, spec, release, taken, header.plan_only),
            context,
        )
        node = before.nodes.get(spec.name)
        return pb.ApplyResponse(
            node=spec.name,
            effect=EFFECTS.get(reply.effect, pb.EFFECT_UNSPECIFIED),
            from_version=node.release.version if node else "",
            to_version=spec.version,
            digest=digest,
            changes=[
                pb.KeyChange(key=k, before=b, after=a)
                for k, b, a in changes(node.spec if node else None, spec)
            ],
            peak_memory=peak_memory(node, spec),
            text=reply.text,
        )

    async def _taken(
        self, requests: AsyncIterator[pb.ApplyRequest], header: pb.ApplyHeader, context: Any
    ) -> tuple[str, NodeSpec, Record | None]:
        """The uploaded release's digest and manifest, and what is on record for its version."""
        desk = self._desk
        with tempfile.NamedTemporaryFile(prefix="noded-apply-") as blob:
            try:
                async with asyncio.timeout(self._upload_time):
                    await _receive(requests, blob, header.size, context)
            except TimeoutError:
                text = f"the release did not come within {self._upload_time:g} s"
                await _refuse(context, grpc.StatusCode.DEADLINE_EXCEEDED, text)
            except OSError as error:
                text = f"cannot keep the release in {blob.name}: {error.strerror}"
                await _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            try:
                # Anybody may plan, so a plan leaves nothing on disk.
                take = desk.releases.examine if header.plan_only else desk.releases.add
                digest, spec = await take(Path(blob.name))
                return digest, spec, await desk.registry.get(f"releases/{spec.name}/{spec.version}")
            except Refused as error:
                await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except PortError as error:
                await _refuse(context, grpc.StatusCode.INTERNAL, str(error))

    async def Command(self, request: pb.CommandRequest, context: Any) -> pb.CommandResponse:
        verb = (
            pb.Verb.Name(request.verb).removeprefix("VERB_").lower()
            if request.verb in pb.Verb.values()
            else ""
        )
        if verb in ("", "unspecified"):
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, f"unknown order {request.verb}")
        if request.node and not NAME.fullmatch(request.node):
            await _refuse(
                context, grpc.StatusCode.INVALID_ARGUMENT, f"not a node's name: {request.node[:40]!r}"
            )
        by = f"uid {caller(context).uid}"
        now = self._desk.clock.now()
        reply = await self._decided(
            lambda number: CommandRequested(now, number, verb, request.node, by), context
        )
        return pb.CommandResponse(text=reply.text)

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        state = self._desk.view()
        if request.node and request.node not in state.nodes:
            await _refuse(context, grpc.StatusCode.NOT_FOUND, f"no such node: {request.node[:40]}")
        return pb.GetStatusResponse(
            host=self._host(state),
            nodes=self._nodes(state, request.node, whole=self._desk.admin(caller(context))),
        )

    async def WatchStatus(
        self, request: pb.WatchStatusRequest, context: Any
    ) -> AsyncIterator[pb.WatchStatusResponse]:
        if request.node and request.node not in self._desk.view().nodes:
            await _refuse(context, grpc.StatusCode.NOT_FOUND, f"no such node: {request.node[:40]}")
        while True:
            changed = self._desk.changed()
            state = self._desk.view()
            yield pb.WatchStatusResponse(
                host=self._host(state), nodes=self._nodes(state, request.node, whole=False)
            )
            await changed.wait()
            # Several decisions in a moment are one picture to a person.
            await asyncio.sleep(FOLLOW)

    async def Explain(self, request: pb.ExplainRequest, context: Any) -> AsyncIterator[pb.ExplainResponse]:
        limit = min(request.limit or 200, MOST_ENTRIES)
        last, whole = 0, self._desk.admin(caller(context))
        while True:
            reading = self._desk.chronicle.read(request.node, request.incident, last, limit)
            entries = await _read(context, reading)
            for entry in entries:
                last = entry.sequence
                yield _entry(entry, whole)
            if not request.follow:
                return
            limit = MOST_ENTRIES
            await asyncio.sleep(FOLLOW)

    async def ReadLogs(self, request: pb.ReadLogsRequest, context: Any) -> AsyncIterator[pb.ReadLogsResponse]:
        names = await self._log_names(request, context)
        logs, places = self._desk.logs, {}
        for name in names:
            reading = asyncio.to_thread(logs.tail, request.node, name, request.lines or 100)
            text, places[name] = await _read(context, reading)
            if text:
                yield pb.ReadLogsResponse(instance=name, text=text)
        while request.follow:
            await asyncio.sleep(FOLLOW)
            if not request.instance:
                node = self._desk.view().nodes.get(request.node)
                places = {name: places.get(name, 0) for name in (node.instances if node else ())} | places
            for name, place in places.items():
                reading = asyncio.to_thread(logs.since, request.node, name, place)
                text, places[name] = await _read(context, reading)
                if text:
                    yield pb.ReadLogsResponse(instance=name, text=text)

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.GetVersionResponse:
        return pb.GetVersionResponse(version=self._desk.facts().version, build=self._desk.build, protocol=1)

    async def _decided(self, ask: Callable[[int], ApplyRequested | CommandRequested], context: Any) -> Reply:
        number, answer = self._desk.answers.open()
        self._desk.inbox.put(ask(number))
        try:
            async with asyncio.timeout(ANSWER_TIME):
                reply = await answer
        except TimeoutError:
            text = f"noded took the request and has not decided within {ANSWER_TIME:.0f} s"
            await _refuse(context, grpc.StatusCode.DEADLINE_EXCEEDED, text)
        if reply.kind:
            await _refuse(context, CODES.get(reply.kind, grpc.StatusCode.INTERNAL), reply.text)
        return reply

    def _host(self, state: HostState) -> pb.HostStatus:
        return host_status(state, self._desk.facts())

    def _nodes(self, state: HostState, name: str, *, whole: bool) -> Sequence[pb.NodeStatus]:
        at = self._desk.clock.now()
        if name:
            node = state.nodes.get(name)
            if node is None:
                return ()
            return (node_status(node, at, self._manifest(node.release.digest) if whole else ""),)
        return [node_status(node, at) for _, node in sorted(state.nodes.items())]

    def _manifest(self, digest: str) -> str:
        try:
            return (self._desk.releases.path(digest) / "node.toml").read_text("utf-8", "replace")
        except (OSError, PortError):
            return ""

    async def _log_names(self, request: pb.ReadLogsRequest, context: Any) -> Sequence[str]:
        if not NAME.fullmatch(request.node):
            await _refuse(
                context, grpc.StatusCode.INVALID_ARGUMENT, f"not a node's name: {request.node[:40]!r}"
            )
        if request.instance and not INSTANCE.fullmatch(request.instance):
            text = f"not an instance's name: {request.instance[:48]!r}"
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text)
        node = self._desk.view().nodes.get(request.node)
        written = self._desk.logs.instances(request.node)
        if node is None and not written:
            await _refuse(context, grpc.StatusCode.NOT_FOUND, f"no such node: {request.node}")
        if request.instance:
            if request.instance not in (*written, *(node.instances if node else ())):
                text = f"no such instance of {request.node}: {request.instance}"
                await _refuse(context, grpc.StatusCode.NOT_FOUND, text)
            return (request.instance,)
        alive = [name for name in written if node is not None and name in node.instances]
        return alive or ([newest(written)] if written else [])


async def _refuse(context: Any, code: grpc.StatusCode, text: str) -> NoReturn:
    await context.abort(code, text)
    raise AssertionError("abort does not return")


async def _read(context: Any, reading: Awaitable[T]) -> T:
    try:
        return await reading
    except PortError as error:
        await _refuse(context, grpc.StatusCode.INTERNAL, str(error))


async def _receive(requests: AsyncIterator[pb.ApplyRequest], blob: Any, size: int, context: Any) -> None:
    """Take in exactly what the header announced."""
    if not 0 < size <= LARGEST_RELEASE:
        text = f"a release of {size} bytes: expected 1 to {LARGEST_RELEASE}"
        await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text)
    received = 0
    async for request in requests:
        received += len(request.chunk)
        if received > size:
            break
        blob.write(request.chunk)
    if received != size:
        text = f"the release came as {received} bytes and {size} were announced"
        await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text)
    blob.flush()


def _digest_of(value: bytes) -> str:
    return str(json.loads(value)["digest"])


def _entry(entry: Entry, whole: bool) -> pb.ExplainResponse:
    """The body holds settings of nodes: it is for those who may give orders."""
    return pb.ExplainResponse(
        sequence=entry.sequence,
        at=entry.at,
        node=entry.node,
        kind=entry.kind,
        name=entry.name,
        text=entry.text,
        body=entry.body if whole else "",
    )
