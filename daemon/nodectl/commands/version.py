"""`version`: of nodectl, and of the noded it speaks with."""

from nodeapi.v1 import control_pb2 as pb
from nodectl import VERSION
from nodectl.client import Client
from nodectl.documents import document, write
from nodectl.failures import Failure
from nodectl.screen import say
from nodectl.session import Session


def version(session: Session) -> None:
    """Says nodectl's own also when noded cannot be asked, and then fails."""
    answer, failure = None, None
    with Client(session) as client:
        try:
            answer = client.ask("ask for the version", client.stub.GetVersion, pb.GetVersionRequest())
        except Failure as error:
            failure = error
    if session.plain:
        say(f"nodectl {VERSION}")
        if answer is not None:
            build = f" (build {answer.build})" if answer.build else ""
            say(f"noded   {answer.version}{build}, protocol {answer.protocol}")
    else:
        noded = None if answer is None else document(answer)
        write({"nodectl": VERSION, "noded": noded}, session.output)
    if failure is not None:
        raise failure
