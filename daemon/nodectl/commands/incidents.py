"""`incidents`: open and past problems, one in full, the approval of its next step."""

from collections.abc import Sequence
from functools import partial

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client, OutOfTimeError
from nodectl.commands.status import no_names
from nodectl.commands.verbs import command
from nodectl.documents import document, write
from nodectl.failures import refused
from nodectl.incidents import change, incident_line, incident_page, incident_rows
from nodectl.screen import AWAY, BACK, Picture, say
from nodectl.session import Session

Found = list[tuple[str, pb.IncidentStatus]]


def incidents(session: Session, node: str, identity: str) -> None:
    with Client(session) as client:
        doing = f"show the incidents of {node or 'this host'}"
        nodes = [client.node(doing, node)] if node else list(client.status(doing).nodes)
    found = _all(nodes)
    if identity:
        _one(session, node, identity, found)
    elif session.names:
        say(*_names(found))
    elif session.plain:
        say(*_list(found, session.wide))
    else:
        write([_document(name, one) for name, one in found], session.output)


def watch(session: Session, node: str) -> None:
    no_names(session)
    with Client(session) as client, Picture(session.plain) as picture:
        try:
            away, back = lambda: picture.remark(AWAY), lambda: picture.remark(BACK)
            for update in client.watch("watch the incidents", node, session.timeout, away, back):
                found = _all(update.nodes)
                if session.plain:
                    lines = [incident_line(*one) for one in found]
                    picture.show(partial(_list, found, session.wide), lines)
                else:
                    write([_document(*one) for one in found], session.output, one_line=True)
        except OutOfTimeError:
            return


def approve(session: Session, node: str) -> None:
    with Client(session) as client:
        answer = command(client, pb.VERB_APPROVE, f"approve the next step for {node}", node)
    if session.plain:
        say(answer.text or f"{node}: approved")
    else:
        write(document(answer), session.output)


def _all(nodes: Sequence[pb.NodeStatus]) -> Found:
    """Open ones first, then the newest."""
    now = [(node.name, node.incident) for node in nodes if node.HasField("incident")]
    past = [(node.name, one) for node in nodes for one in node.past_incidents]
    return now + sorted(past, key=lambda one: -one[1].opened_at)


def _one(session: Session, node: str, identity: str, found: Found) -> None:
    incident = next((one for _, one in found if one.id == identity), None)
    if incident is None:
        raise refused(
            f"show incident {identity} of {node}",
            "NOT_FOUND",
            f"no such incident: nodectl incidents {node}",
            node,
        )
    if session.names:
        say(*_names([(node, incident)]))
    elif session.plain:
        say(*incident_page(node, incident), *change(incident))
    else:
        write(_document(node, incident), session.output)


def _list(found: Found, wide: bool = False) -> list[Text]:
    return incident_rows(found, wide=wide) if found else [Text("no incidents")]


def _names(found: Found) -> list[str]:
    return [f"incident/{one.id}" for _, one in found]


def _document(node: str, incident: pb.IncidentStatus) -> dict[str, object]:
    return {"node": node, **document(incident)}
