"""Which releases are there, and how does one get back out of this host?"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.control_desk import CHUNK, VERSION, Desk, named, reading, refuse
from noded.model.state import HostState, NodeState
from noded.ports import PortError
from nodespec.release import ReleaseError, pack

MOST_SIZES = 10_000


@dataclass(slots=True)
class Sizes:
    """Bytes on disk. A release never changes, so one look is enough while it is there."""

    _known: dict[str, int] = field(default_factory=dict)

    def of(self, digest: str, folder: Path) -> int:
        """0 when it is not there."""
        if not folder.is_dir():
            self._known.pop(digest, None)
            return 0
        if digest not in self._known:
            if len(self._known) >= MOST_SIZES:
                self._known.clear()
            self._known[digest] = sum(_sizes(folder))
        return self._known[digest]


SIZES = Sizes()


async def listed(desk: Desk, request: pb.ListReleasesRequest, context: Any) -> pb.ListReleasesResponse:
    if request.node:
        await named(request.node, context)
    prefix = f"releases/{request.node}/" if request.node else "releases/"
    records, _ = await reading(context, desk.registry.list(prefix))
    state = desk.view()
    found = [json.loads(record.value) for record in records]
    if request.node and not found and request.node not in state.nodes:
        await refuse(context, grpc.StatusCode.NOT_FOUND, f"no such node: {request.node}")
    found.sort(key=lambda raw: (raw["node"], -raw.get("at", 0.0)))
    shown = await asyncio.to_thread(lambda: [_shown(desk, state, raw) for raw in found])
    return pb.ListReleasesResponse(releases=shown)


def _shown(desk: Desk, state: HostState, raw: dict[str, Any]) -> pb.ReleaseStatus:
    size = SIZES.of(raw["digest"], desk.releases.path(raw["digest"]))
    return pb.ReleaseStatus(
        node=raw["node"],
        version=raw["version"],
        digest=raw["digest"],
        origin=raw.get("origin", ""),
        recorded_at=raw.get("at", 0.0),
        state=_state(state.nodes.get(raw["node"]), raw["digest"]) if size else "removed",
        size=size,
        signed=bool(raw.get("signature")),
    )


def _state(node: NodeState | None, digest: str) -> str:
    if node is not None and node.release.digest == digest:
        return "running"
    if node is not None and node.rolling_out and node.rollout and node.rollout.release.digest == digest:
        return "candidate"
    return "kept"


async def packed(
    desk: Desk, request: pb.ReadReleaseRequest, context: Any
) -> AsyncIterator[pb.ReadReleaseResponse]:
    digest = await digest_meant(desk, request, context)
    try:
        blob = await asyncio.to_thread(pack_whole, desk.releases.path(digest), digest)
    except FileNotFoundError:
        text = f"the files of {request.node} {request.version} are not on this host any more"
        await refuse(context, grpc.StatusCode.NOT_FOUND, text)
    except (OSError, ValueError, PortError) as error:
        await refuse(context, grpc.StatusCode.DATA_LOSS, f"cannot read the release: {error}")
    for place in range(0, len(blob), CHUNK):
        yield pb.ReadReleaseResponse(chunk=blob[place : place + CHUNK])


def pack_whole(folder: Path, digest: str) -> bytes:
    """Raises FileNotFoundError, OSError, or ValueError when its files are not what the digest says."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        found = pack(folder)
    except ReleaseError as error:
        raise ValueError(str(error)) from error
    if found.digest != digest:
        raise ValueError(f"its files changed: they are {found.digest}, not {digest}")
    return found.blob


async def digest_meant(desk: Desk, request: pb.ReadReleaseRequest | pb.RunTestsRequest, context: Any) -> str:
    """Of the release by its version, or of the one that runs."""
    await named(request.node, context)
    if request.version and not VERSION.fullmatch(request.version):
        text = f"not a version: {request.version[:64]!r}"
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text)
    node = desk.view().nodes.get(request.node)
    if not request.version and node is not None:
        return node.release.digest
    key = f"releases/{request.node}/{request.version}"
    record = await reading(context, desk.registry.get(key)) if request.version else None
    if record is None:
        what = f"release {request.version} of {request.node}: nodectl releases {request.node}"
        text = f"no such {what}" if request.version else f"no such node: {request.node}"
        await refuse(context, grpc.StatusCode.NOT_FOUND, text)
    return str(json.loads(record.value)["digest"])


def _sizes(folder: Path) -> Iterator[int]:
    for place, _, files in os.walk(folder):
        yield from (os.lstat(os.path.join(place, name)).st_size for name in files)
