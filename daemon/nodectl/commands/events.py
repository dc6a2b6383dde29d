"""`events tail`, `show`, `publish`, `replay`: what nodes say to each other, and what a person says."""

import sys
from dataclasses import dataclass
from pathlib import Path

from nodeapi.v1 import mesh_pb2
from nodectl.client import Client, OutOfTimeError
from nodectl.documents import document, write
from nodectl.event_text import event_document, event_line, event_page, read_json
from nodectl.failures import Exit, Failure
from nodectl.screen import note, say
from nodectl.session import Session
from nodectl.text import amount

AWAY, BACK = "noded or noded-mesh is away; waiting for it", "it is back"
LONGEST = 1024 * 1024
"""Bytes of one event."""
ALL = 1.0
"""A moment before every event."""


@dataclass(frozen=True, slots=True)
class Wanted:
    types: tuple[str, ...] = ()
    source: str = ""
    subject: str = ""
    since: float = 0.0
    limit: int = 0
    follow: bool = True


def tail(session: Session, wanted: Wanted) -> None:
    newest: mesh_pb2.Event | None = None
    shown = 0

    def request() -> mesh_pb2.TailRequest:
        asked = mesh_pb2.TailRequest(
            types=wanted.types,
            source=wanted.source,
            subject=wanted.subject,
            since=wanted.since,
            stop_at_end=not wanted.follow,
        )
        if newest is not None:
            # Of the frame that was shown last more may follow.
            asked.after, asked.since = newest.position - 1, asked.since or ALL
        return asked

    with Client(session) as client:
        doing, method = "follow events", client.mesh.Tail
        if wanted.follow:
            away, back = lambda: note(AWAY), lambda: note(BACK)
            events = client.follow(doing, method, request, "", session.timeout, away, back)
        else:
            events = client.stream(doing, method, request(), "", session.effect)
        try:
            for event in events:
                if newest is not None and _place(event) <= _place(newest):
                    continue
                newest = event
                _show(session, event)
                shown += 1
                if shown == wanted.limit:
                    return
        except OutOfTimeError:
            if not wanted.follow:
                raise
    if not shown and session.plain:
        say("no such events")


def show(session: Session, id: str) -> None:
    with Client(session) as client:
        event = client.ask(f"show {id}", client.mesh.Show, mesh_pb2.ShowRequest(id=id))
    if session.plain:
        say(*event_page(event))
    else:
        write(event_document(event), session.output)


def publish(session: Session, asked: mesh_pb2.SendRequest) -> None:
    with Client(session) as client:
        reply = client.ask(f"publish {asked.type}", client.mesh.Send, asked)
    if session.names:
        say(f"event/{reply.id}")
    elif session.plain:
        say(f"published {reply.id}")
    else:
        write(document(reply), session.output)


def replay(session: Session, asked: mesh_pb2.ReplayRequest) -> None:
    with Client(session) as client:
        doing = f"send events again to {asked.node}"
        reply = client.ask(doing, client.mesh.Replay, asked, within=session.effect)
    if session.plain:
        say(f"{amount(reply.events, 'event')} sent again to {asked.node}")
    else:
        write(document(reply), session.output)


def read_data(text: str, file: Path | None, is_json: bool) -> bytes:
    """From the command line, a file or, as `-`, from a pipe."""
    if file is not None:
        try:
            with file.open("rb") as source:
                data = source.read(LONGEST + 1)
        except OSError as error:
            raise Failure(f"cannot read {file}: {error.strerror}", Exit.USAGE) from error
    elif text == "-":
        data = sys.stdin.buffer.read(LONGEST + 1)
    else:
        data = text.encode()
    if len(data) > LONGEST:
        raise Failure(
            f"an event has at most {LONGEST} bytes; put larger things elsewhere, and their place in it",
            Exit.USAGE,
        )
    if is_json:
        _check_json(data)
    return data


def _check_json(data: bytes) -> None:
    try:
        read_json(data)
    except (ValueError, RecursionError) as error:
        hint = """'{"key": "value"}' in single quotes, or --content for what is no JSON"""
        raise Failure(f"the data is no JSON: {error}", Exit.USAGE, hint) from error


def _show(session: Session, event: mesh_pb2.Event) -> None:
    if session.names:
        say(f"event/{event.id}")
    elif session.plain:
        say(event_line(event, session.wide))
    else:
        write(event_document(event), session.output, one_line=True)


def _place(event: mesh_pb2.Event) -> tuple[int, int]:
    return event.position, event.index
