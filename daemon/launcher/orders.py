"""What can be asked of the launcher?"""

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

WIRE_VERSION = 1
INSTANCE_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}\.[0-9]{1,9}")

Kind = Literal["refused", "conflict", "not_found", "unavailable", "timed_out"]
Result = dict[str, object]


class Refusal(Exception):
    """An order was not carried out; the text says why, for the one who gave it."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind: Kind = kind


@dataclass(eq=False, slots=True)
class Asker:
    """One who gives orders and waits for their answers until the connection ends."""

    gone: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """0 means no limit. memory and memory_high in bytes, cpu in cores, io a weight from 1 to 10000."""

    memory: int = 0
    cpu: float = 0.0
    pids: int = 0
    files: int = 0
    memory_high: int = 0
    io: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listening socket of a node is. `text` is the one way to write it."""

    text: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Program:
    """What is executed, as whom and in which surroundings."""

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    user: str
    limits: Limits
    data: bool
    env_file: str
    secrets: Mapping[str, str]
    """Path of the file by name of the variable that gets its content."""
    write: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hello:
    pass


@dataclass(frozen=True, slots=True)
class Start:
    instance: str
    node: str
    program: Program
    listen: Address | None
    notify: str
    """Path of the socket it may speak to, which becomes its user's; empty for none."""


@dataclass(frozen=True, slots=True)
class Run:
    """Start, wait for the end, answer how it ended and what it printed."""

    instance: str
    node: str
    program: Program
    timeout: float
    output: int
    into: str
    """The running instance whose groups and user the program shares; empty for groups of its own."""


@dataclass(frozen=True, slots=True)
class Signal:
    instance: str
    number: signal.Signals


@dataclass(frozen=True, slots=True)
class Kill:
    instance: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Freeze:
    instance: str


@dataclass(frozen=True, slots=True)
class Thaw:
    instance: str


@dataclass(frozen=True, slots=True)
class Status:
    instance: str


@dataclass(frozen=True, slots=True)
class List:
    pass


@dataclass(frozen=True, slots=True)
class Inspect:
    instance: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Make the instance's listening socket reachable at a path that its user cannot change."""

    instance: str


@dataclass(frozen=True, slots=True)
class Entrust:
    """Make the socket that it may speak to its user's, so that nobody else can speak there."""

    instance: str
    path: str


@dataclass(frozen=True, slots=True)
class Unlisten:
    """Let go of the sockets held for the node."""

    node: str


@dataclass(frozen=True, slots=True)
class Trim:
    """Give all but the newest `keep` bytes of its output back to the disk."""

    instance: str
    keep: int


@dataclass(frozen=True, slots=True)
class Discard:
    """Remove the output of an instance that has ended."""

    instance: str


@dataclass(frozen=True, slots=True)
class Remove:
    instance: str


Order = (
    Hello
    | Start
    | Run
    | Signal
    | Kill
    | Freeze
    | Thaw
    | Status
    | List
    | Inspect
    | Publish
    | Entrust
    | Unlisten
    | Trim
    | Discard
    | Remove
)
