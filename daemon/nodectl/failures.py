"""What does a failed command tell, and with which exit code?"""

from dataclasses import dataclass
from enum import IntEnum

import click

from nodectl.text import clean


class Exit(IntEnum):
    """As the table in docs/guides/administer.md says; 124 and 125 are those of timeout(1), for exec."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DIFFERENCES = 3
    NOT_REACHABLE = 4
    NOT_PERMITTED = 5
    OUT_OF_TIME = 124
    NOT_RUN = 125
    INTERRUPTED = 130


class Failure(Exception):
    """`hint` is what to do next: a command, or words. `status` is gRPC's, where it came over the wire."""

    def __init__(self, text: str, code: Exit = Exit.FAILED, hint: str = "", status: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.hint = hint
        self.status = status

    def show(self) -> None:
        click.echo(f"nodectl: {clean(self.text)}", err=True)
        if self.hint:
            click.echo(f"try: {clean(self.hint)}", err=True)


@dataclass(frozen=True, slots=True)
class Meaning:
    """`hint` may name {node}; `host_hint` is for what concerns no single node."""

    exit: Exit
    hint: str
    host_hint: str = ""
    says: str = ""
    """Instead of what gRPC writes, where that is about the wire and not about the order."""


# gRPC's status by name -> what it means for the one who typed. What is not here is a failure.
MEANINGS = {
    "UNAVAILABLE": Meaning(Exit.NOT_REACHABLE, "systemctl status noded, or another --socket"),
    "CANCELLED": Meaning(Exit.NOT_REACHABLE, "systemctl status noded", says="noded ended the call"),
    "DEADLINE_EXCEEDED": Meaning(
        Exit.NOT_REACHABLE,
        "a longer --timeout, or systemctl status noded",
        says="noded did not answer in time",
    ),
    "PERMISSION_DENIED": Meaning(Exit.NOT_PERMITTED, "the same command with sudo"),
    "UNAUTHENTICATED": Meaning(Exit.NOT_PERMITTED, "the same command with sudo"),
    "INVALID_ARGUMENT": Meaning(Exit.USAGE, "nodectl COMMAND --help"),
    "NOT_FOUND": Meaning(Exit.FAILED, "nodectl status"),
    "FAILED_PRECONDITION": Meaning(Exit.FAILED, "nodectl describe {node}", "nodectl status"),
    "ABORTED": Meaning(Exit.DIFFERENCES, "nodectl describe {node}", "nodectl status"),
    "ALREADY_EXISTS": Meaning(Exit.FAILED, "a new version in node.toml"),
    "UNIMPLEMENTED": Meaning(Exit.FAILED, "upgrade noded, or use the nodectl that came with it"),
    "RESOURCE_EXHAUSTED": Meaning(Exit.FAILED, "nodectl doctor"),
    "INTERNAL": Meaning(Exit.FAILED, "journalctl -u noded"),
    "UNKNOWN": Meaning(Exit.FAILED, "journalctl -u noded"),
}
OTHERWISE = Meaning(Exit.FAILED, "nodectl status")


def refused(doing: str, status: str, details: str, node: str = "") -> Failure:
    """The failure for one gRPC status; `doing` completes "cannot ..."."""
    meaning = MEANINGS.get(status, OTHERWISE)
    hint = meaning.hint if node or not meaning.host_hint else meaning.host_hint
    cause = meaning.says or details or status.lower().replace("_", " ")
    if status == "NOT_FOUND" and node and not cause.startswith("no such node"):
        hint = f"nodectl status {node}"
    # noded knows best what helps: "no rollout is under way: nodectl rollout history catalog".
    cause, own = _own_hint(cause)
    cause = cause.removesuffix(f": {node}")
    text = cause if cause.startswith("cannot ") else f"cannot {doing}: {cause}"
    return Failure(text, meaning.exit, own or hint.format(node=node), status)


def _own_hint(cause: str) -> tuple[str, str]:
    for program in ("nodectl", "systemctl"):
        said, found, command = cause.rpartition(f": {program} ")
        if found:
            return said, f"{program} {command}"
    return cause, ""
