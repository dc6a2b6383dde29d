"""What must the policy know beside a release that is applied: contracts, and which change it loses?"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from noded.adapters import lineage, schema_texts
from noded.model.inputs import Schema
from noded.model.state import HostState
from nodespec.archive import members
from nodespec.manifest import NodeSpec
from nodespec.release import ReleaseError

LONGEST = 16 * 1024 * 1024
"""Bytes of one file of the release that is looked into."""


@dataclass(frozen=True, slots=True)
class Beside:
    schemas: tuple[Schema, ...] = ()
    lost: str = ""


def gathered(
    state: HostState,
    folder: Callable[[str], Path],
    spec: NodeSpec,
    digest: str,
    blob: Path,
    parent: str | None = None,
) -> Beside:
    """`blob` is the packed release, which was found good; `parent` as `lineage.parent` tells it. Blocks: for
    a thread. Raises OSError."""
    node = state.nodes.get(spec.name)
    healed = node.release.digest if node is not None and parent is not None else digest
    changed: tuple[lineage.Change, ...] = ()
    if node is not None and healed != digest:
        changed = lineage.changes(node, folder(parent) if parent else None, folder(healed))
    wanted = {*schema_texts.named(spec), *(change.path for change in changed)}
    files = _files(blob, wanted) if wanted else {}
    lost = lineage.lost(changed, folder(healed), files)
    return Beside(schema_texts.gathered(state, folder, spec, digest, files), lost)


def _files(blob: Path, wanted: Collection[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with blob.open("rb") as source:
            for member, chunks in members(source, blob.name):
                kept = member.path in wanted and member.size <= LONGEST
                content = b"".join(chunk if kept else b"" for chunk in chunks)
                if kept:
                    found[member.path] = member.target.encode() if member.target else content
    except ReleaseError as error:
        raise OSError(0, str(error)) from error
    return found
