"""`logs`: what a node's instances wrote.

To a terminal without its control characters; to a pipe or a file byte for byte as the node wrote it.
"""

import sys

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client, OutOfTimeError
from nodectl.documents import write
from nodectl.session import Session
from nodectl.text import clean


def logs(session: Session, node: str, instance: str, lines: int, follow: bool) -> None:
    """Each line begins with its instance, unless one instance was named."""
    request = pb.ReadLogsRequest(node=node, instance=instance, lines=lines, follow=follow)
    within = session.timeout if follow else session.answer
    with Client(session) as client:
        try:
            doing = f"read the logs of {instance or node}"
            for piece in client.stream(doing, client.stub.ReadLogs, request, node, within):
                _show(session, piece, prefix=b"" if instance else f"{piece.instance} | ".encode())
        except OutOfTimeError:
            if not follow:
                raise


def _show(session: Session, piece: pb.ReadLogsResponse, prefix: bytes) -> None:
    lines = _lines(piece.text)
    if not session.plain:
        for line in lines:
            text = line.decode(errors="replace").rstrip("\n")
            write({"instance": piece.instance, "text": text}, session.output, one_line=True)
    elif sys.stdout.isatty():
        sys.stdout.write("".join(clean((prefix + line).decode(errors="replace")) for line in lines))
        sys.stdout.flush()
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(b"".join(prefix + line for line in lines))
        sys.stdout.buffer.flush()


def _lines(text: bytes) -> list[bytes]:
    """Only newlines part lines: a carriage return belongs to what the node wrote."""
    parts = text.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1] + b"\n"] if parts[-1] else [])
