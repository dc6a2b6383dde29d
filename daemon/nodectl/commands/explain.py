"""`explain`: what noded saw and did, and why."""

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client, OutOfTimeError
from nodectl.documents import document, write
from nodectl.screen import AWAY, BACK, note, say
from nodectl.session import Session
from nodectl.text import clock, one_line

NODE_WIDTH = 12
NAME_WIDTH = 20
MISSED = 10_000
"""Entries asked for after a restart of noded, to find those that came meanwhile."""


def explain(session: Session, node: str, lines: int, follow: bool, incident: str) -> None:
    doing = f"explain {node or 'this host'}"
    newest = pb.ExplainResponse()
    found = False

    def request() -> pb.ExplainRequest:
        wanted = max(lines, MISSED) if found else lines
        return pb.ExplainRequest(node=node, limit=wanted, follow=follow, incident=incident)

    with Client(session) as client:
        method = client.stub.Explain
        if follow:
            away, back = lambda: note(AWAY), lambda: note(BACK)
            entries = client.follow(doing, method, request, node, session.timeout, away, back)
        else:
            entries = client.stream(doing, method, request(), node, session.answer)
        try:
            for entry in entries:
                # A journal that was begun anew counts from one again, but its time goes on.
                if found and entry.sequence <= newest.sequence and entry.at <= newest.at:
                    continue
                found, newest = True, entry
                _show(session, entry)
        except OutOfTimeError:
            if not follow:
                raise
    if session.plain and not found:
        say(f"nothing has happened to {node or 'this host'} yet")


def _show(session: Session, entry: pb.ExplainResponse) -> None:
    if not session.plain:
        write(document(entry), session.output, one_line=True)
        return
    style = "bold" if entry.kind == "action" else ""
    say(
        Text.assemble(
            (clock(entry.at), "dim"),
            f"  {one_line(entry.node or 'host'):{NODE_WIDTH}}  ",
            (f"{one_line(entry.name):{NAME_WIDTH}}", style),
            "  ",
            one_line(entry.text),
        )
    )
