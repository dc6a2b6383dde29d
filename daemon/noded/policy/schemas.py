"""What does a JSON Schema say of one value, as far as contracts are compared here?

Schemas come with releases and are untrusted: the work of one comparison is counted and ends at a limit.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from noded.policy.joining import Conjunct, Way, frozen, joined

NOTES = frozenset(
    "$schema $id $comment $defs title description default examples deprecated readOnly writeOnly format "
    "contentMediaType contentEncoding".split()
)
"""Words that say nothing of what is valid."""
JUDGED = frozenset(
    "type enum const properties required additionalProperties items prefixItems minimum maximum "
    "exclusiveMinimum exclusiveMaximum minLength maxLength minItems maxItems pattern".split()
)
ALIKE = frozenset(
    "pattern uniqueItems minProperties maxProperties oneOf not multipleOf propertyNames dependentRequired "
    "dependentSchemas contains minContains maxContains if then else".split()
)
"""Words that hold when the other side says them in the same way, and of which no more is known."""
LEADING = ("$ref", "$dynamicRef", "$recursiveRef")
JOINED = ("$ref", "allOf", "anyOf")
DEFINED = ("$defs", "definitions")
OF_NAMES = ("properties", *DEFINED, "patternProperties", "dependentSchemas")
OF_ONE = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
OF_MANY = ("anyOf", "allOf", "oneOf", "prefixItems")
NEWER = ("prefixItems", "dependentRequired", "dependentSchemas", "minContains", "maxContains")
NEW = "https://json-schema.org/draft/2020-12/schema"
DRAFTS: Mapping[str, tuple[str, ...]] = {
    "json-schema.org/draft/2020-12/schema": (),
    "json-schema.org/draft/2019-09/schema": ("prefixItems",),
    "json-schema.org/draft-07/schema": ("$ref", *NEWER),
    "json-schema.org/draft-06/schema": ("$ref", "if", *NEWER),
}
"""What `$schema` may say, and which of the words known here mean something else there: before 2019 nothing
counts that stands beside $ref."""
WHERE = ("$schema", "$id")
KINDS = ("null", "boolean", "number", "string", "array", "object")
MOST_WAYS = 64
DEEPEST = 60
LONGEST_CHAIN = 20
"""Schemas about the same value that lead to each other by $ref, allOf and anyOf."""

MOST_SHOWN = 40
TOO_LARGE = "the contracts are too large to be compared to the end"


class Unclear(Exception):
    """Where and why the comparison ends without an answer."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


@dataclass(slots=True)
class Meter:
    """Steps that are left for all comparisons of one release, during which nothing else is decided; one costs
    about ten microseconds."""

    left: int = 10_000

    def spend(self, steps: int, path: str) -> None:
        self.left -= steps
        if self.left < 0:
            raise Unclear(path, TOO_LARGE)


def read(text: str) -> Any:
    """Raises ValueError for what is no JSON Schema."""
    try:
        schema = json.loads(text, parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(schema, dict | bool):
        raise ValueError("it is no JSON object")
    return schema


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def plain(schema: Any) -> Any:
    """Without the words that say nothing of what is valid; `$defs` and what changes how it is read stay."""
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for word, value in schema.items():
        if word in OF_NAMES and isinstance(value, dict):
            kept[word] = {name: plain(inside) for name, inside in value.items()}
        elif word in OF_ONE:
            kept[word] = plain(value)
        elif word in OF_MANY and isinstance(value, list):
            kept[word] = [plain(inside) for inside in value]
        elif word not in NOTES or word in WHERE:
            kept[word] = value
    return kept


def kinds(part: Conjunct, path: str) -> tuple[str, ...]:
    """Types a value may have; `integer` only where `number` is not allowed too."""
    given = part.get("type", list(KINDS))
    named = [given] if isinstance(given, str) else given
    if not isinstance(named, list) or not all(name in (*KINDS, "integer") for name in map(str, named)):
        raise Unclear(f"{path}.type", "it names no type of JSON")
    return tuple(dict.fromkeys(name for name in named if name != "integer" or "number" not in named))


def values(part: Conjunct, path: str) -> list[Any] | None:
    """The only values there may be; None when they are not listed."""
    if "enum" not in part and "const" not in part:
        return None
    listed = part.get("enum", [part.get("const")])
    if not isinstance(listed, list):
        raise Unclear(f"{path}.enum", "it is no list")
    if "enum" in part and "const" in part:
        only = frozen(part["const"])
        return [value for value in listed if frozen(value) == only]
    return listed


def schemas(part: Conjunct, word: str, path: str) -> Mapping[str, Any]:
    found = part.get(word, {})
    if not isinstance(found, dict):
        raise Unclear(f"{path}.{word}", "it is no object")
    return found


def required(part: Conjunct, path: str) -> tuple[str, ...]:
    found = part.get("required", [])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise Unclear(f"{path}.required", "it is no list of names")
    return tuple(dict.fromkeys(found))


def limit(part: Conjunct, word: str, path: str) -> float | None:
    """Of a number, a length or a count."""
    if word not in part:
        return None
    found = part[word]
    if isinstance(found, bool) or not isinstance(found, int | float) or found - found != 0:
        raise Unclear(f"{path}.{word}", "it is no number")
    return found


def shown(value: Any) -> str:
    match value:
        case None | bool():
            return str(value).lower().replace("none", "null")
        case str():
            return f'"{value}"' if len(value) <= MOST_SHOWN else f'"{value[:MOST_SHOWN]}..."'
        case int() if abs(value) >= 10**MOST_SHOWN:
            return "a very long integer"
        case list():
            return f"an array of {len(value)}"
        case dict():
            return "an object"
    return str(value)


def step(path: str, name: str) -> str:
    shown = name if len(name) <= 60 else f"{name[:57]}..."
    return f"{path}.{shown}" if name.isidentifier() else f"{path}[{json.dumps(shown)}]"


@dataclass(slots=True)
class Side:
    """One of the two schemas, with what its references lead to."""

    root: Any
    meter: Meter
    _known: dict[int, tuple[Any, list[Way]]] = field(default_factory=dict)
    sends: bool = False
    """It is enough to know what may be sent at most."""
    other: tuple[str, ...] = ()
    """Words that mean something else in its draft."""

    def __post_init__(self) -> None:
        """Raises Unclear for a draft that is not known."""
        draft = self.root.get("$schema", NEW) if isinstance(self.root, dict) else NEW
        known = DRAFTS.get(str(draft).partition("://")[2].rstrip("#"))
        if known is None:
            raise Unclear("$.$schema", f"{shown(draft)} is no draft that is compared here")
        self.other = known

    def ways(self, schema: Any, path: str) -> list[Way]:
        """A value is valid when it fits one of them. References are followed, parts joined where possible."""
        known = self._known.get(id(schema))
        if known is None:
            # The schema is kept beside what was made of it: its id stays its own.
            known = self._known[id(schema)] = schema, self._ways(schema, path, 0)
        return known[1]

    def _ways(self, schema: Any, path: str, chain: int) -> list[Way]:
        self.meter.spend(1, path)
        if isinstance(schema, bool):
            return [({},)] if schema else []
        if not isinstance(schema, dict):
            raise Unclear(path, "it is no schema")
        if "$id" in schema and schema is not self.root:
            raise Unclear(f"{path}.$id", "parts with an $id of their own are not followed")
        if chain > LONGEST_CHAIN:
            raise Unclear(path, "its references lead back to where they began")
        if "$ref" in schema and "$ref" in self.other:
            return self._ways(self._target(schema["$ref"], path), path, chain + 1)
        for word in self.other:
            if word in schema:
                raise Unclear(f"{path}.{word}", "it means something else in the draft that $schema names")
        one_of, says_all = self._one_of(schema, path, chain) if "oneOf" in schema else (None, False)
        passed = (*NOTES, *JOINED, *DEFINED, "oneOf" if says_all else "")
        own = {word: value for word, value in schema.items() if word not in passed}
        found: list[Way] = [(own,)]
        joined = [self._target(schema["$ref"], path)] if "$ref" in schema else []
        for inside in [*joined, *listed(schema, "allOf", path)]:
            found = self._both(found, self._ways(inside, path, chain + 1), path)
        if "anyOf" in schema:
            choice = [
                way for one in listed(schema, "anyOf", path) for way in self._ways(one, path, chain + 1)
            ]
            found = self._both(found, choice, path)
        return found if one_of is None else self._both(found, one_of, path)

    def _one_of(self, schema: Mapping[str, Any], path: str, chain: int) -> tuple[list[Way] | None, bool]:
        """As the ways of anyOf, and whether that says all: no value fits two of them. It is also enough of
        what may be sent at most; None where neither holds."""
        try:
            each = [self._ways(one, path, chain + 1) for one in listed(schema, "oneOf", path)]
            ways = [way for found in each for way in found]
            exact = len(ways) <= MOST_WAYS and self._apart(each, path)
        except Unclear:
            return None, False
        return (ways, exact) if exact or (self.sends and len(ways) <= MOST_WAYS) else (None, False)

    def _apart(self, each: list[list[Way]], path: str) -> bool:
        pairs = [(a, b) for n, one in enumerate(each) for other in each[:n] for a in one for b in other]
        self.meter.spend(len(pairs), path)
        return all(any(_parts_apart(p, q, path) for p in a for q in b) for a, b in pairs)

    def _both(self, one: list[Way], other: list[Way], path: str) -> list[Way]:
        if len(one) * len(other) > MOST_WAYS:
            raise Unclear(path, f"it has more than {MOST_WAYS} ways to be valid")
        found = [joined(first, second) for first in one for second in other]
        self.meter.spend(sum(1 + _size(part) // 16 for way in found for part in way), path)
        return found

    def _target(self, name: object, path: str) -> Any:
        if name == "#":
            return self.root
        for place in DEFINED:
            defined = self.root.get(place, {}) if isinstance(self.root, dict) else {}
            if isinstance(name, str) and name.startswith(f"#/{place}/") and isinstance(defined, dict):
                key = name.removeprefix(f"#/{place}/").replace("~1", "/").replace("~0", "~")
                if key in defined:
                    return defined[key]
        raise Unclear(f"{path}.$ref", "only # and #/$defs/NAME of the same schema are followed")


def listed(schema: Mapping[str, Any], word: str, path: str) -> list[Any]:
    found = schema.get(word, [])
    if not isinstance(found, list):
        raise Unclear(f"{path}.{word}", "it is no list of schemas")
    return found


def _size(part: Conjunct) -> int:
    return sum(len(value) for value in part.values() if isinstance(value, list | dict))


def _parts_apart(one: Conjunct, other: Conjunct, path: str) -> bool:
    """Whether no value fits both, by type, by the values listed, or by a property that tells."""
    types = [{name.replace("integer", "number") for name in kinds(part, path)} for part in (one, other)]
    shared = types[0] & types[1]
    if not shared or _lists_apart(one, other, path):
        return True
    if shared != {"object"}:
        return False
    first, second = (schemas(part, "properties", path) for part in (one, other))
    asked = {*required(one, path)} & {*required(other, path)} & {*first} & {*second}
    told = [(first[name], second[name]) for name in asked]
    return any(isinstance(a, dict) and isinstance(b, dict) and _lists_apart(a, b, path) for a, b in told)


def _lists_apart(one: Conjunct, other: Conjunct, path: str) -> bool:
    first, second = values(one, path), values(other, path)
    if first is None or second is None:
        return False
    return not {*map(frozen, first)} & {*map(frozen, second)}
