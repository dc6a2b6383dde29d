"""How is one value held against one part of a schema? Functions made once, called for every event.

Each returns "" when the value fits, else where and what: `.items[2].price: expected a number, found "abc"`.
Whoever holds the value adds the way to it in front. They are closures over what the schema said. Of most
values `fitting` has found before that they fit.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .pattern import Meter, Pattern

Check = Callable[[Any], str]
MOST_SHOWN = 60
LARGEST = sys.float_info.max


def shown(value: object) -> str:
    """Short, whatever the value: it goes into logs."""
    match value:
        case bool() | None:
            return json.dumps(value)
        case str():
            cut = json.dumps(value[:MOST_SHOWN], ensure_ascii=False)
            return cut if len(value) <= MOST_SHOWN else f'{cut[:-1]}..."'
        case int():
            return str(value) if abs(value) < 10**MOST_SHOWN else "a very long integer"
        case float():
            return repr(value)
        case list() | tuple():
            return f"an array of {len(value)}"
        case dict():
            return "an object"
    return f"{type(value).__name__}, which JSON has no word for"


def exact(value: object) -> Any:
    """A value of a class that json writes as well, such as a tuple or an enumeration, as JSON's own."""
    match value:
        case bool():
            return value
        case str():
            return str.__str__(value)
        case int():
            return int.__int__(value)
        case float():
            return float.__float__(value)
        case list() | tuple():
            return list(value)
        case dict():
            return dict(value)
    return value


def mismatch(check: Check, value: object, expected: str) -> str:
    plain = exact(value)
    if type(plain) is not type(value):
        return check(plain)
    return f": expected {expected}, found {shown(value)}"


def step(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{json.dumps(name[:MOST_SHOWN], ensure_ascii=False)}]"


def between(low: object, high: object) -> str:
    if low is None or high is None:
        return f"at least {low}" if high is None else f"at most {high}"
    return f"{low} to {high}" if low != high else f"{low}"


def anything(value: Any) -> str:
    return ""


def nothing(value: Any) -> str:
    return f": expected nothing here, found {shown(value)}"


def exactly(kind: type, expected: str) -> Check:
    def check(value: Any) -> str:
        return "" if type(value) is kind else mismatch(check, value, expected)

    return check


def string(least: int | None, most: int | None, pattern: Pattern | None, source: str) -> Check:
    expected = "a string"
    if least is not None or most is not None:
        expected += f" of {between(least, most)} characters"
    if pattern:
        expected += f" that matches {source}"
    if expected == "a string":
        return exactly(str, expected)
    low, high = least or 0, sys.maxsize if most is None else most

    def check(value: Any) -> str:
        if type(value) is str and low <= len(value) <= high and (pattern is None or pattern.matches(value)):
            return ""
        return mismatch(check, value, expected)

    return check


def number(
    whole: bool, low: float | None, high: float | None, above: float | None, below: float | None
) -> Check:
    expected = "an integer" if whole else "a number"
    parts = [f"of {between(low, high)}"] if low is not None or high is not None else []
    parts += [f"above {above}"] if above is not None else []
    parts += [f"below {below}"] if below is not None else []
    expected = " ".join([expected, " and ".join(parts)]) if parts else expected
    least, most = -math.inf if low is None else low, math.inf if high is None else high
    over, under = -math.inf if above is None else above, math.inf if below is None else below
    strict = above is not None or below is not None

    def check(value: Any) -> str:
        kind = type(value)
        # NaN and infinity are not JSON, though Python reads them.
        good = kind is int or (
            kind is float and -LARGEST <= value <= LARGEST and (not whole or value.is_integer())
        )
        if good and least <= value <= most and (not strict or over < value < under):
            return ""
        return mismatch(check, value, expected)

    return check


def array(first: Sequence[Check], rest: Check, least: int, most: int | None, unique: bool) -> Check:
    expected = "an array"
    if least or most is not None:
        expected += f" of {between(least or None, most)}"
    high, skipped, look = sys.maxsize if most is None else most, len(first), rest is not anything

    def check(value: Any) -> str:
        if type(value) is not list or not least <= len(value) <= high:
            return mismatch(check, value, expected)
        for place, one in enumerate(first[: len(value)]):
            if found := one(value[place]):
                return f"[{place}]{found}"
        if look:
            for place, item in enumerate(value[skipped:] if skipped else value):
                if found := rest(item):
                    return f"[{place + skipped}]{found}"
        return twice(value) if unique else ""

    return check


def twice(values: list[Any]) -> str:
    seen: dict[object, int] = {}
    for place, value in enumerate(values):
        before = seen.setdefault(frozen(value), place)
        if before != place:
            return f"[{place}]: expected no item twice, found {shown(value)} as in [{before}]"
    return ""


def frozen(value: object) -> object:
    """Equal where JSON says equal: 1 and 1.0 are, 1 and true are not.

    Numbers become text: texts are hashed with a secret, so nobody can choose numbers that collide.
    """
    plain = exact(value)
    match plain:
        case str() | None:
            return plain
        case bool():
            return ("boolean", plain)
        case int():
            return ("number", hex(plain))
        case float():
            return ("number", hex(int(plain)) if plain.is_integer() else repr(plain))
        case list():
            return ("array", *map(frozen, plain))
        case dict():
            return ("object", frozenset((name, frozen(inside)) for name, inside in plain.items()))
    return ("other", id(plain))


def members(known: Mapping[str, Check], required: Sequence[str], more: Check) -> Check:
    """Of an object whose other properties are looked at as well, or refused."""
    names = ", ".join(list(known)[:10]) or "none"

    def check(value: Any) -> str:
        if type(value) is not dict:
            return mismatch(check, value, "an object")
        for name, item in value.items():
            if found := known.get(name, more)(item):
                if more is nothing and name not in known:
                    return f"{step(str(name))}: expected only the properties {names}, found this one"
                return step(str(name)) + found
        for name in required:
            if name not in value:
                return f"{step(name)}: expected a value, found none"
        return ""

    return check


def some_members(known: Mapping[str, Check], required: Sequence[str]) -> Check:
    """Of an object that may have any other properties."""
    must = tuple((name, known.get(name, anything)) for name in required)
    may = tuple((name, one) for name, one in known.items() if name not in required)

    def check(value: Any) -> str:
        if type(value) is not dict:
            return mismatch(check, value, "an object")
        for name, one in must:
            if name not in value:
                return f"{step(name)}: expected a value, found none"
            if found := one(value[name]):
                return step(name) + found
        for name, one in may:
            if name in value and (found := one(value[name])):
                return step(name) + found
        return ""

    return check


def sized(inside: Check, least: int, most: int | None) -> Check:
    expected = f"an object of {between(least or None, most)} properties"
    high = sys.maxsize if most is None else most

    def check(value: Any) -> str:
        if isinstance(value, dict) and not least <= len(value) <= high:
            return f": expected {expected}, found {len(value)}"
        return inside(value)

    return check


def one_of_kinds(checks: Mapping[type, Check], expected: str) -> Check:
    def check(value: Any) -> str:
        one = checks.get(type(value))
        return one(value) if one else mismatch(check, value, expected)

    return check


def listed(values: Sequence[object]) -> Check:
    texts = [shown(value) for value in values]
    expected = (
        ("one of " if len(texts) > 1 else "") + ", ".join(texts[:10]) + ("..." if len(texts) > 10 else "")
    )
    allowed = frozenset(frozen(value) for value in values)
    plain = frozenset(value for value in values if isinstance(value, str))
    flat = not any(isinstance(value, list | dict) for value in values)

    def check(value: Any) -> str:
        if type(value) is str and value in plain:
            return ""
        if not (flat and isinstance(value, list | tuple | dict)) and frozen(value) in allowed:
            return ""
        return f": expected {expected}, found {shown(value)}"

    return check


def every(checks: Sequence[Check]) -> Check:
    if len(checks) == 2:
        first, second = checks
        return lambda value: first(value) or second(value)

    def check(value: Any) -> str:
        for one in checks:
            if found := one(value):
                return found
        return ""

    return check


def any_of(checks: Sequence[Check]) -> Check:
    def check(value: Any) -> str:
        told = []
        for one in checks:
            found = one(value)
            if not found:
                return ""
            told.append(found)
        # The way that went furthest into the value is most likely the one that was meant.
        return max(told, key=lambda text: text.find(": "))

    return check


def just_one(checks: Sequence[Check]) -> Check:
    some = any_of(checks)

    def check(value: Any) -> str:
        fits = sum(1 for one in checks if not one(value))
        if fits == 1:
            return ""
        return some(value) or f": expected one way of oneOf to fit, found {fits}"

    return check


def other_than(inside: Check) -> Check:
    def check(value: Any) -> str:
        return "" if inside(value) else f": expected what `not` does not describe, found {shown(value)}"

    return check


def metered(inside: Check, meter: Meter, weight: int) -> Check:
    """Counts what the length of an array or object, or a depth that repeats, adds to the work."""

    def check(value: Any) -> str:
        meter.spend(weight * len(value) if isinstance(value, list | dict) else 1)
        return inside(value)

    return check
