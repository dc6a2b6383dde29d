"""`test`: the node's own tests, in a sandbox, on a release."""

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client
from nodectl.documents import document, write
from nodectl.failures import Exit, Failure
from nodectl.screen import as_written, note, say
from nodectl.session import Session
from nodectl.text import duration

PATIENCE = 3600.0
"""Seconds; the manifest's own limit ends the tests before."""


def test(session: Session, node: str, version: str) -> Exit:
    named = f"{node} {version}".strip()
    if session.plain:
        note(f"the tests of {named} run")
    with Client(session) as client:
        request = pb.RunTestsRequest(node=node, version=version)
        answer = client.ask(f"test {named}", client.stub.RunTests, request, node, session.timeout or PATIENCE)
    if not session.plain:
        write(document(answer), session.output)
        return Exit.OK if answer.passed else Exit.FAILED
    as_written(answer.output)
    if answer.output and not answer.output.endswith("\n"):
        say("")
    named = f"{node} {answer.version or version}".strip()
    if not answer.passed:
        raise Failure(f"the tests of {named} failed: {answer.detail or 'see above'}", Exit.FAILED)
    say(f"{named}: the tests passed in {duration(answer.seconds)}")
    return Exit.OK
