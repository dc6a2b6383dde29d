"""`releases`: which versions this host has, where they come from, what they are for."""

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client
from nodectl.documents import document, write
from nodectl.screen import Cell, columns, say, styled
from nodectl.session import Session
from nodectl.text import ago, size

HEAD = ("NODE", "VERSION", "STATE", "MADE", "BY", "SIZE", "RELEASE")
STYLES = {"running": "green", "candidate": "cyan", "removed": "dim"}
SHORT = len("sha256:") + 12


def releases(session: Session, node: str) -> None:
    doing = f"show the releases of {node or 'this host'}"
    with Client(session) as client:
        request = pb.ListReleasesRequest(node=node)
        found = list(client.ask(doing, client.stub.ListReleases, request, node).releases)
    if session.names:
        say(*(f"release/{one.node}/{one.version}" for one in found))
    elif not session.plain:
        write([document(one) for one in found], session.output)
    elif found:
        head = (*HEAD, "SIGNED") if session.wide else HEAD
        say(*columns(head, [_row(one, session.wide) for one in found]))
    else:
        say(f"no releases of {node}" if node else "no releases; the first one comes with: nodectl apply DIR")


def _row(one: pb.ReleaseStatus, wide: bool) -> list[Cell]:
    row: list[Cell] = [
        one.node,
        one.version,
        styled(one.state, STYLES.get(one.state, "")),
        ago(one.recorded_at),
        one.origin or "-",
        size(one.size) if one.size else "-",
        one.digest if wide else one.digest[:SHORT],
    ]
    return [*row, "yes" if one.signed else "no"] if wide else row
