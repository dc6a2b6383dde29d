"""What does a backup hold, and is the one that comes back whole?

A gzipped tar in the one spelling that releases travel in: the packed releases that the nodes of this host
run, the registry's records and the settings for a person to look at, and at the end `manifest.json` with
the SHA-256 of everything. Data of nodes and secrets are not in it.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from noded.adapters.control_releases import pack_whole
from nodespec.archive import Member, ending, header, members, padding
from nodespec.tree import Kind, ReleaseError

FORMAT = 1
MANIFEST = "manifest.json"
PART = 32 * 1024 * 1024
"""Bytes of a release in one file of the archive."""
LARGEST = 4 * 1024**3
"""Bytes of everything, unpacked."""
LARGEST_MANIFEST = 4 * 1024 * 1024
MOST_NODES = 1000
LONGEST_TEXT = 200
RELEASE = re.compile(r"releases/([0-9a-f]{64})\.([0-9]{2})")
REST = re.compile(r"records\.json|reference/(?:noded|policy)\.toml")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


class BadBackup(Exception):
    """The archive cannot be used; nothing of it was."""


@dataclass(frozen=True, slots=True)
class Saved:
    """One node as the registry had it."""

    node: str
    version: str
    digest: str
    desired: str


@dataclass(frozen=True, slots=True)
class Contents:
    host: str
    version: str
    at: float
    nodes: tuple[Saved, ...]
    releases: Mapping[str, Path]
    """Folders by digest."""
    records: Mapping[str, str]
    settings: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Backup:
    """What was read, and found whole."""

    host: str
    at: float
    nodes: tuple[Saved, ...]
    blobs: Mapping[str, Path]
    """Packed releases by digest."""


@dataclass(slots=True)
class _Writing:
    file: IO[bytes]
    length: int = 0
    sums: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put(self, name: str, content: bytes) -> None:
        whole = header(Member(name, Kind.FILE, 0o644, len(content))) + content + padding(len(content))
        self.file.write(whole)
        self.length += len(whole)
        self.sums[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def write_backup(file: IO[bytes], contents: Contents) -> None:
    """Blocks. Raises BadBackup when a release is not what its digest says, or OSError."""
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
        writing = _Writing(packed)  # type: ignore[arg-type]
        for digest, folder in sorted(contents.releases.items()):
            blob = _blob(digest, folder)
            for number, place in enumerate(range(0, len(blob), PART)):
                writing.put(f"releases/{digest[7:]}.{number:02}", blob[place : place + PART])
        writing.put("records.json", _json(contents.records))
        for path in contents.settings:
            if path.exists():
                writing.put(f"reference/{path.name}", path.read_bytes()[:LARGEST_MANIFEST])
        told = {
            "format": FORMAT,
            "host": contents.host,
            "version": contents.version,
            "at": contents.at,
            "nodes": [asdict(node) for node in contents.nodes],
            "files": dict(writing.sums),
        }
        writing.put(MANIFEST, _json(told))
        packed.write(ending(writing.length))


def read_backup(file: IO[bytes], folder: Path) -> Backup:
    """Look through all of it, lay its releases into the folder. Raises BadBackup, or the disk's OSError."""
    sums: dict[str, dict[str, Any]] = {}
    manifest = b""
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            for name, content in _files(packed):
                total, digest = 0, hashlib.sha256()
                target = _target(folder, name)
                with target.open("ab") as out:
                    for chunk in content:
                        digest.update(chunk)
                        out.write(chunk)
                        total += len(chunk)
                sums[name] = {"sha256": digest.hexdigest(), "size": total}
        manifest = (folder / MANIFEST).read_bytes() if MANIFEST in sums else b""
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadBackup(f"not a backup, or cut off: {error}") from error
    except ReleaseError as error:
        raise BadBackup("not a backup as noded writes it: " + "; ".join(map(str, error.mistakes))) from error
    return _checked(manifest, sums, folder)


def _files(packed: gzip.GzipFile) -> Iterator[tuple[str, Iterable[bytes]]]:
    seen: set[str] = set()
    total = 0
    for member, content in members(packed, "the backup"):  # type: ignore[arg-type]
        total += member.size
        known = RELEASE.fullmatch(member.path) or REST.fullmatch(member.path) or member.path == MANIFEST
        if member.kind is not Kind.FILE or not known or member.path in seen or MANIFEST in seen:
            raise BadBackup(f"{member.path[:100]!r} does not belong into a backup")
        if total > LARGEST or (member.path == MANIFEST and member.size > LARGEST_MANIFEST):
            raise BadBackup(f"larger than {LARGEST // 1024**3} GiB when it is unpacked")
        seen.add(member.path)
        yield member.path, content


def _target(folder: Path, name: str) -> Path:
    found = RELEASE.fullmatch(name)
    return folder / (found[1] if found else name if name == MANIFEST else "rest")


def _checked(manifest: bytes, sums: Mapping[str, Any], folder: Path) -> Backup:
    try:
        raw = json.loads(manifest)
        nodes = tuple(Saved(**node) for node in raw["nodes"])
        told, host, at = dict(raw["files"]), str(raw["host"]), float(raw["at"])
        form = raw["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadBackup(f"{MANIFEST} is missing or not what noded writes") from error
    if form != FORMAT:
        raise BadBackup(f"format {str(form)[:20]}: this noded reads format {FORMAT}")
    for name in sorted({*sums, *told} - {MANIFEST}):
        if sums.get(name) != told.get(name):
            raise BadBackup(f"{name[:100]} is missing or not what {MANIFEST} says: the file was damaged")
    for wrong in _wrong(nodes):
        raise BadBackup(wrong)
    blobs = {node.digest: folder / node.digest[7:] for node in nodes}
    for digest, path in blobs.items():
        if not path.exists():
            raise BadBackup(f"release {digest[:19]} is not in it")
    return Backup(_one_line(host), at, nodes, blobs)


def _wrong(nodes: tuple[Saved, ...]) -> Iterator[str]:
    if len(nodes) > MOST_NODES or len({str(node.node) for node in nodes}) < len(nodes):
        yield f"{MANIFEST}: more than {MOST_NODES} nodes, or one of them twice"
    for node in nodes:
        if not all(isinstance(text, str) for text in (node.node, node.version, node.digest, node.desired)):
            yield f"{MANIFEST}: a node of another shape than expected"
        elif not NAME.fullmatch(node.node) or not DIGEST.fullmatch(node.digest):
            yield f"{MANIFEST}: {_one_line(node.node)}: not a node's name with a digest"
        elif node.desired not in ("running", "stopped"):
            yield f"{MANIFEST}: {node.node}: expected running or stopped, got {_one_line(node.desired)}"


def _blob(digest: str, folder: Path) -> bytes:
    try:
        return pack_whole(folder, digest)
    except FileNotFoundError as error:
        raise BadBackup(f"release {digest[:19]} is not on this host") from error
    except ValueError as error:
        raise BadBackup(f"release {digest[:19]}: {error}") from error


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:LONGEST_TEXT])


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode() + b"\n"
