"""`audit`: who asked for what, and what came of it."""

from collections.abc import Iterable

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client
from nodectl.documents import document, write
from nodectl.failures import Exit, Failure
from nodectl.screen import Cell, columns, say, styled
from nodectl.session import Session
from nodectl.text import clock

WELL = ("accepted", "begun")
HEAD = ("WHEN", "WHO", "ROLE", "WHAT", "ANSWER")
WIDE_HEAD = (*HEAD, "PID")
BROKEN = "journalctl -u noded -g audit, which has what noded wrote as it happened"


def audit(session: Session, lines: int) -> None:
    """Fails when a line was changed or taken away, after it has shown what there is."""
    with Client(session) as client:
        request = pb.ReadAuditRequest(limit=lines)
        trail = client.ask("read the audit", client.stub.ReadAudit, request)
    if session.plain:
        _show(trail.entries, session.wide)
    else:
        write([document(one) for one in trail.entries], session.output)
    if trail.broken:
        raise Failure(f"DO NOT TRUST THIS AUDIT: {trail.broken}", Exit.FAILED, BROKEN)


def _show(entries: Iterable[pb.AuditEntry], wide: bool) -> None:
    rows = [[*_row(one), *([str(one.pid or "-")] if wide else [])] for one in entries]
    if not rows:
        say("nobody has asked for anything yet")
        return
    say(*columns(WIDE_HEAD if wide else HEAD, rows))


def _row(one: pb.AuditEntry) -> list[Cell]:
    answer = styled(one.answer, "" if one.answer in WELL else "yellow")
    return [clock(one.at), one.who, one.role or "-", one.what, answer]
