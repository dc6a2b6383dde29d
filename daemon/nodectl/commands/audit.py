"""`audit`: who asked for what, and what came of it."""

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client
from nodectl.documents import document, write
from nodectl.screen import columns, say, styled
from nodectl.session import Session
from nodectl.text import clock

WELL = ("accepted", "begun")
HEAD = ("WHEN", "WHO", "ROLE", "WHAT", "ANSWER")


def audit(session: Session, lines: int) -> None:
    with Client(session) as client:
        request = pb.ReadAuditRequest(limit=lines)
        entries = list(client.ask("read the audit", client.stub.ReadAudit, request).entries)
    if not session.plain:
        write([document(one) for one in entries], session.output)
        return
    rows = [
        (
            clock(one.at),
            one.who,
            one.role or "-",
            one.what,
            styled(one.answer, "" if one.answer in WELL else "yellow"),
        )
        for one in entries
    ]
    say(*columns(HEAD, rows)) if rows else say("nobody has asked for anything yet")
