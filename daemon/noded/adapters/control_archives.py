"""How do whole archives leave this host and come in: a bundle, a backup, a restore?

One at a time: each needs room on the disk and works for seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

import grpc
from google.protobuf.json_format import MessageToDict

from nodeapi.v1 import control_pb2 as pb
from noded.adapters import host_checks
from noded.adapters.bundle import MOST_LINES, Contents, write_bundle
from noded.adapters.control_desk import CHUNK, Desk, named, reading, refuse
from noded.adapters.control_status import host_status, node_status
from noded.adapters.masking import is_harmless
from noded.adapters.tar_gz import scratch
from noded.model.state import HostState, NodeState

WORDS = ("true", "false", "production", "staging", "development", "localhost", "127.0.0.1", "0.0.0.0")
"""Values that are no secret although nobody said so."""


async def bundle(desk: Desk, request: pb.BundleRequest, context: Any) -> AsyncIterator[pb.BundleResponse]:
    if request.node:
        await named(request.node, context)
        if request.node not in desk.view().nodes:
            await refuse(context, grpc.StatusCode.NOT_FOUND, f"no such node: {request.node}")
    async with desk.archives:
        contents = await _contents(desk, request.node, context)
        at = desk.clock.now()
        async for chunk in _made(desk, context, lambda file: write_bundle(file, at, contents)):
            yield pb.BundleResponse(chunk=chunk)


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


async def no_room(context: Any, folder: Path, error: OSError) -> NoReturn:
    text = f"cannot keep the archive in {folder} while it is made: {error.strerror}: make room there"
    await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, text)


async def _contents(desk: Desk, only: str, context: Any) -> Contents:
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
