"""How do whole archives leave this host and come in: a bundle, a backup, a restore?

One at a time: each needs room on the disk and works for seconds.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import grpc

from nodeapi.v1 import control_pb2 as pb
from noded.adapters import backup as backups
from noded.adapters import host_checks
from noded.adapters.apply_facts import gathered
from noded.adapters.backup import LARGEST, Backup, BadBackup, Saved, read_backup, write_backup
from noded.adapters.bundle import MOST_LINES, Contents, write_bundle
from noded.adapters.control_desk import CHUNK, Desk, answered, named, reading, receive, refuse
from noded.adapters.control_status import host_status, node_status
from noded.adapters.masking import is_harmless
from noded.adapters.peercred import caller
from noded.adapters.tar_gz import scratch
from noded.model.inputs import ApplyRequested
from noded.model.release import Release
from noded.model.state import HostState, NodeState
from noded.ports import PortError
from nodespec.manifest import NodeSpec

RESTORING = "restore-"
"""Begins the name of a folder in the state folder; what a crash leaves of one goes at the next start."""
UPLOAD_TIME = 1800.0
WAIT = 60.0
"""Seconds for the one before to end."""
WORDS = ("true", "false", "production", "staging", "development", "localhost", "127.0.0.1", "0.0.0.0")
"""Values that are no secret although nobody said so."""


async def bundle(desk: Desk, request: pb.BundleRequest, context: Any) -> AsyncIterator[pb.BundleResponse]:
    if request.node:
        await named(request.node, context)
        if request.node not in desk.view().nodes:
            await refuse(context, grpc.StatusCode.NOT_FOUND, f"no such node: {request.node}")
    async with _alone(desk, context):
        contents = await _contents(desk, request.node, context)
        at = desk.clock.now()
        async for chunk in _made(desk, context, lambda file: write_bundle(file, at, contents)):
            yield pb.BundleResponse(chunk=chunk)


@asynccontextmanager
async def _alone(desk: Desk, context: Any) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(WAIT):
            await desk.archives.acquire()
    except TimeoutError:
        text = f"another archive is being made or taken in, for more than {WAIT:g} s: try again later"
        await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, text)
    try:
        yield
    finally:
        desk.archives.release()


async def _made(desk: Desk, context: Any, write: Callable[[IO[bytes]], None]) -> AsyncIterator[bytes]:
    """What `write` writes, made whole before the first byte leaves: half an archive helps nobody."""
    folder = Path(desk.settings.paths.state)
    try:
        with scratch(folder) as file:
            await asyncio.to_thread(write, file)
            file.seek(0)
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk
    except OSError as error:
        await no_room(context, folder, error)


async def backup(desk: Desk, context: Any) -> AsyncIterator[pb.BackupResponse]:
    async with _alone(desk, context):
        contents = await _saved(desk, context)
        try:
            async for chunk in _made(desk, context, lambda file: write_backup(file, contents)):
                yield pb.BackupResponse(chunk=chunk)
        except BadBackup as error:
            text = f"cannot back up this host: {error}: apply the node again, or remove it"
            await refuse(context, grpc.StatusCode.DATA_LOSS, text)


async def _saved(desk: Desk, context: Any) -> backups.Contents:
    nodes, _ = await reading(context, desk.registry.list("nodes/"))
    releases, _ = await reading(context, desk.registry.list("releases/"))
    found: list[Saved] = []
    for record in nodes:
        raw = json.loads(record.value)
        if raw["desired"] in ("running", "stopped"):
            name = record.key.removeprefix("nodes/")
            found.append(Saved(name, raw["version"], raw["digest"], raw["desired"]))
    return backups.Contents(
        host=desk.view().host.name,
        version=desk.facts().version,
        at=desk.clock.now(),
        nodes=tuple(found),
        releases={node.digest: desk.releases.path(node.digest) for node in found},
        records={record.key: record.value.decode() for record in (*nodes, *releases)},
        settings=(desk.policy.with_name("noded.toml"), desk.policy),
    )


async def restore(desk: Desk, parts: AsyncIterator[pb.RestoreRequest], context: Any) -> pb.RestoreResponse:
    first = await anext(parts, None)
    if first is None or first.WhichOneof("part") != "header":
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "the first message must be the header")
    state = Path(desk.settings.paths.state)
    async with _alone(desk, context):
        try:
            with tempfile.TemporaryDirectory(prefix=RESTORING, dir=state) as folder:
                held, specs = await _read(desk, parts, first.header.size, Path(folder), context)
                by = f"uid {caller(context).uid}, from a backup of {held.host}"
                plan = first.header.plan_only
                return pb.RestoreResponse(
                    nodes=[
                        await _restored(desk, held, node, specs[node.node], by, plan) for node in held.nodes
                    ]
                )
        except OSError as error:
            await no_room(context, state, error)


async def _read(
    desk: Desk, parts: AsyncIterator[pb.RestoreRequest], size: int, folder: Path, context: Any
) -> tuple[Backup, dict[str, NodeSpec]]:
    """Everything in it, found whole: until then nothing is done with any of it."""
    try:
        with (folder / "backup").open("wb+") as blob:
            async with asyncio.timeout(UPLOAD_TIME):
                await receive(parts, blob, size, LARGEST, "a backup", context)
            blob.seek(0)
            held = await asyncio.to_thread(read_backup, blob, folder)
        specs = {node.node: await _examined(desk, held, node) for node in held.nodes}
    except TimeoutError:
        text = f"the backup did not come within {UPLOAD_TIME:g} s"
        await refuse(context, grpc.StatusCode.DEADLINE_EXCEEDED, text)
    except BadBackup as error:
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
    return held, specs


async def _examined(desk: Desk, held: Backup, node: Saved) -> NodeSpec:
    try:
        digest, spec = await desk.releases.examine(held.blobs[node.digest])
    except PortError as error:
        raise BadBackup(f"the release of {node.node}: {error}") from error
    if (digest, spec.name, spec.version) != (node.digest, node.node, node.version):
        found = f"{spec.name} {spec.version} with {digest[:19]}"
        raise BadBackup(f"the release of {node.node} is {found}, not {node.version} with {node.digest[:19]}")
    return spec


async def _restored(
    desk: Desk, held: Backup, node: Saved, spec: NodeSpec, by: str, plan: bool
) -> pb.RestoredNode:
    def told(result: str, text: str) -> pb.RestoredNode:
        return pb.RestoredNode(node=node.node, version=node.version, result=result, text=text)

    here = desk.view().nodes.get(node.node)
    if here is not None:
        return told("left alone", f"{here.release.version} is on this host and {here.desired}")
    try:
        if not plan:
            await desk.releases.add(held.blobs[node.digest])
        record = await desk.registry.get(f"releases/{node.node}/{node.version}")
    except PortError as error:
        return told("failed", str(error))
    release = Release(node.node, node.version, node.digest, by)
    taken = str(json.loads(record.value)["digest"]) if record else ""
    # What ran together runs together again; the nodes come one after the other.
    stopped, force = node.desired == "stopped", True
    blob, folder = held.blobs[node.digest], desk.releases.path
    beside = await asyncio.to_thread(gathered, desk.view(), folder, spec, node.digest, blob)
    reply = await answered(
        desk,
        lambda number: ApplyRequested(
            desk.clock.now(), number, spec, release, taken, plan, stopped, beside.schemas, force=force
        ),
    )
    if reply is None:
        return told("failed", f"noded has not decided in time: nodectl status {node.node}")
    if reply.kind:
        return told("failed", reply.text)
    return told("would be restored" if plan else "restored", reply.text)


async def no_room(context: Any, folder: Path, error: OSError) -> NoReturn:
    text = f"cannot keep the archive in {folder} while it is made: {error.strerror}: make room there"
    await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, text)


async def _contents(desk: Desk, only: str, context: Any) -> Contents:
    # Loaded by those who ask for a bundle: the daemon stays smaller without.
    from google.protobuf.json_format import MessageToDict

    state = desk.view()
    nodes = {name: node for name, node in sorted(state.nodes.items()) if only in ("", name)}
    facts = desk.facts()
    status = pb.GetStatusResponse(
        host=host_status(state, facts),
        nodes=[node_status(node, desk.clock.now()) for node in nodes.values()],
    )
    entries = await reading(context, desk.chronicle.read(only, "", 0, MOST_LINES))
    checks = pb.CheckHostResponse(checks=await host_checks.checked(desk))
    return Contents(
        trees={
            "about.json": {
                "made at": desk.clock.now(),
                "host": state.host.name,
                "version": facts.version,
                "build": desk.build,
                "node": only or "all",
            },
            "status.json": MessageToDict(status, preserving_proto_field_name=True),
            "checks.json": MessageToDict(checks, preserving_proto_field_name=True),
        },
        manifests=_manifests(desk, nodes.values()),
        settings=(desk.policy.with_name("noded.toml"), desk.policy),
        entries=entries,
        nodes=tuple(nodes),
        logs=desk.logs,
        ring=Path(desk.settings.paths.state) / "ring",
        known=tuple(_known(desk, state)),
    )


def _manifests(desk: Desk, nodes: Iterable[NodeState]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for node in nodes:
        digests = {node.release.version: node.release.digest}
        if node.rolling_out and node.rollout:
            digests[node.rollout.release.version] = node.rollout.release.digest
        for version, digest in digests.items():
            found[f"{node.name}-{version}"] = desk.releases.path(digest)
    return found


def _known(desk: Desk, state: HostState) -> Iterator[str]:
    """Values of environments; what is also the name of something is none."""
    settings = desk.settings
    env = [*settings.nodes.env, *settings.regenerate.env]
    for node in state.nodes.values():
        env += node.spec.env
        env += node.rollout.spec.env if node.rollout else ()
    names = {state.host.name, *state.nodes, *WORDS}
    yield from (value for name, value in env if not is_harmless(name) and value not in names)
