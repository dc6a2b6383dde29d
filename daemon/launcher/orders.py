"""What can be asked of the launcher, and how does a request have to look? One JSON object per line."""

import json
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from launcher import fields
from launcher.fields import Fields

WIRE_VERSION = 1
LARGEST_REQUEST = 256 * 1024
MOST_ARGUMENTS = 512
LONGEST_WAIT = 600.0
INSTANCE_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}\.[0-9]{1,9}")
_NODE_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_NO_TABLE: Final[Mapping[str, object]] = {}
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Kind = Literal["refused", "conflict", "not_found", "unavailable", "timed_out"]
Result = dict[str, object]


class Refusal(Exception):
    """An order was not carried out; the text says why, for the one who gave it."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind: Kind = kind


@dataclass(frozen=True, slots=True)
class Limits:
    """0 means no limit. memory in bytes, cpu in cores."""

    memory: int = 0
    cpu: float = 0.0
    pids: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Hello:
    pass


@dataclass(frozen=True, slots=True)
class Start:
    instance: str
    node: str
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    user: str
    limits: Limits
    data: bool


@dataclass(frozen=True, slots=True)
class Signal:
    instance: str
    number: signal.Signals


@dataclass(frozen=True, slots=True)
class Kill:
    instance: str
    timeout: float


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
class Remove:
    instance: str


Order = Hello | Start | Signal | Kill | Status | List | Inspect | Publish | Remove


def read_request(line: bytes) -> tuple[int | None, Order | Refusal]:
    """The request's id (None if it has none that can be used) and its order, or why there is none."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        return None, Refusal("refused", "request is not JSON: expected one JSON object per line")
    if not isinstance(raw, dict):
        return None, Refusal("refused", "request is not a JSON object")
    given = Fields(raw)
    number = given.need("id", fields.whole, "a whole number", -1)
    op = given.need("op", fields.text, f"one of {', '.join(_READERS)}", "")
    reader = _READERS.get(op)
    if reader is None:
        wrong = given.mistakes or [f"op: {fields.shown(op)}, expected one of {', '.join(_READERS)}"]
        return (number if number >= 0 else None), Refusal("refused", "; ".join(wrong))
    order = reader(given)
    mistakes = given.finish()
    if mistakes:
        return (number if number >= 0 else None), Refusal("refused", f"{op}: " + "; ".join(mistakes))
    return number, order


def _instance(given: Fields) -> str:
    return given.need("instance", _instance_name, 'an instance like "catalog.7"', "")


def _start(given: Fields) -> Start:
    instance = _instance(given)
    node = given.need("node", _node_name, 'a node name like "catalog"', "")
    if instance and node and instance.rpartition(".")[0] != node:
        given.mistakes.append(f"instance: {instance} is not an instance of node {node}")
    order = Start(
        instance=instance,
        node=node,
        argv=given.need("argv", _argv, f"1 to {MOST_ARGUMENTS} texts without NUL, the first not empty", ()),
        cwd=given.need("cwd", fields.path, "an absolute path", ""),
        env=given.need("env", _env, "variable names with texts without NUL", {}),
        user=given.need("user", fields.filled, '"dynamic", a user name or a uid as text', ""),
        limits=_limits(given),
        data=given.take("data", fields.flag, "true or false", False),
    )
    if order.env.get("NODED_INSTANCE", instance) != instance:
        given.mistakes.append(f"env.NODED_INSTANCE: expected {instance}, or leave it out")
    return order


def _limits(given: Fields) -> Limits:
    raw = given.take("limits", fields.mapping, "a table of memory, cpu, pids, files", _NO_TABLE)
    inner = Fields(raw, "limits.")
    limits = Limits(
        memory=inner.take("memory", fields.whole, "bytes, 0 for none", 0),
        cpu=inner.take("cpu", _cores, "cores from 0.01 to 10000, 0 for none", 0.0),
        pids=inner.take("pids", fields.whole, "a number of processes, 0 for none", 0),
        files=inner.take("files", fields.whole, "a number of open files, 0 for none", 0),
    )
    given.mistakes += inner.finish()
    return limits


def _signal(given: Fields) -> Signal:
    number = given.need("signal", _signal_number, 'the name of a signal like "TERM"', signal.SIGTERM)
    return Signal(_instance(given), number)


def _kill(given: Fields) -> Kill:
    seconds = given.take("timeout", _wait, f"seconds from 0 to {LONGEST_WAIT:.0f}", 5.0)
    return Kill(_instance(given), seconds)


_READERS: Final[dict[str, Callable[[Fields], Order]]] = {
    "hello": lambda given: Hello(),
    "start": _start,
    "signal": _signal,
    "kill": _kill,
    "status": lambda given: Status(_instance(given)),
    "list": lambda given: List(),
    "inspect": lambda given: Inspect(_instance(given)),
    "publish": lambda given: Publish(_instance(given)),
    "remove": lambda given: Remove(_instance(given)),
}


def _instance_name(value: object) -> str | None:
    return value if isinstance(value, str) and INSTANCE_NAME.fullmatch(value) else None


def _node_name(value: object) -> str | None:
    return value if isinstance(value, str) and _NODE_NAME.fullmatch(value) else None


def _argv(value: object) -> tuple[str, ...] | None:
    found = fields.texts(value)
    return found if found and len(found) <= MOST_ARGUMENTS and found[0] else None


def _env(value: object) -> Mapping[str, str] | None:
    if not isinstance(value, dict):
        return None
    good = {name: fields.text(entry) for name, entry in value.items() if _VARIABLE_NAME.fullmatch(name)}
    found = {name: entry for name, entry in good.items() if entry is not None}
    return found if len(found) == len(value) else None


def _cores(value: object) -> float | None:
    found = fields.number(value)
    return found if found is not None and (found == 0 or 0.01 <= found <= 10_000) else None


def _wait(value: object) -> float | None:
    found = fields.number(value)
    return found if found is not None and found <= LONGEST_WAIT else None


def _signal_number(value: object) -> signal.Signals | None:
    if not isinstance(value, str):
        return None
    return signal.Signals.__members__.get(f"SIG{value.removeprefix('SIG')}")
