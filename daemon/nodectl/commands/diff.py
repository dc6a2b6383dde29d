"""`diff`: what would change between two releases, or between what runs and a folder."""

import sys
import tempfile
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client
from nodectl.commands.release import read_folder
from nodectl.differences import MADE, File, Key, Side, files, keys, side
from nodectl.documents import write
from nodectl.failures import Exit, Failure
from nodectl.screen import columns, say
from nodectl.session import Session
from nodectl.text import clean
from nodespec.release import ReleaseError

LARGEST = 128 * 1024 * 1024
"""Bytes of a packed release, as noded takes it."""
TROUBLE = Exit.USAGE
"""diff(1) ends with 2 where others end with 1, which means that there are differences."""
STYLES = {"+": "green", "-": "red", "@": "cyan"}


def diff(session: Session, node: str, one: str, other: str) -> Exit:
    try:
        with Client(session) as client:
            before, after = _sides(client, session, node, one, other)
    except Failure as failure:
        code = TROUBLE if failure.code == Exit.FAILED else failure.code
        raise Failure(failure.text, code, failure.hint) from None
    changed = keys(before, after)
    found = files(before, after, told=bool(changed))
    if not session.plain:
        content = {"node": node, "from": before.name, "to": after.name}
        lists = {"manifest": [asdict(key) for key in changed], "files": [asdict(file) for file in found]}
        write({**content, **lists}, session.output)
    elif changed or found:
        _show(node, before, after, changed, found)
    else:
        say(f"{node}: {before.name} and {after.name} are the same")
    return Exit.FAILED if changed or found else Exit.OK


def _sides(client: Client, session: Session, node: str, one: str, other: str) -> tuple[Side, Side]:
    doing = f"compare releases of {node}"
    if one and other:
        return release_side(client, session, node, one), release_side(client, session, node, other)
    if not one:
        old, new = _around(client, doing, node)
        return release_side(client, session, node, old), release_side(client, session, node, new)
    if not _is_folder(one):
        after = release_side(client, session, node, one)
        return release_side(client, session, node, client.node(doing, node).version), after
    # The folder is read first: a mistake in it needs no noded.
    after = _folder(node, Path(one))
    before = release_side(client, session, node, client.node(doing, node).version)
    # What apply makes for a release is not in the folder.
    authors = {path: item for path, item in before.items.items() if not path.startswith(MADE)}
    return Side(before.name, authors), after


def _around(client: Client, doing: str, node: str) -> tuple[str, str]:
    """The rollout under way, else the last change: the newest version that is older than the running one."""
    status = client.node(doing, node)
    if status.HasField("rollout"):
        return status.rollout.from_version, status.rollout.to_version
    request = pb.ListReleasesRequest(node=node)
    known = [
        one.version
        for one in client.ask(doing, client.stub.ListReleases, request, node).releases
        if one.node == node and one.state != "removed"
    ]
    older = known[known.index(status.version) + 1 :] if status.version in known else known
    if not older:
        text = f"cannot {doing}: there is none older than {status.version} on this host"
        raise Failure(text, hint=f"nodectl diff {node} DIR, or nodectl releases {node}")
    return older[0], status.version


def _is_folder(word: str) -> bool:
    return "/" in word or Path(word).is_dir()


def _folder(node: str, directory: Path) -> Side:
    found = read_folder(directory, "compare")
    if found.spec.name != node:
        raise Failure(f"{directory} holds {found.spec.name}, not {node}", TROUBLE)
    return side(str(directory), BytesIO(found.blob))


def release_side(client: Client, session: Session, node: str, version: str) -> Side:
    """Of a release that this host has."""
    doing = f"read {node} {version}"
    request = pb.ReadReleaseRequest(node=node, version=version)
    with tempfile.TemporaryFile() as blob:
        for piece in client.stream(doing, client.stub.ReadRelease, request, node, session.effect):
            blob.write(piece.chunk)
            if blob.tell() > LARGEST:
                raise Failure(f"cannot {doing}: it is larger than a release may be", TROUBLE)
        blob.seek(0)
        return _read(version, blob, doing)


def _read(name: str, blob: BinaryIO, doing: str) -> Side:
    try:
        return side(name, blob)
    except ReleaseError as error:
        raise Failure(f"cannot {doing}: {error}", TROUBLE, "journalctl -u noded") from None


def _show(node: str, before: Side, after: Side, changed: list[Key], found: list[File]) -> None:
    say(f"{node}: {before.name} -> {after.name}")
    if changed:
        rows = [(key.key, key.before or "-", key.after or "-") for key in changed]
        say(*columns(("KEY", "BEFORE", "AFTER"), rows, indent=2))
    for file in found:
        if file.says or not file.diff:
            say(f"{file.path}: {', '.join(part for part in (file.change, file.says) if part)}")
        if sys.stdout.isatty():
            say(*(Text(clean(line), style=STYLES.get(line[:1], "")) for line in file.diff.split("\n")[:-1]))
        else:
            sys.stdout.write(file.diff)
            sys.stdout.flush()
