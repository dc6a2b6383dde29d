"""How are conflicts of a release, and a change that it would lose, told?"""

from collections.abc import Sequence

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.failures import Exit, Failure
from nodectl.screen import styled
from nodectl.text import clean, one_line

WARNING = "warning"
IMPOSSIBLE = ("owner", "port")
"""Kinds that --force does not help against."""
STYLES = {"+": "green", "-": "red", "@": "cyan"}


def stopping(answer: pb.ApplyResponse) -> list[pb.Conflict]:
    return [one for one in answer.conflicts if one.kind != WARNING]


def conflict_lines(answer: pb.ApplyResponse, gone_on: bool = False) -> list[str | Text]:
    """`gone_on`: a person knew of them and did it all the same."""
    lines: list[str | Text] = []
    hard = stopping(answer)
    if hard:
        word = "went on although it conflicts" if gone_on else "conflicts"
        lines += [styled(f"{word} with what is here:", "bold"), *_blocks(hard)]
    if answer.lost:
        word = "gave up" if gone_on else "would lose"
        lines.append(styled(f"{word} the machine-written change of {answer.from_version}:", "bold"))
        lines += [Text(clean(line), STYLES.get(line[:1], "")) for line in answer.lost.split("\n") if line]
    warnings = [one for one in answer.conflicts if one.kind == WARNING]
    lines += [styled(f"warning: {one.text}: {one.advice}", "yellow") for one in warnings]
    return lines


def refused(verb: str, answer: pb.ApplyResponse, folder: str) -> Failure:
    """Instead of the one sentence that noded refuses with: every conflict, and what helps."""
    text = "\n".join(str(line) for line in conflict_lines(answer))
    what = f"cannot {verb} {answer.node} {answer.to_version}: it {text}"
    return Failure(what, Exit.DIFFERENCES, _hint(answer, folder), "ABORTED")


def end_of_plan(answer: pb.ApplyResponse) -> list[str]:
    words = _words(answer)
    if not stopping(answer) and not answer.lost:
        return []
    return [f"apply refuses it; {words} goes on all the same" if words else "apply refuses it"]


def _hint(answer: pb.ApplyResponse, folder: str) -> str:
    words = _words(answer)
    forced = f"nodectl apply {folder} {words}, if you know that it is right" if words else ""
    export = f"nodectl candidate export --git-am {answer.node} {answer.from_version} | git am -3"
    return "; or ".join(filter(None, (export if answer.lost else "", forced)))


def _words(answer: pb.ApplyResponse) -> str:
    """Options with which it is done all the same; empty when none helps."""
    hard = stopping(answer)
    if any(one.kind in IMPOSSIBLE for one in hard):
        return ""
    return " ".join(filter(None, ("--force" if hard else "", "--supersede" if answer.lost else "")))


def _blocks(conflicts: Sequence[pb.Conflict]) -> list[Text]:
    lines = []
    for one in conflicts:
        where = "  ".join(one_line(part) for part in (f"{one.node} {one.release}", one.field) if part.strip())
        lines.append(Text(f"  {one_line(one.kind)}  {where}", "red"))
        lines.append(Text(f"    {one_line(one.text)}"))
        lines.append(Text(f"    resolve: {one_line(one.advice)}"))
    return lines
