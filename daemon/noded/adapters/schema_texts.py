"""Which contracts are compared when a release comes, and what do they say?"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from noded.model.inputs import Schema
from noded.model.state import HostState
from noded.ports import PortError
from nodespec.contracts import LONGEST, read_schema
from nodespec.manifest import Consumes, NodeSpec, Publishes

MOST = 1024 * 1024
"""Characters of all contracts together: they go into the journal. A person compares those beyond."""


def tables(spec: NodeSpec) -> tuple[Publishes | Consumes, ...]:
    return (*spec.publishes, *spec.consumes)


def named(spec: NodeSpec) -> set[str]:
    """Files of the release that hold its contracts."""
    return {table.schema for table in tables(spec) if table.schema}


def changed(before: Path, after: Path, spec: NodeSpec) -> str:
    """A contract that is not the same in both releases, or cannot be read; empty when there is none."""
    for path in sorted(named(spec)):
        try:
            same = read_schema(before, path) == read_schema(after, path)
        except (OSError, ValueError):
            same = False
        if not same:
            return path
    return ""


def gathered(
    state: HostState,
    folder: Callable[[str], Path],
    spec: NodeSpec,
    digest: str,
    files: Mapping[str, bytes] | None,
) -> tuple[Schema, ...]:
    """Of the release, whose files are given unless it is kept here, and of every version that lives here and
    shares a type with it.

    One that cannot be read is left out: the policy then knows nothing of it and asks a person.
    """
    found: list[Schema] = []
    left = MOST
    for release, path in dict.fromkeys(_wanted(state, spec, digest)):
        text = _text(files, path) if files is not None and release == digest else _read(folder, release, path)
        if text is not None and len(text) <= left:
            left -= len(text)
            found.append(Schema(release, path, text))
    return tuple(found)


def of_order(
    state: HostState, folder: Callable[[str], Path], verb: str, name: str, version: str
) -> tuple[Schema, ...]:
    """Where an order brings a release back that is kept here."""
    node = state.nodes.get(name)
    meant = node.returns_to(verb, version) if node is not None else None
    return gathered(state, folder, meant[0], meant[1].digest, None) if meant else ()


def _wanted(state: HostState, spec: NodeSpec, digest: str) -> Iterator[tuple[str, str]]:
    types = {table.type for table in tables(spec)}
    yield from _of(spec, digest, types)
    for name in sorted(state.nodes, key=lambda name: name != spec.name):
        node = state.nodes[name]
        yield from _of(node.spec, node.release.digest, types)
        if node.rolling_out and node.rollout is not None:
            yield from _of(node.rollout.spec, node.rollout.release.digest, types)


def _of(spec: NodeSpec, digest: str, types: set[str]) -> Iterator[tuple[str, str]]:
    for table in tables(spec):
        if table.schema and table.type in types:
            yield digest, table.schema


def _text(files: Mapping[str, bytes], path: str) -> str | None:
    content = files.get(path)
    if content is None or len(content) > LONGEST:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _read(folder: Callable[[str], Path], digest: str, path: str) -> str | None:
    try:
        return read_schema(folder(digest), path)
    except (OSError, ValueError, PortError):
        return None
