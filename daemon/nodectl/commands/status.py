"""`status` and `describe`: what runs on this host, and all about one node."""

from functools import partial

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client, OutOfTimeError
from nodectl.documents import document, write
from nodectl.failures import Exit, Failure, refused
from nodectl.nodes import host_notes, instance_table, node_line, node_page, node_table
from nodectl.screen import AWAY, BACK, Picture, pairs, say
from nodectl.session import Session

TROUBLED = ("starting", "backing off", "down", "failed")


def status(session: Session, node: str) -> None:
    with Client(session) as client:
        answer = client.status(f"show {node}" if node else "show the status", node)
    if node and not answer.nodes:
        raise refused(f"show {node}", "NOT_FOUND", "no such node", node)
    if session.names:
        say(*_names(answer, node))
    elif session.plain:
        say(*_table(answer, node, session.wide))
    else:
        write(document(answer), session.output)


def watch(session: Session, node: str) -> None:
    """Ends with the session's time, if one was given."""
    no_names(session)
    with Client(session) as client, Picture(session.plain) as picture:
        try:
            away, back = lambda: picture.remark(AWAY), lambda: picture.remark(BACK)
            for update in client.watch("watch the status", node, session.timeout, away, back):
                if session.plain:
                    picture.show(partial(_table, update, node, session.wide), _lines(update))
                else:
                    write(document(update), session.output, one_line=True)
        except OutOfTimeError:
            return


def no_names(session: Session) -> None:
    if session.names:
        raise Failure("-o name is for lists, not for --watch", Exit.USAGE)


def _lines(update: pb.WatchStatusResponse) -> list[str]:
    return [*map(node_line, update.nodes), *(one.plain for one in host_notes(update.host))]


def describe(session: Session, node: str) -> None:
    with Client(session) as client:
        doing = f"describe {node}"
        answer = client.status(doing, node)
    found = next((one for one in answer.nodes if one.name == node), None)
    if found is None:
        raise refused(doing, "NOT_FOUND", "no such node", node)
    if session.plain:
        say(*node_page(found, answer.host))
    else:
        write(document(found), session.output)


def _table(
    answer: pb.GetStatusResponse | pb.WatchStatusResponse, node: str, wide: bool = False
) -> list[Text]:
    lines = node_table(list(answer.nodes), wide)
    if node and answer.nodes and answer.nodes[0].condition in TROUBLED:
        lines += pairs([("why", answer.nodes[0].detail)])
    if node and answer.nodes and answer.nodes[0].instances:
        lines += [Text(), *instance_table(answer.nodes[0])]
    return lines + host_notes(answer.host)


def _names(answer: pb.GetStatusResponse | pb.WatchStatusResponse, node: str) -> list[str]:
    """Of the nodes; of one node those of its instances."""
    if node:
        return [f"instance/{one.id}" for found in answer.nodes for one in found.instances]
    return [f"node/{found.name}" for found in answer.nodes]
