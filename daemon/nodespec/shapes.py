"""What may stand at one place of a file, and how is it taken in?

A shape takes what TOML gave and returns the value, or notes everything that is wrong with it and
where. Nothing is coerced: what a form does not accept is wrong.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from nodespec.units import Form

Path = tuple[str | int, ...]
Definitions = dict[str, Any]


class Kind(Enum):
    UNKNOWN = "a key nobody asked for"
    MISSING = "a key that must be there"
    FORM = "a value that is not of its form"
    RULE = "values that do not go together"


@dataclass(frozen=True, slots=True)
class Wrong:
    path: Path
    kind: Kind
    got: Any = None
    text: str = ""
    """What was expected, or the rule that was broken."""


class Shape(Protocol):
    @property
    def expected(self) -> str: ...

    @property
    def below(self) -> Mapping[str, "Shape"]:
        """The keys that may stand here."""
        ...

    def take(self, written: Any, path: Path, wrong: list[Wrong]) -> Any:
        """The value; whatever, when something was added to `wrong`."""
        ...

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """As JSON Schema; named tables go into `definitions`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    form: Form
    below: Mapping[str, Shape] = field(default_factory=dict)

    @property
    def expected(self) -> str:
        return self.form.expected

    def take(self, written: Any, path: Path, wrong: list[Wrong]) -> Any:
        try:
            return self.form.parse(written)
        except (ValueError, OverflowError):
            wrong.append(Wrong(path, Kind.FORM, written, self.form.expected))
            return None

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return {**self.form.json, "description": self.form.expected}


@dataclass(frozen=True, slots=True, eq=False)
class ListOf:
    item: Shape

    @property
    def expected(self) -> str:
        return f"a list, each {self.item.expected}"

    @property
    def below(self) -> Mapping[str, Shape]:
        return self.item.below

    def take(self, written: Any, path: Path, wrong: list[Wrong]) -> Any:
        if not isinstance(written, list):
            wrong.append(Wrong(path, Kind.FORM, written, "a list"))
            return None
        return tuple(self.item.take(each, (*path, place), wrong) for place, each in enumerate(written))

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(definitions)}


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """A table whose keys are free, such as the environment: sorted pairs of name and value."""

    name: Form
    value: Shape
    below: Mapping[str, Shape] = field(default_factory=dict)

    @property
    def expected(self) -> str:
        return "a table"

    def take(self, written: Any, path: Path, wrong: list[Wrong]) -> Any:
        if not isinstance(written, dict):
            wrong.append(Wrong(path, Kind.FORM, written, "a table"))
            return None
        name = Leaf(self.name)
        pairs = []
        for key, value in written.items():
            here = (*path, key)
            before = len(wrong)
            name.take(key, here, wrong)
            taken = self.value.take(value, here, wrong)
            del wrong[before + 1 :]
            pairs.append((key, taken))
        return tuple(sorted(pairs)) if not wrong else ()

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.value.schema(definitions)}


@dataclass(frozen=True, slots=True)
class Key:
    shape: Shape
    required: bool = True
    default: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Exactly these keys; `build` is called with those that were written and may raise ValueError."""

    name: str
    keys: Mapping[str, Key]
    build: Callable[..., Any]

    @property
    def expected(self) -> str:
        return "a table"

    @property
    def below(self) -> Mapping[str, Shape]:
        return {name: key.shape for name, key in self.keys.items()}

    def take(self, written: Any, path: Path, wrong: list[Wrong]) -> Any:
        if not isinstance(written, dict):
            wrong.append(Wrong(path, Kind.FORM, written, "a table"))
            return None
        before = len(wrong)
        values = {}
        for name, key in self.keys.items():
            if name in written:
                values[name] = key.shape.take(written[name], (*path, name), wrong)
            elif key.required:
                wrong.append(Wrong((*path, name), Kind.MISSING, None, key.shape.expected))
        wrong += [
            Wrong((*path, name), Kind.UNKNOWN, written[name]) for name in written if name not in self.keys
        ]
        if len(wrong) > before:
            return None
        try:
            return self.build(**values)
        except ValueError as error:
            wrong.append(Wrong(path, Kind.RULE, written, str(error)))
            return None

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        properties = {name: _with_default(key, definitions) for name, key in self.keys.items()}
        definitions[self.name] = {
            "type": "object",
            "properties": properties,
            "required": [name for name, key in self.keys.items() if key.required],
            "additionalProperties": False,
        }
        return {"$ref": f"#/$defs/{self.name}"}


def _with_default(key: Key, definitions: Definitions) -> dict[str, Any]:
    schema = key.shape.schema(definitions)
    if key.required or key.default is None or not isinstance(key.shape, Leaf):
        return schema
    return {**schema, "default": key.shape.form.write(key.default)}
