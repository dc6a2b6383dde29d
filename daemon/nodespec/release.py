"""How does a folder become a release, and a release a folder again?

`pack` and `unpack` refuse the same things. A digest names what is in the tree, so it is equal before packing,
in the archive and after unpacking.
"""

import io
import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from nodespec.archive import Member, ending, header, padding
from nodespec.contracts import without_contracts
from nodespec.environment import FOLDER, Files, without_environment
from nodespec.manifest import NodeSpec
from nodespec.reading import LONGEST_TEXT, ManifestError, Mistake, decode, read_node
from nodespec.scan import Scan
from nodespec.tree import MANIFEST, Kind, ReleaseError, Tree, digest_of, in_order, link_mistakes, refuse_if
from nodespec.unpacking import Unpacking, sync

__all__ = ["Packed", "ReleaseError", "ReleaseRecord", "digest_of_tree", "pack", "sweep", "unpack"]

UNFINISHED = ".part"


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """`parent` is the digest it was made from, or empty; `signature` is empty until releases are signed."""

    node: str
    version: str
    digest: str
    parent: str
    created_by: str
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Packed:
    blob: bytes = field(repr=False)
    digest: str
    size: int
    """Bytes in all files."""
    files: int
    spec: NodeSpec


def pack(directory: Path, made: Files | None = None) -> Packed:
    """Raises ReleaseError with everything that is wrong in the folder; `tree.SKIPPED` stays behind.

    `made` takes the place of what lies in `.noded`. Every file is read once, so blob and digest agree even
    while somebody writes into the folder.
    """
    scan = Scan(source=True, left=frozenset() if made is None else frozenset({FOLDER}))
    scan.walk(directory)
    scan.put(made or {})
    # what is missing in half a tree says nothing
    refuse_if(str(directory), scan.mistakes if scan.stopped else [])
    spec, mistakes = _manifest(scan.tree, scan.contents.get(MANIFEST, b""))
    contracts = () if spec is None else without_contracts(spec, scan.tree, scan.contents.__getitem__)
    found = [*scan.mistakes, *link_mistakes(scan.tree), *mistakes, *contracts]
    if spec is None or found:
        raise ReleaseError(str(directory), found)
    blob = io.BytesIO()
    for path, entry in in_order(scan.tree):
        content = scan.contents.get(path, b"")
        blob.write(header(Member(path, entry.kind, entry.mode, len(content), entry.target)))
        blob.write(content + padding(len(content)))
    blob.write(ending(blob.tell()))
    return Packed(blob.getvalue(), digest_of(scan.tree), scan.size, len(scan.tree), spec)


def digest_of_tree(directory: Path) -> str:
    """Of an unpacked release. Nothing is passed over: a file that came later is a mistake or another digest.

    Raises ReleaseError.
    """
    scan = Scan(source=False)
    scan.walk(directory)
    refuse_if(str(directory), [*scan.mistakes, *link_mistakes(scan.tree)])
    return digest_of(scan.tree)


def unpack(blob: bytes | Path, target: Path) -> str:
    """The digest of what now stands, synced, in `target`, which must not exist before.

    Raises ReleaseError or OSError, and then there is no `target`. The work is done in a folder beside it;
    what a crash leaves of that is for `sweep`.
    """
    refuse_if(str(target), [Mistake("", hint="already exists")] if os.path.lexists(target) else [])
    work = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=UNFINISHED, dir=target.parent))
    try:
        with io.BytesIO(blob) if isinstance(blob, bytes) else blob.open("rb") as source:
            tree = Unpacking(work, target.name).fill(source)
        _refuse_what_cannot_run(tree, work, target.name)
        # the rename makes the whole release appear at once; it fails when another one took the name meanwhile
        work = work.rename(target)
        sync(target.parent)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return digest_of(tree)


def sweep(folder: Path) -> None:
    """Removes what interrupted calls of `unpack` left in `folder`; for when no other call runs."""
    for leftover in folder.glob(f".*{UNFINISHED}"):
        shutil.rmtree(leftover)


def _refuse_what_cannot_run(tree: Tree, folder: Path, where: str) -> None:
    is_file = MANIFEST in tree and tree[MANIFEST].kind is Kind.FILE
    content = b""
    if is_file:
        with (folder / MANIFEST).open("rb") as source:
            content = source.read(LONGEST_TEXT + 1)
    spec, mistakes = _manifest(tree, content)
    refuse_if(where, mistakes)
    if spec is not None:
        contracts = without_contracts(spec, tree, lambda path: (folder / path).read_bytes())
        refuse_if(where, [*contracts, *without_environment(spec, tree, folder)])


def _manifest(tree: Tree, content: bytes) -> tuple[NodeSpec | None, list[Mistake]]:
    entry = tree.get(MANIFEST)
    if entry is None or entry.kind is not Kind.FILE:
        return None, [Mistake(MANIFEST, "the node's manifest", "no such file" if entry is None else "a link")]
    try:
        spec = read_node(decode(content, MANIFEST), MANIFEST)
        return spec, _missing(tree, spec)
    except ManifestError as refusal:
        place = [": ".join(filter(None, (MANIFEST, wrong.key))) for wrong in refusal.mistakes]
        return None, [replace(wrong, key=key) for wrong, key in zip(refusal.mistakes, place, strict=True)]


def _missing(tree: Tree, spec: NodeSpec) -> list[Mistake]:
    named = tree.get(spec.requirements)
    if not spec.requirements or (named and named.kind is Kind.FILE):
        return []
    got = f"a link at {spec.requirements}" if named else f"no file {spec.requirements}"
    return [Mistake(f"{MANIFEST}: node.requirements", "a file of the release", got)]
