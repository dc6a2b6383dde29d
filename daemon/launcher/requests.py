"""How does a request have to look? One JSON object per line, read strictly: all mistakes at once."""

import json
import re
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Final

from launcher import fields
from launcher.fields import Fields
from launcher.orders import (
    INSTANCE_NAME,
    Address,
    Discard,
    Entrust,
    Freeze,
    Hello,
    Inspect,
    Kill,
    Limits,
    List,
    Order,
    Program,
    Publish,
    Refusal,
    Remove,
    Run,
    Signal,
    Start,
    Status,
    Thaw,
    Trim,
    Unlisten,
)

LARGEST_REQUEST = 256 * 1024
LARGEST_OUTPUT = 65536
MOST_ARGUMENTS = 512
MOST_ENTRIES = 64
LONGEST_WAIT = 600.0
LONGEST_RUN = 3600.0
LOWEST_PORT = 1024
"""Below it a port is a privilege, and the launcher would be lending its own."""
LARGEST_WEIGHT = 10_000
_NODE_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_TABLE: Final[Mapping[str, object]] = {}
_NO_LIMITS: Final = Limits()


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
    op = given.need("op", fields.text, f"one of {', '.join(READERS)}", "")
    reader = READERS.get(op)
    if reader is None:
        wrong = given.mistakes or [f"op: {fields.shown(op)}, expected one of {', '.join(READERS)}"]
        return (number if number >= 0 else None), Refusal("refused", "; ".join(wrong))
    order = reader(given)
    mistakes = given.finish()
    if mistakes:
        return (number if number >= 0 else None), Refusal("refused", f"{op}: " + "; ".join(mistakes))
    return number, order


def owned_by_launcher(name: str) -> bool:
    """What a program must be able to believe: no file of the host may say something else."""
    return name == "NOTIFY_SOCKET" or name.startswith(("LISTEN_", "NODED_"))


def variable_name(name: str) -> bool:
    return _VARIABLE_NAME.fullmatch(name) is not None


def _instance(given: Fields) -> str:
    return given.need("instance", _instance_name, 'an instance like "catalog.7"', "")


def _node(given: Fields) -> str:
    return given.need("node", _node_name, 'a node name like "catalog"', "")


def _belongs(given: Fields, key: str, instance: str, node: str) -> None:
    if instance and node and instance.rpartition(".")[0] != node:
        given.mistakes.append(f"{key}: {instance} is not an instance of node {node}")


def _start(given: Fields) -> Start:
    instance, node = _instance(given), _node(given)
    _belongs(given, "instance", instance, node)
    program = _program(given, instance, given.need("user", fields.filled, _USER, ""), _limits(given))
    listen = given.take("listen", _listen, f'"" or an address like "127.0.0.1:9000", {_PORTS}', _NOWHERE)
    notify = given.take("notify", _place_or_none, _SOCKET, "")
    return Start(instance, node, program, listen if listen.port else None, notify)


def _run(given: Fields) -> Run:
    into = given.take("into", _instance_name_or_none, 'an instance like "catalog.7"', "")
    instance = given.take("instance", _instance_name, 'an instance like "catalog.7"', "") or into
    node = _node(given)
    if not instance:
        given.mistakes.append('instance: expected an instance like "catalog.7"')
    _belongs(given, "instance", instance, node)
    _belongs(given, "into", into, node)
    user = given.take("user", fields.filled, _USER, "")
    if not user and not into:
        given.mistakes.append(f"user: missing, expected {_USER}")
    return Run(
        instance=instance,
        node=node,
        program=_program(given, into or instance, user, _limits(given)),
        timeout=given.need("timeout", _run_time, f"seconds above 0, at most {LONGEST_RUN:.0f}", 0.0),
        output=given.take("output", _output, f"bytes from 0 to {LARGEST_OUTPUT}", LARGEST_OUTPUT),
        into=into,
    )


def _program(given: Fields, instance: str, user: str, limits: Limits) -> Program:
    program = Program(
        argv=given.need("argv", _argv, f"1 to {MOST_ARGUMENTS} texts without NUL, the first not empty", ()),
        cwd=given.need("cwd", fields.path, "an absolute path", ""),
        env=given.need("env", _env, "variable names with texts without NUL", {}),
        user=user,
        limits=limits,
        data=given.take("data", fields.flag, "true or false", False),
        env_file=given.take("env_file", _place_or_none, '"" or an absolute path without "." and ".."', ""),
        secrets=given.take("secrets", _secrets, 'variable names with "file:/absolute/path"', {}),
        write=given.take("write", _places, f'at most {MOST_ENTRIES} absolute paths without "." and ".."', ()),
    )
    if program.env.get("NODED_INSTANCE", instance) != instance:
        given.mistakes.append(f"env.NODED_INSTANCE: expected {instance}, or leave it out")
    given.mistakes += [
        f"env.{name}: the launcher sets it" for name in program.env if name.startswith("LISTEN_")
    ]
    given.mistakes += [
        f"secrets.{name}: noded sets it" for name in program.secrets if owned_by_launcher(name)
    ]
    return program


def _limits(given: Fields) -> Limits:
    keys = "memory, memory_high, cpu, pids, io, files"
    raw = given.take("limits", fields.mapping, f"a table of {keys}", _NO_TABLE)
    inner = Fields(raw, "limits.")
    limits = Limits(
        memory=inner.take("memory", fields.whole, "bytes as a whole number, 0 for none", 0),
        cpu=inner.take("cpu", _cores, "cores from 0.01 on, 0 for none", 0.0),
        pids=inner.take("pids", fields.whole, "a number of processes, 0 for none", 0),
        files=inner.take("files", fields.whole, "a number of open files, 0 for none", 0),
        memory_high=inner.take("memory_high", fields.whole, "bytes as a whole number, 0 for none", 0),
        io=inner.take("io", _weight, f"a weight from 1 to {LARGEST_WEIGHT}, 0 for none", 0),
    )
    given.mistakes += inner.finish()
    return limits


def _signal(given: Fields) -> Signal:
    number = given.need("signal", _signal_number, 'the name of a signal like "TERM"', signal.SIGTERM)
    return Signal(_instance(given), number)


def _kill(given: Fields) -> Kill:
    seconds = given.take("timeout", _wait, f"seconds from 0 to {LONGEST_WAIT:.0f}", 5.0)
    return Kill(_instance(given), seconds)


def _entrust(given: Fields) -> Entrust:
    return Entrust(_instance(given), given.need("path", fields.place, _SOCKET, ""))


READERS: Final[dict[str, Callable[[Fields], Order]]] = {
    "hello": lambda given: Hello(),
    "start": _start,
    "run": _run,
    "signal": _signal,
    "kill": _kill,
    "freeze": lambda given: Freeze(_instance(given)),
    "thaw": lambda given: Thaw(_instance(given)),
    "status": lambda given: Status(_instance(given)),
    "list": lambda given: List(),
    "inspect": lambda given: Inspect(_instance(given)),
    "publish": lambda given: Publish(_instance(given)),
    "entrust": _entrust,
    "unlisten": lambda given: Unlisten(_node(given)),
    "trim": lambda given: Trim(_instance(given), given.need("keep", fields.whole, "bytes", 0)),
    "discard": lambda given: Discard(_instance(given)),
    "remove": lambda given: Remove(_instance(given)),
}
_USER: Final = '"dynamic", a user name or a uid as text'
_SOCKET: Final = 'an absolute path without "." and ".."'
_PORTS: Final = f"port {LOWEST_PORT} to 65535"
_NOWHERE: Final = Address("", "", 0)


def _instance_name(value: object) -> str | None:
    return value if isinstance(value, str) and INSTANCE_NAME.fullmatch(value) else None


def _instance_name_or_none(value: object) -> str | None:
    return "" if value == "" else _instance_name(value)


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


def _secrets(value: object) -> Mapping[str, str] | None:
    named = _env(value)
    if named is None or len(named) > MOST_ENTRIES:
        return None
    found = {
        name: place
        for name, entry in named.items()
        if entry.startswith("file:") and (place := fields.place(entry.removeprefix("file:")))
    }
    return found if len(found) == len(named) else None


def _place_or_none(value: object) -> str | None:
    return "" if value == "" else fields.place(value)


def _places(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list) or len(value) > MOST_ENTRIES:
        return None
    found = tuple(place for entry in value if (place := fields.place(entry)) is not None)
    return found if len(found) == len(value) else None


def _listen(value: object) -> Address | None:
    if value == "":
        return _NOWHERE
    return address_of(value) if isinstance(value, str) else None


def address_of(text: str) -> Address | None:
    """Numbers only: a name could mean something else at the next start."""
    found = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([0-9.]+)):([1-9][0-9]{3,4})", text)
    if found is None or not LOWEST_PORT <= int(found[3]) <= 65535:
        return None
    family = socket.AF_INET6 if found[1] else socket.AF_INET
    try:
        host = socket.inet_ntop(family, socket.inet_pton(family, found[1] or found[2]))
    except OSError:
        return None
    return Address(f"[{host}]:{found[3]}" if found[1] else f"{host}:{found[3]}", host, int(found[3]))


def _cores(value: object) -> float | None:
    found = fields.number(value)
    return found if found is not None and (found == 0 or 0.01 <= found <= 10_000) else None


def _weight(value: object) -> int | None:
    found = fields.whole(value)
    return found if found is not None and found <= LARGEST_WEIGHT else None


def _output(value: object) -> int | None:
    found = fields.whole(value)
    return found if found is not None and found <= LARGEST_OUTPUT else None


def _wait(value: object) -> float | None:
    found = fields.number(value)
    return found if found is not None and found <= LONGEST_WAIT else None


def _run_time(value: object) -> float | None:
    found = fields.number(value)
    return found if found is not None and 0 < found <= LONGEST_RUN else None


def _signal_number(value: object) -> signal.Signals | None:
    if not isinstance(value, str):
        return None
    return signal.Signals.__members__.get(f"SIG{value.removeprefix('SIG')}")
