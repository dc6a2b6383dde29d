"""How is each key of `node.toml` written, and which are planned and not there yet?"""

import re
import signal
from pathlib import PurePosixPath
from typing import Annotated, Any

from nodespec.manifest import (
    Budget,
    Healing,
    Health,
    NodeSpec,
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
    if name.startswith("NODED_") or name == "NOTIFY_SOCKET":
        raise ValueError
    return name


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
Name = Annotated[
    str,
    matching(
        "[a-z][a-z0-9-]{0,31}", 'a name of a-z, 0-9 and "-" that begins with a letter, at most 32 characters'
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
Variables = Annotated[
    dict[str, Text],
    Form(
        "a variable name of letters, digits and _ that is not NOTIFY_SOCKET and does not begin with NODED_",
        variable,
    ),
]
"""The form is that of the names."""
Glob = Annotated[
    str,
    Form(
        'a path inside the release, relative and without "..", such as "shop/*.py"', glob, {"type": "string"}
    ),
]
UrlPath = Annotated[str, matching(r"/[!-~]*", 'a path such as "/healthz"')]

FORMS: dict[type, dict[str, Any]] = {
    NodeSpec: {
        "name": Name,
        "version": Version,
        "run": Command,
        "user": User,
        "env": Variables,
        "start_timeout": Timeout,
        "instances": Annotated[int, whole(1, 64)],
        "spares": Annotated[int, whole(0, 2)],
    },
    Stop: {
        "signal": Annotated[
            str, Form('a signal name such as "TERM" or "INT"', signal_name, {"type": "string"})
        ],
        "timeout": Timeout,
    },
    Serves: {
        "port": Port,
        "idempotent": Annotated[
            tuple[str, ...], Form('a list of HTTP methods such as ["GET", "HEAD"]', methods, STRINGS)
        ],
    },
    Health: {"path": UrlPath, "timeout": Timeout},
    Resources: {
        "memory": Size,
        "cpu": Annotated[float, number(0, 4096, "a number of cores")],
        "pids": Annotated[int, whole(0, 4194304)],
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
    },
    Tests: {"command": CommandOrNone, "timeout": Timeout, "soak": CommandOrNone},
    Regeneration: {"write": tuple[Glob, ...]},
}

LATER = frozenset(
    {
        "node.before",
        "node.requirements",
        "node.env_file",
        "node.secrets",
        "node.write",
        "node.reload",
        "node.hosts",
        "node.singleton",
        "node.instances=every-host",
        "publishes",
        "consumes",
        "metrics",
        "objectives",
        "serves.protocol=grpc",
        "serves.protocol=tcp",
        "resources.memory_high",
        "resources.io",
        "health.liveness",
        "health.period",
        "health.failures",
        "health.command",
        "health.exec",
        "health.tcp",
        "health.readiness=tcp",
        "health.readiness=exec",
        "healing.quiet_hours",
        "healing.quiet",
        "rollout.on_inconclusive",
        "rollout.on_failure",
        "rollout.canary",
        "regeneration.allowed_imports",
        "regeneration.model",
    }
)
