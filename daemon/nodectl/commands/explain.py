"""`explain`: what noded saw and did, and why."""

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client, OutOfTimeError
from nodectl.documents import document, write
from nodectl.screen import say
from nodectl.session import Session
from nodectl.text import clock, one_line

NODE_WIDTH = 12
NAME_WIDTH = 20


def explain(session: Session, node: str, lines: int, follow: bool, incident: str) -> None:
    request = pb.ExplainRequest(node=node, limit=lines, follow=follow, incident=incident)
    within = session.timeout if follow else session.answer
    found = False
    with Client(session) as client:
        try:
            doing = f"explain {node or 'this host'}"
            for entry in client.stream(doing, client.stub.Explain, request, node, within):
                found = True
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
