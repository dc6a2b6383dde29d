"""How is each key of `node.toml` written, and which are planned and not there yet?"""

import re
import signal
from pathlib import PurePosixPath
from typing import Annotated, Any

from nodespec.manifest import (
    Budget,
    Calls,
    Consumes,
    Healing,
    Health,
    Metrics,
    NodeSpec,
    Objectives,
    Publishes,
    Regeneration,
    Resources,
    RolloutPlan,
    Rung,
    Serves,
    Stop,
    Tests,
)
from nodespec.units import (
    Form,
    Port,
    Seconds,
    Size,
    Text,
    Timeout,
    a_number,
    a_string,
    matching,
    number,
    whole,
)

MOST_ARGUMENTS = 512
"""As many as the launcher takes."""
MOST_COMMANDS = 16
MOST_FOLDERS = 16
OURS = ("NODED_", "LISTEN_")
"""So begin the variables that tell a node of its place, beside NOTIFY_SOCKET; nobody else may set them."""


def strings(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST_ARGUMENTS:
        raise ValueError
    return tuple(a_string(item) for item in value)


def command(value: Any) -> tuple[str, ...]:
    words = strings(value)
    if not words or not words[0]:
        raise ValueError
    return words


def command_or_none(value: Any) -> tuple[str, ...]:
    return command(value) if value != [] else ()


def user(value: Any) -> str:
    name = a_string(value)
    if not re.fullmatch(r"[a-z_][a-z0-9_.-]{0,31}|[1-9][0-9]{0,9}", name, re.ASCII) or name == "root":
        raise ValueError
    # the kernel takes 2**32 - 1 for "leave the user as it is"
    if name.isdigit() and int(name) >= 2**32 - 1:
        raise ValueError
    return name


def signal_name(value: Any) -> str:
    if f"SIG{a_string(value)}" not in signal.Signals.__members__:
        raise ValueError
    return str(value)


def variable(value: Any) -> str:
    name = a_string(value)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name, re.ASCII):
        raise ValueError
    if name.startswith(OURS) or name == "NOTIFY_SOCKET":
        raise ValueError
    return name


def reload_signal(value: Any) -> str:
    # nobody can catch these two, so no program reads its settings again on them
    if value in ("KILL", "STOP"):
        raise ValueError
    return signal_name(value) if value != "" else ""


def absolute(value: Any) -> str:
    path = PurePosixPath(a_string(value))
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2 or not value.isprintable():
        raise ValueError
    # POSIX leaves open what "//etc" is, and pathlib keeps it
    return f"/{'/'.join(path.parts[1:])}"


def absolute_or_none(value: Any) -> str:
    return absolute(value) if value != "" else ""


def inside_or_none(value: Any) -> str:
    return str(PurePosixPath(glob(value))) if value != "" else ""


def secret(value: Any) -> str:
    scheme, _, path = a_string(value).partition(":")
    if scheme != "file":
        raise ValueError
    return f"file:{absolute(path)}"


def commands(value: Any) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list) or len(value) > MOST_COMMANDS:
        raise ValueError
    return tuple(command(each) for each in value)


def methods(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 16 or len({*map(a_string, value)}) < len(value):
        raise ValueError
    if not all(re.fullmatch(r"[A-Z]{1,16}", method, re.ASCII) for method in value):
        raise ValueError
    return tuple(value)


def rungs(value: Any) -> tuple[Rung, ...]:
    if not isinstance(value, list):
        raise ValueError
    ladder = tuple(Rung(a_string(rung)) for rung in value)
    if list(ladder) != [rung for rung in Rung if rung in ladder]:
        raise ValueError
    return ladder


def shares(value: Any) -> tuple[float, ...]:
    percents = [a_number(step) for step in value] if isinstance(value, list) else []
    rising = all(low < high for low, high in zip([0.0, *percents], percents, strict=False))
    if not 1 <= len(percents) <= 20 or not rising or percents[-1] != 100:
        raise ValueError
    return tuple(percent / 100 for percent in percents)


def folders(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST_FOLDERS:
        raise ValueError
    found = tuple(absolute(each) for each in value)
    if len({*found}) < len(found):
        raise ValueError
    return found


def glob(value: Any) -> str:
    path = PurePosixPath(a_string(value))
    if not path.parts or path.is_absolute() or ".." in path.parts or not value.isprintable():
        raise ValueError
    return str(value)


def percents(steps: tuple[float, ...]) -> list[float]:
    return [round(step * 100, 6) for step in steps]


STRINGS = {"type": "array", "items": {"type": "string"}}
A_COMMAND = 'a list of strings, the program first, such as ["python", "-m", "shop"]'
Command = Annotated[tuple[str, ...], Form(A_COMMAND, command, {**STRINGS, "minItems": 1})]
CommandOrNone = Annotated[tuple[str, ...], Form(A_COMMAND, command_or_none, STRINGS)]
Commands = Annotated[
    tuple[tuple[str, ...], ...],
    Form(
        f'a list of at most {MOST_COMMANDS} commands such as [["python", "-m", "shop.migrate"]]',
        commands,
        {"type": "array", "items": {**STRINGS, "minItems": 1}, "maxItems": MOST_COMMANDS},
    ),
]
AbsolutePath = Annotated[
    str, Form('an absolute path such as "/etc/shop/env"', absolute_or_none, {"type": "string"})
]
Folders = Annotated[
    tuple[str, ...],
    Form(
        f'a list of at most {MOST_FOLDERS} different absolute paths such as ["/srv/shop"]', folders, STRINGS
    ),
]
InsidePath = Annotated[
    str,
    Form('a file inside the release such as "requirements.txt"', inside_or_none, {"type": "string"}),
]
Signal = Annotated[str, Form('a signal name such as "TERM" or "INT"', signal_name, {"type": "string"})]
ReloadSignal = Annotated[
    str,
    Form('a signal name such as "HUP" or "USR1" that a program can catch', reload_signal, {"type": "string"}),
]
Secret = Annotated[str, Form('where the value is, such as "file:/etc/shop/key"', secret, {"type": "string"})]
Name = Annotated[
    str,
    matching(
        "(?!noded)[a-z][a-z0-9-]{0,31}",
        'a name of a-z, 0-9 and "-" that begins with a letter and not with "noded", at most 32 characters',
    ),
]
Version = Annotated[
    str,
    matching(
        "[0-9A-Za-z][0-9A-Za-z.+-]{0,63}", 'a version such as "1.4.0" of letters, digits, ".", "+" and "-"'
    ),
]
User = Annotated[
    str, Form('"dynamic", or the name or number of a user other than root', user, {"type": "string"})
]
A_VARIABLE = "a variable name of letters, digits and _; not NODED_*, LISTEN_* or NOTIFY_SOCKET"
Variables = Annotated[
    dict[str, Text],
    Form(
        A_VARIABLE,
        variable,
    ),
]
"""The form is that of the names."""
Secrets = Annotated[
    dict[str, Secret],
    Form(
        A_VARIABLE,
        variable,
    ),
]
Glob = Annotated[
    str,
    Form(
        'a path inside the release, relative and without "..", such as "shop/*.py"', glob, {"type": "string"}
    ),
]
EventType = Annotated[
    str,
    matching(
        "[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}",
        'an event type such as "shop.order.placed" of letters, digits, ".", "_", ":", "/" and "-",'
        " at most 255 characters",
    ),
]
SchemaFile = Annotated[
    str,
    Form(
        'a file inside the release such as "contracts/order.placed.json"', inside_or_none, {"type": "string"}
    ),
]
HostName = Annotated[
    str,
    matching(
        r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,62}\.?)*", 'a host name in lower case such as "shop.example.org"'
    ),
]
MetricName = Annotated[
    str, matching("|[a-zA-Z_:][a-zA-Z0-9_:]{0,127}", 'a metric\'s name such as "answer_seconds"')
]
UrlPath = Annotated[str, matching(r"/[!-~]*", 'a path such as "/healthz"')]

FORMS: dict[type, dict[str, Any]] = {
    NodeSpec: {
        "name": Name,
        "version": Version,
        "run": Command,
        "before": Commands,
        "requirements": InsidePath,
        "user": User,
        "env": Variables,
        "env_file": AbsolutePath,
        "secrets": Secrets,
        "write": Folders,
        "start_timeout": Timeout,
        "reload": ReloadSignal,
        "instances": Annotated[int, whole(1, 64)],
        "spares": Annotated[int, whole(0, 2)],
    },
    Stop: {
        "signal": Signal,
        "timeout": Timeout,
    },
    Serves: {
        "port": Port,
        "idempotent": Annotated[
            tuple[str, ...], Form('a list of HTTP methods such as ["GET", "HEAD"]', methods, STRINGS)
        ],
        "hosts": tuple[HostName, ...],
    },
    Publishes: {"type": EventType, "schema": SchemaFile},
    Consumes: {"type": EventType, "schema": SchemaFile},
    Health: {
        "path": UrlPath,
        "command": CommandOrNone,
        "period": Seconds,
        "timeout": Timeout,
        "failures": Annotated[int, whole(1, 100)],
    },
    Resources: {
        "memory": Size,
        "memory_high": Size,
        "cpu": Annotated[float, number(0, 4096, "a number of cores")],
        "pids": Annotated[int, whole(0, 4194304)],
        "io": Annotated[int, whole(0, 10000, "a weight")],
        "files": Annotated[int, whole(0, 1048576)],
    },
    Budget: {"replace": Annotated[int, whole(0, 1000)], "regenerate": Annotated[int, whole(0, 1000)]},
    Healing: {
        "ladder": Annotated[
            tuple[Rung, ...], Form(f"rungs in rising cost, of {', '.join(Rung)}", rungs, STRINGS)
        ],
        "settle": Timeout,
    },
    RolloutPlan: {
        "steps": Annotated[
            tuple[float, ...],
            Form(
                "percents that rise to 100, such as [10, 50, 100]",
                shares,
                {"type": "array", "items": {"type": "number"}, "minItems": 1},
                percents,
            ),
        ],
        "dwell": Seconds,
        "soak": Seconds,
        "max_dwell": Timeout,
    },
    Objectives: {
        "error_ratio": Annotated[float, number(0, 0.5, "a ratio such as 0.01")],
        "latency_p99": Seconds,
        "queue_lag": Seconds,
    },
    Metrics: {"path": UrlPath, "latency": MetricName},
    Calls: {"node": Name, "timeout": Timeout},
    Tests: {"command": CommandOrNone, "timeout": Timeout, "soak": CommandOrNone},
    Regeneration: {"write": tuple[Glob, ...]},
}

LATER = frozenset(
    {
        "node.hosts",
        "node.singleton",
        "node.instances=every-host",
        "healing.quiet_hours",
        "healing.quiet",
        "regeneration.allowed_imports",
        "regeneration.model",
    }
)
