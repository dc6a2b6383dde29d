"""How is one value written in `node.toml` and `noded.toml`, and what does it become?

A form is an ordinary annotation: `timeout: Seconds`, `memory: Size`. It turns what TOML gave into the
plain value or refuses it, and says in words what it expects. Dataclasses that should not know about forms
(`manifest.py`) keep `float` and `int`; the reader is given the forms beside them (see `tables.py`).
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any

LONGEST_STRING = 4096
"""Characters in one string; Linux refuses a single argument or variable above 128 KiB."""
LONGEST_DURATION = 366 * 86400.0
LARGEST_SIZE = 1 << 62


def as_written(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """`expected` completes the sentence "expected ..."; `parse` raises ValueError to refuse."""

    expected: str
    parse: Callable[[Any], Any]
    json: dict[str, Any] = field(default_factory=dict)
    write: Callable[[Any], Any] = as_written
    """The way back, from the value to what stands in the file; for showing defaults."""


def a_string(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_STRING or "\0" in value:
        raise ValueError
    return value


def a_whole_number(value: Any) -> int:
    # TOML's true is Python's True, and that is an int
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError
    return value


def a_number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError
    return float(value)


def a_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _with_unit(value: Any, units: dict[str, float], number: str) -> float:
    found = re.fullmatch(rf"({number})({'|'.join(units)})", a_string(value), re.ASCII)
    if not found:
        raise ValueError
    return float(found[1]) * units[found[2]]


def seconds(value: Any) -> float:
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    duration = (
        _with_unit(value, units, r"\d{1,9}(?:\.\d{1,6})?") if isinstance(value, str) else a_number(value)
    )
    if not 0 <= duration <= LONGEST_DURATION:
        raise ValueError
    return duration


def more_than_no_time(value: Any) -> float:
    duration = seconds(value)
    if duration == 0:
        raise ValueError
    return duration


def size(value: Any) -> int:
    units = {"K": 2.0**10, "M": 2.0**20, "G": 2.0**30, "T": 2.0**40}
    amount = int(_with_unit(value, units, r"\d{1,9}")) if isinstance(value, str) else a_whole_number(value)
    if not 0 <= amount <= LARGEST_SIZE:
        raise ValueError
    return amount


def whole(least: int, most: int, what: str = "a whole number") -> Form:
    def parse(value: Any) -> int:
        number = a_whole_number(value)
        if not least <= number <= most:
            raise ValueError
        return number

    return Form(
        f"{what} from {least} to {most}", parse, {"type": "integer", "minimum": least, "maximum": most}
    )


def number(least: float, most: float, what: str = "a number") -> Form:
    def parse(value: Any) -> float:
        got = a_number(value)
        if not least <= got <= most:
            raise ValueError
        return got

    return Form(
        f"{what} from {least:g} to {most:g}", parse, {"type": "number", "minimum": least, "maximum": most}
    )


def matching(pattern: str, expected: str) -> Form:
    """A string that the pattern describes from its first to its last character."""

    def parse(value: Any) -> str:
        if not re.fullmatch(pattern, a_string(value), re.ASCII):
            raise ValueError
        return str(value)

    return Form(expected, parse, {"type": "string", "pattern": f"^(?:{pattern})$"})


def one_of(choices: type[Enum]) -> Form:
    names = [choice.value for choice in choices]

    def parse(value: Any) -> Enum:
        return choices(a_string(value))

    expected = f"one of {', '.join(names)}" if len(names) > 1 else f'"{names[0]}"'
    return Form(expected, parse, {"type": "string", "enum": names})


Text = Annotated[str, Form(f"a string of at most {LONGEST_STRING} characters", a_string, {"type": "string"})]
Whole = Annotated[int, Form("a whole number", a_whole_number, {"type": "integer"})]
Number = Annotated[float, Form("a number", a_number, {"type": "number"})]
Flag = Annotated[bool, Form("true or false", a_flag, {"type": "boolean"})]
Seconds = Annotated[
    float, Form('a duration such as "30s", "500ms", "5m" or "1h"', seconds, {"type": ["string", "number"]})
]
Timeout = Annotated[
    float,
    Form('a duration above zero such as "30s" or "500ms"', more_than_no_time, {"type": ["string", "number"]}),
]
Size = Annotated[
    int, Form('a size such as "256M", "1G" or a number of bytes', size, {"type": ["string", "integer"]})
]
Port = Annotated[int, whole(1, 65535, "a port number")]
