"""`bundle`, `backup`, `restore`: archives that noded makes, and one that it takes."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client
from nodectl.documents import document, write
from nodectl.failures import Exit, Failure
from nodectl.keep import keep
from nodectl.screen import columns, note, say, styled
from nodectl.session import Session
from nodectl.text import size

CHUNK = 64 * 1024
GZIP = b"\x1f\x8b"
PATIENCE = 600.0
"""Seconds for a whole archive."""
STYLES = {"restored": "green", "would be restored": "cyan", "left alone": "dim", "failed": "red"}


def bundle(session: Session, node: str, target: str) -> None:
    with Client(session) as client:
        request = pb.BundleRequest(node=node)
        _keep(session, client, f"bundle {node or 'this host'}", client.stub.Bundle, request, target, node)


def backup(session: Session, target: str) -> None:
    with Client(session) as client:
        _keep(session, client, "back up this host", client.stub.Backup, pb.BackupRequest(), target)


def _keep(
    session: Session,
    client: Client,
    doing: str,
    method: Callable[..., Any],
    request: Any,
    target: str,
    node: str = "",
) -> None:
    pieces = client.stream(doing, method, request, node, within=session.timeout or PATIENCE)
    written = keep(_checked(doing, (piece.chunk for piece in pieces)), target)
    if target == "-":
        return
    if session.plain:
        say(f"{target}: {size(written)}")
    else:
        write({"file": target, "size": written}, session.output)


def _checked(doing: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    begun = False
    for chunk in chunks:
        begun = begun or bool(chunk)
        yield chunk
    if not begun:
        raise Failure(f"cannot {doing}: noded sent nothing", hint="journalctl -u noded")


def restore(session: Session, path: Path, plan: bool) -> Exit:
    with _opened(path) as file, Client(session) as client:
        length = file.seek(0, 2)
        file.seek(0)
        answer = client.ask(
            f"restore {path}",
            client.stub.Restore,
            _parts(file, length, plan),
            within=session.timeout or PATIENCE,
        )
    nodes = list(answer.nodes)
    if not session.plain:
        write([document(one) for one in nodes], session.output)
    elif nodes:
        rows = [
            (one.node, one.version, styled(one.result, STYLES.get(one.result, "")), one.text) for one in nodes
        ]
        say(*columns(("NODE", "VERSION", "RESULT", ""), rows))
    else:
        note("the backup holds no nodes")
    if any(one.result == "failed" for one in nodes):
        return Exit.FAILED
    return Exit.DIFFERENCES if any(one.result == "would be restored" for one in nodes) else Exit.OK


def _opened(path: Path) -> BinaryIO:
    try:
        if not path.is_file():
            raise Failure(f"{path}: expected the file of a backup, got no file", Exit.USAGE)
        file = path.open("rb")
    except OSError as error:
        raise Failure(f"{path}: cannot be read: {error.strerror}", Exit.USAGE) from None
    if file.read(len(GZIP)) != GZIP:
        file.close()
        raise Failure(
            f"{path}: expected what nodectl backup wrote, a .tar.gz, got something else", Exit.USAGE
        )
    return file


def _parts(file: BinaryIO, length: int, plan: bool) -> Iterator[pb.RestoreRequest]:
    yield pb.RestoreRequest(header=pb.RestoreHeader(plan_only=plan, size=length))
    while chunk := file.read(CHUNK):
        yield pb.RestoreRequest(chunk=chunk)
