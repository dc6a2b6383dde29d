"""`explain`: what noded saw and did, and why."""

import json

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client, OutOfTimeError
from nodectl.documents import document, write
from nodectl.failures import refused
from nodectl.screen import AWAY, BACK, note, say
from nodectl.session import Session
from nodectl.text import clean, clock, one_line

NODE_WIDTH = 12
NAME_WIDTH = 20
MISSED = 10_000
"""Entries asked for after a restart of noded, to find those that came meanwhile."""


PRINTED = ("output", "said")
"""Where inputs and actions keep what a program printed."""


def explain(
    session: Session, node: str, lines: int, follow: bool, incident: str, verbose: bool = False
) -> None:
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
                _show(session, entry, verbose)
        except OutOfTimeError:
            if not follow:
                raise
        if not found and not follow:
            _look_for(client, doing, node)
    if session.plain and not found:
        about = node or "this host"
        say(f"nothing is remembered of {f'{incident} of {about}' if incident else about}")
    if verbose and found and not newest.body:
        note("what programs printed is told to operators only")


def _look_for(client: Client, doing: str, node: str) -> None:
    """That nothing is remembered of a node and that there is none are two things."""
    if node and not client.status(doing, node).nodes:
        raise refused(doing, "NOT_FOUND", "no such node", node)


def _show(session: Session, entry: pb.ExplainResponse, verbose: bool) -> None:
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
    if verbose:
        say(*(f"    | {line}" for line in clean(_printed(entry.body)).splitlines()))


def _printed(body: str) -> str:
    """Empty for those to whom noded does not tell it."""
    try:
        held = json.loads(body or "{}")
    except ValueError:
        return ""
    found = (held.get(name) for name in PRINTED) if isinstance(held, dict) else ()
    return next((each for each in found if isinstance(each, str) and each), "")
