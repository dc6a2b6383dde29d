"""`exec`: one program inside a running instance."""

from collections.abc import Sequence

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client
from nodectl.documents import document, write
from nodectl.failures import Exit, Failure
from nodectl.screen import as_written, note
from nodectl.session import Session
from nodectl.text import duration

USUAL = 60.0
"""Seconds for the program."""
LONGEST = 600.0
KILL = 15.0
"""Seconds more for noded to end what is out of time, and to answer."""


def run(session: Session, node: str, instance: str, words: Sequence[str]) -> int:
    """The exit code of the program; a number alone names an instance, too."""
    within = session.timeout or USUAL
    if within > LONGEST:
        raise Failure(f"--timeout {duration(within)}: exec takes at most {duration(LONGEST)}", Exit.USAGE)
    whole = f"{node}.{instance}" if instance.isdecimal() else instance
    request = pb.ExecRequest(node=node, instance=whole, argv=words, timeout=within)
    with Client(session) as client:
        doing = f"run {words[0]} in {whole or node}"
        try:
            answer = client.ask(doing, client.stub.Exec, request, node, within + KILL)
        except Failure as failure:
            # The codes below are the program's.
            raise Failure(failure.text, Exit.NOT_RUN, failure.hint) from None
    if not session.plain:
        write(document(answer), session.output)
    else:
        _show(answer, words[0])
    if answer.timed_out:
        return Exit.OUT_OF_TIME
    return int(answer.exit_code) if 0 <= answer.exit_code <= 255 else Exit.FAILED


def _show(answer: pb.ExecResponse, program: str) -> None:
    as_written(answer.output)
    if answer.truncated:
        note("only the newest part of what it wrote is shown")
    if answer.timed_out:
        note(f"{program} was ended in {answer.instance} after {duration(answer.seconds)}; give it --timeout")
