"""`events dead`: what was set aside for a person, and what becomes of it."""

from nodeapi.v1 import mesh_pb2
from nodectl.client import Client
from nodectl.documents import document, write
from nodectl.event_text import data_line, event_document
from nodectl.screen import Cell, columns, note, say
from nodectl.session import Session
from nodectl.text import amount, clock, count

HEAD = ("NODE", "ID", "TYPE", "SUBJECT", "SET ASIDE", "TRIES", "VERSION", "REASON")


def listed(session: Session, node: str, limit: int) -> None:
    with Client(session) as client:
        asked = mesh_pb2.DeadRequest(node=node, limit=limit)
        reply = client.ask("list dead letters", client.mesh.ListDead, asked)
        known = not node or bool(reply.dead) or bool(client.status("list dead letters", node).nodes)
    if session.names:
        say(*(f"dead/{one.node}/{one.event.id}" for one in reply.dead))
    elif not session.plain:
        write([_document(one) for one in reply.dead], session.output)
    elif reply.dead:
        head = (*HEAD, "DATA") if session.wide else HEAD
        say(*columns(head, [_row(one, session.wide) for one in reply.dead]))
        if reply.count > len(reply.dead):
            note(f"{count(len(reply.dead))} of {count(reply.count)}; more with -n")
    else:
        say(f"no dead letters of {node}" if node else "no dead letters")
        if not known:
            note(f"{node} is no node of this host: nodectl status")


def requeue(session: Session, node: str, ids: tuple[str, ...]) -> None:
    _order(session, "RequeueDead", f"send dead letters of {node} again", "sent again", (node, ids))


def drop(session: Session, node: str, ids: tuple[str, ...]) -> None:
    _order(session, "DropDead", f"drop dead letters of {node}", "dropped", (node, ids))


def _order(session: Session, method: str, doing: str, done: str, which: tuple[str, tuple[str, ...]]) -> None:
    node, ids = which
    with Client(session) as client:
        asked = mesh_pb2.DeadRequest(node=node, ids=ids)
        reply = client.ask(doing, getattr(client.mesh, method), asked, within=session.effect)
    if session.plain:
        say(f"{amount(reply.count, 'dead letter')} of {node} {done}")
    else:
        write({"count": reply.count}, session.output)


def _row(one: mesh_pb2.DeadEvent, wide: bool) -> list[Cell]:
    event = one.event
    row: list[Cell] = [
        *(one.node, event.id, event.type, event.subject or "-", clock(one.at)),
        *(str(one.attempts), one.version or "-", one.reason or "-"),
    ]
    return [*row, data_line(event) if event.data else "-"] if wide else row


def _document(one: mesh_pb2.DeadEvent) -> dict[str, object]:
    return {**document(one), "event": event_document(one.event)}
