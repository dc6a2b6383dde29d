"""`logs`: what a node's instances wrote.

To a terminal without its control characters; to a pipe or a file byte for byte as the node wrote it.
"""

import sys

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client, OutOfTimeError
from nodectl.documents import write
from nodectl.screen import AWAY, BACK, note
from nodectl.session import Session
from nodectl.text import clean

MISSED = 10_000
"""Lines asked for after a restart of noded, to find those that came meanwhile."""
KEPT_LINES = 1_000
KEPT_BYTES = 64 * 1024


class Place:
    """Where in each instance's output are we? Known by the end of what was shown."""

    def __init__(self) -> None:
        self._shown: dict[str, bytes] = {}
        self._found: set[str] = set()

    def begin(self) -> None:
        """A new call begins each instance with its newest lines."""
        self._found.clear()

    def fresh(self, instance: str, text: bytes) -> bytes:
        """What was not shown before."""
        before = self._shown.get(instance, b"")
        if instance not in self._found and before:
            at = text.rfind(before)
            if at < 0:
                note(f"{instance}: some lines may be missing or come twice")
            else:
                text = text[at + len(before) :]
        self._found.add(instance)
        if text:
            newest = (before + text)[-KEPT_BYTES:].split(b"\n")[-KEPT_LINES - 1 :]
            self._shown[instance] = b"\n".join(newest)
        return text

    @property
    def known(self) -> bool:
        return bool(self._shown)


def logs(session: Session, node: str, instance: str, lines: int, follow: bool) -> None:
    """Each line begins with its instance, unless one instance was named."""
    doing = f"read the logs of {instance or node}"
    place, found = Place(), False

    def request() -> pb.ReadLogsRequest:
        place.begin()
        wanted = max(lines, MISSED) if place.known else lines
        return pb.ReadLogsRequest(node=node, instance=instance, lines=wanted, follow=follow)

    with Client(session) as client:
        method = client.stub.ReadLogs
        if follow:
            away, back = lambda: note(AWAY), lambda: note(BACK)
            pieces = client.follow(doing, method, request, node, session.timeout, away, back)
        else:
            pieces = client.stream(doing, method, request(), node, session.answer)
        try:
            for piece in pieces:
                found = True
                text = place.fresh(piece.instance, piece.text) if follow else piece.text
                _show(
                    session, piece.instance, text, prefix=b"" if instance else f"{piece.instance} | ".encode()
                )
        except OutOfTimeError:
            if not follow:
                raise
    if not found and session.plain:
        note(
            f"{instance or node} has written nothing that is kept; what became of it, and what commands "
            f"of [node] before printed: nodectl explain -v {node}"
        )


def _show(session: Session, instance: str, written: bytes, prefix: bytes) -> None:
    lines = _lines(written)
    if not session.plain:
        for line in lines:
            text = line.decode(errors="replace").rstrip("\n")
            write({"instance": instance, "text": text}, session.output, one_line=True)
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
