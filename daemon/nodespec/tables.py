"""How does a TOML text become a frozen dataclass, or a list of everything that is wrong with it?

`read(text, "noded.toml", Settings)` works for any nest of plain dataclasses. A field gets its text form
from its annotation (`period: Seconds`), from `forms={Health: {"period": Seconds}}` when the dataclass is
to stay plain, or else from its type. Unknown keys are refused; `later` names keys (`"node.before"`) and
values (`"serves.protocol=grpc"`) that are planned and not there yet.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from nodespec.shapes import Key, Kind, Leaf, ListOf, Pairs, Path, Shape, Table, Wrong
from nodespec.units import Flag, Form, Number, Text, Whole, one_of

T = TypeVar("T")
Forms = Mapping[type, Mapping[str, Any]]
Checks = Callable[[Mapping[str, Any]], Iterable["Mistake"]]

LONGEST_TEXT = 64 * 1024
MOST_MISTAKES = 100
PLAIN: dict[Any, Any] = {str: Text, int: Whole, float: Number, bool: Flag}


@dataclass(frozen=True, slots=True)
class Mistake:
    """`hint` stands alone when nothing at all was expected there."""

    key: str
    expected: str = ""
    got: str = ""
    hint: str = ""

    def __str__(self) -> str:
        wrong = f"expected {self.expected}, got {self.got}" if self.expected else ""
        return ": ".join(part for part in (self.key, "; ".join(filter(None, (wrong, self.hint)))) if part)


class Refused(ValueError):
    """Something was refused whole; `mistakes` has every reason, `str()` one line for each."""

    def __init__(self, where: str, mistakes: Iterable[Mistake]) -> None:
        self.where = where
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"{where}: {mistake}" for mistake in self.mistakes))


class ManifestError(Refused):
    """A TOML file does not say what it should."""


def read(
    text: str,
    where: str,
    shape: type[T],
    later: Collection[str] = (),
    forms: Forms | None = None,
) -> T:
    """Raises ManifestError. A ValueError from a dataclass's `__post_init__` is a mistake of its table."""
    return cast(T, read_shape(text, where, shape_of(shape, forms or {}), later, lambda raw: ()))


def read_shape(text: str, where: str, shape: Shape, later: Collection[str], checks: Checks) -> Any:
    """`checks` sees the file as TOML gave it, so it must not trust any type in it."""
    raw = parse(text, where)
    wrong: list[Wrong] = []
    value = shape.take(raw, (), wrong)
    mistakes = [_mistake(each, shape, later) for each in wrong[:MOST_MISTAKES]]
    if len(wrong) > MOST_MISTAKES:
        mistakes.append(Mistake("", hint=f"and {len(wrong) - MOST_MISTAKES} more mistakes"))
    # one mistake is enough for one key
    told = {mistake.key for mistake in mistakes}
    mistakes += [mistake for mistake in checks(raw) if mistake.key not in told]
    if mistakes:
        raise ManifestError(where, mistakes)
    return value


def decode(content: bytes, where: str) -> str:
    """The text of a file's bytes; raises ManifestError when it is too long or not UTF-8."""
    if len(content) > LONGEST_TEXT:
        raise ManifestError(where, [_too_long()])
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ManifestError(where, [Mistake(f"line {line}", hint="not UTF-8 text")]) from error


def parse(text: str, where: str) -> dict[str, Any]:
    if len(text) > LONGEST_TEXT or len(text.encode(errors="replace")) > LONGEST_TEXT:
        raise ManifestError(where, [_too_long()])
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ManifestError(where, [Mistake("", hint="not valid TOML: nested too deep")]) from error
    except ValueError as error:
        raise ManifestError(where, [_not_toml(str(error), text)]) from error


def _not_toml(message: str, text: str) -> Mistake:
    # tomllib tells the place only in its message; only int(), for a number of 5,000 digits, tells none
    found = re.fullmatch(r"(.*) \(at (?:(line \d+, column \d+)|end of document)\)", message, re.DOTALL)
    if not found:
        return Mistake("", hint="not valid TOML: a number of too many digits")
    lines = text.count("\n") + 1
    return Mistake(found[2] or f"line {lines}", hint=f"not valid TOML: {found[1]}")


def _too_long() -> Mistake:
    return Mistake("", hint=f"longer than {LONGEST_TEXT // 1024} KiB")


def shape_of(annotation: Any, forms: Forms) -> Shape:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        form = next(extra for extra in inner[1:] if isinstance(extra, Form))
        return (
            Pairs(form, shape_of(get_args(inner[0])[1], forms))
            if get_origin(inner[0]) is dict
            else Leaf(form)
        )
    if annotation in PLAIN:
        return shape_of(PLAIN[annotation], forms)
    if origin in (Union, UnionType):
        (some,) = (part for part in inner if part is not NoneType)
        return shape_of(some, forms)
    if origin is tuple and inner[1:] == (...,):
        return ListOf(shape_of(inner[0], forms))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return Leaf(one_of(annotation))
    if is_dataclass(annotation) and isinstance(annotation, type):
        return Table(annotation.__name__, keys_of(annotation, forms), annotation)
    raise TypeError(f"no text form is known for {annotation!r}")


def keys_of(shape: type, forms: Forms) -> dict[str, Key]:
    """The keys of a dataclass's table, in order."""
    hints = get_type_hints(shape, include_extras=True)
    given = forms.get(shape, {})
    return {
        part.name: _key(part, shape_of(given.get(part.name, hints[part.name]), forms))
        for part in fields(shape)
    }


def _key(part: Field[Any], shape: Shape) -> Key:
    if part.default is MISSING and part.default_factory is MISSING:
        return Key(shape)
    return Key(shape, required=False, default=None if part.default is MISSING else part.default)


def _mistake(wrong: Wrong, shape: Shape, later: Collection[str]) -> Mistake:
    key = dotted(wrong.path)
    plain = ".".join(step for step in wrong.path if isinstance(step, str))
    if wrong.kind is Kind.UNKNOWN:
        return Mistake(key, hint="not yet supported" if plain in later else _nearest(wrong.path, shape))
    if isinstance(wrong.got, str) and f"{plain}={wrong.got}" in later:
        return Mistake(key, hint=f"{shown(wrong.got)} is not yet supported")
    if wrong.kind is Kind.RULE:
        return Mistake(key, hint=wrong.text)
    return Mistake(key, wrong.text, "nothing" if wrong.kind is Kind.MISSING else shown(wrong.got))


def dotted(path: Iterable[str | int]) -> str:
    """`healing.ladder[2]`; keys that TOML wants in quotes get them, which also keeps terminals safe."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{_bare_or_quoted(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def _bare_or_quoted(key: str) -> str:
    return key if re.fullmatch(r"[\w-]{1,64}", key, re.ASCII) else shown(key)


def shown(value: Any) -> str:
    """A short, printable picture of what stood in the file."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return _cut(f"[{', '.join(map(shown, value[:20]))}]")
    if isinstance(value, bool | int | str):
        return _cut(json.dumps(value[:100] if isinstance(value, str) else value))
    return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _below(path: Iterable[str | int], shape: Shape) -> Mapping[str, Shape]:
    for step in path:
        shape = shape.below[step] if isinstance(step, str) and step in shape.below else shape
    return shape.below


def _nearest(path: Path, shape: Shape) -> str:
    name, beside = str(path[-1]), list(_below(path[:-1], shape))
    close = difflib.get_close_matches(name[:64], beside, n=1)
    if close:
        return f"unknown key; nearest known key: {dotted((*path[:-1], close[0]))}"
    elsewhere = [place for place in _all_keys(shape) if place.rpartition(".")[2] == name]
    if elsewhere:
        return f"unknown key; nearest known key: {elsewhere[0]}"
    return f"unknown key; known keys here: {', '.join(beside)}"


def _all_keys(shape: Shape, prefix: str = "") -> Iterable[str]:
    for name, inner in shape.below.items():
        yield prefix + name
        yield from _all_keys(inner, f"{prefix}{name}.")
