"""Does a value fit a JSON Schema, and if not, what is wrong where?

A stated part of draft 2020-12 (KEYWORDS); a schema with anything else is refused whole, never half judged.
Neither a schema nor a value can make a judgement long: patterns match without backtracking, and the work has
a limit.
"""

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from . import judging
from .fitting import NOTES, fits
from .judging import Check, anything, nothing
from .pattern import Meter, Pattern, PatternRefused, TooMuch
from .payload import is_json

# About two seconds on a slow machine; an event of common size and schema needs a few dozen.
MOST_WORK = 10_000_000
MOST_PARTS = 5000
MOST_WEIGHT = 20_000
DEEPEST = 60
DRAFTS = ("https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft/2020-12/schema")
TYPES = {
    "string": (str,),
    "number": (int, float),
    "integer": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}
ARTICLES = {name: f"{'an' if name[0] in 'aio' else 'a'} {name}" for name in TYPES} | {"null": "null"}
OWN = {
    "string": ("minLength", "maxLength", "pattern"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
}
ANY = ("type", "enum", "const", "$ref", "allOf", "anyOf", "oneOf", "not")
KEYWORDS = frozenset(ANY).union(NOTES, *OWN.values())


class NotJson(ValueError):
    """Data that no JSON Schema can judge; the text says why."""


class SchemaRefused(ValueError):
    """The text names the place in the schema, what was found and what is possible."""


def json_of(data: bytes, content: str = "") -> Any:
    """What every language reads in it: RFC 8259, of which Python's reader takes more. Raises NotJson."""
    if not is_json(content):
        raise NotJson(f"expected JSON, as its contract is a JSON Schema; its content is {content}")
    try:
        return _strict.decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise NotJson(f"expected JSON: {error}") from None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON")


_strict = json.JSONDecoder(parse_constant=_refuse)


def judge(schema: object) -> Callable[[object], str]:
    """Compiles once; the result returns "" or a text such as `$.price: expected a number, found "abc"`.

    Raises SchemaRefused.
    """
    reader = Reader(schema)
    try:
        check = reader.whole()
    except RecursionError:
        raise SchemaRefused("$: expected a schema that is less deep") from None
    meter = reader.meter
    quick = fits(schema, reader.checks) or nowhere

    def judged(value: object) -> str:
        meter.left = MOST_WORK
        try:
            if quick(value):
                return ""
            found = check(value)
        except TooMuch:
            return "$: expected a value that can be judged in a second or two, found one that takes longer"
        except RecursionError:
            return "$: expected a value that is less deep"
        return f"${found}" if found else ""

    return judged


def nowhere(value: object) -> bool:
    """Of no value it is known at once that it fits."""
    return False


@dataclass(frozen=True, slots=True)
class Part:
    check: Check
    weight: int
    """How many checks one value may cause here, but for what its length adds."""


class Reader:
    def __init__(self, root: object) -> None:
        self.root = root
        self.meter = Meter(MOST_WORK)
        self.known: dict[str, Part | None] = {}
        self.leads: dict[str, list[str]] = {}
        self.checks: dict[int, Check] = {}
        """Of every part, by the `id` of its schema."""
        self.parts = 0

    def whole(self) -> Check:
        part = self.reference("#", "$", "", 0)
        defined = self.root.get("$defs", {}) if isinstance(self.root, dict) else {}
        for name in defined:
            self.reference(f"#/$defs/{name.replace('~', '~0').replace('/', '~1')}", "$", "", 0)
        self.find_circles()
        return part.check

    def refuse(self, path: str, text: str) -> NoReturn:
        raise SchemaRefused(f"{path}: {text}")

    def read(self, schema: object, path: str, here: str, depth: int) -> Part:
        """`here` is the definition that is still about the same value; "" when there is none."""
        self.parts += 1
        if self.parts > MOST_PARTS or depth > DEEPEST:
            self.refuse(path, f"expected at most {MOST_PARTS} parts, at most {DEEPEST} within each other")
        if isinstance(schema, bool):
            return Part(anything if schema else nothing, 1)
        if not isinstance(schema, dict):
            self.refuse(path, f"expected an object, true or false, found {judging.shown(schema)}")
        self.check_keywords(schema, path)
        parts = self.kinds(schema, path, depth)
        if "enum" in schema or "const" in schema:
            parts = self.values(schema, path, parts)
        parts += self.ways(schema, path, here, depth)
        weight = 1 + sum(part.weight for part in parts)
        if weight > MOST_WEIGHT:
            self.refuse(path, f"expected less than {MOST_WEIGHT} checks for one value; references add up")
        checks = [part.check for part in parts]
        check = anything if not checks else checks[0] if len(checks) == 1 else judging.every(checks)
        self.checks[id(schema)] = check
        return Part(check, weight)

    def check_keywords(self, schema: Mapping[Any, Any], path: str) -> None:
        for word in schema:
            if word not in KEYWORDS:
                near = difflib.get_close_matches(str(word), KEYWORDS, n=1)
                meant = f"; did you mean {near[0]}?" if near else ""
                self.refuse(path + judging.step(str(word)), f"not among the keywords judged here{meant}")
        draft = schema.get("$schema", DRAFTS[0])
        if not isinstance(draft, str) or draft.rstrip("#") not in DRAFTS:
            self.refuse(f"{path}.$schema", f"expected {DRAFTS[0]}, found {judging.shown(draft)}")
        if not isinstance(schema.get("$defs", {}), dict):
            self.refuse(f"{path}.$defs", "expected an object of schemas")

    # Which values of which type

    def kinds(self, schema: Mapping[str, Any], path: str, depth: int) -> list[Part]:
        given = schema.get("type", list(TYPES))
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list) or not names or any(name not in TYPES for name in map(str, names)):
            self.refuse(f"{path}.type", f"expected one or more of {', '.join(TYPES)}")
        said = {kind for kind, words in OWN.items() if any(word in schema for word in words)}
        if "type" not in schema and not said:
            return []
        table: dict[type, Check] = {}
        weight = 1
        checks: list[Check] = []
        # "integer" first: a number that "number" allows as well is then allowed.
        for name in sorted(names, key=lambda name: name != "integer"):
            part = self.kind(name, schema, path, depth)
            weight = max(weight, part.weight)
            checks.append(part.check)
            table.update(dict.fromkeys(TYPES[name], part.check))
        if len(checks) == 1:
            return [Part(checks[0], weight)]
        expected = " or ".join(ARTICLES[name] for name in names)
        return [Part(judging.one_of_kinds(table, expected), weight)]

    def kind(self, name: str, schema: Mapping[str, Any], path: str, depth: int) -> Part:
        match name:
            case "string":
                return Part(self.string_check(schema, path), 1)
            case "number" | "integer":
                limits = [self.limit(schema, path, word) for word in OWN["number"]]
                return Part(judging.number(name == "integer", *limits), 1)
            case "array":
                return self.array_part(schema, path, depth)
            case "object":
                return self.object_part(schema, path, depth)
        return Part(judging.exactly(TYPES[name][0], ARTICLES[name]), 1)

    def string_check(self, schema: Mapping[str, Any], path: str) -> Check:
        least, most = self.count(schema, path, "minLength"), self.count(schema, path, "maxLength")
        source = schema.get("pattern")
        if source is None and "pattern" not in schema:
            return judging.string(least, most, None, "")
        if not isinstance(source, str):
            self.refuse(f"{path}.pattern", f"expected a string, found {judging.shown(source)}")
        try:
            return judging.string(least, most, Pattern(source, self.meter), source[:100])
        except PatternRefused as refused:
            self.refuse(f"{path}.pattern", str(refused))

    def limit(self, schema: Mapping[str, Any], path: str, word: str) -> float | None:
        value = schema.get(word)
        if word not in schema:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:
            self.refuse(f"{path}.{word}", f"expected a number, found {judging.shown(value)}")
        return value

    def count(self, schema: Mapping[str, Any], path: str, word: str) -> int | None:
        value = schema.get(word)
        if word not in schema:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self.refuse(f"{path}.{word}", f"expected an integer of at least 0, found {judging.shown(value)}")
        return value

    def array_part(self, schema: Mapping[str, Any], path: str, depth: int) -> Part:
        first = self.list_of(schema, path, "prefixItems", "", depth) if "prefixItems" in schema else []
        rest = self.read(schema.get("items", True), f"{path}.items", "", depth + 1)
        least, most = self.count(schema, path, "minItems") or 0, self.count(schema, path, "maxItems")
        unique = schema.get("uniqueItems", False)
        if not isinstance(unique, bool):
            self.refuse(f"{path}.uniqueItems", f"expected true or false, found {judging.shown(unique)}")
        check = judging.array([part.check for part in first], rest.check, least, most, unique)
        weight = 1 + rest.weight + sum(part.weight for part in first)
        return self.long(Part(check, weight), rest.check is not anything or unique, rest.weight + unique)

    def long(self, part: Part, grows: bool, each: int) -> Part:
        return (
            Part(judging.metered(part.check, self.meter, each), part.weight) if grows and each > 1 else part
        )

    def object_part(self, schema: Mapping[str, Any], path: str, depth: int) -> Part:
        given = schema.get("properties", {})
        if not isinstance(given, dict):
            self.refuse(f"{path}.properties", f"expected an object of schemas, found {judging.shown(given)}")
        known = {
            str(name): self.read(inside, f"{path}.properties{judging.step(str(name))}", "", depth + 1)
            for name, inside in given.items()
        }
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            self.refuse(f"{path}.required", "expected a list of names")
        place = f"{path}.additionalProperties"
        more = self.read(schema.get("additionalProperties", True), place, "", depth + 1)
        checks = {name: part.check for name, part in known.items()}
        required = list(dict.fromkeys(required))
        if more.check is anything:
            check = judging.some_members(checks, required)
        else:
            check = judging.members(checks, required, more.check)
        least, most = (
            self.count(schema, path, "minProperties") or 0,
            self.count(schema, path, "maxProperties"),
        )
        if least or most is not None:
            check = judging.sized(check, least, most)
        weight = 1 + len(required) + more.weight + sum(part.weight for part in known.values())
        return self.long(Part(check, weight), True, 0 if more.check in (anything, nothing) else more.weight)

    # Other schemas that the same value must fit

    def ways(self, schema: Mapping[str, Any], path: str, here: str, depth: int) -> list[Part]:
        parts = []
        for word, join in (("allOf", judging.every), ("anyOf", judging.any_of), ("oneOf", judging.just_one)):
            if word in schema:
                inside = self.list_of(schema, path, word, here, depth)
                weight = sum(part.weight for part in inside) * (2 if word == "oneOf" else 1)
                parts.append(Part(join([part.check for part in inside]), weight))
        if "not" in schema:
            inside_not = self.read(schema["not"], f"{path}.not", here, depth + 1)
            parts.append(Part(judging.other_than(inside_not.check), inside_not.weight))
        if "$ref" in schema:
            parts.append(self.reference(schema["$ref"], path, here, depth))
        return parts

    def list_of(self, schema: Mapping[str, Any], path: str, word: str, here: str, depth: int) -> list[Part]:
        given = schema[word]
        if not isinstance(given, list) or not given:
            self.refuse(f"{path}.{word}", f"expected a list of schemas, found {judging.shown(given)}")
        return [self.read(one, f"{path}.{word}[{place}]", here, depth + 1) for place, one in enumerate(given)]

    def reference(self, name: object, path: str, here: str, depth: int) -> Part:
        target, place = self.target(name, path)
        if here:
            self.leads.setdefault(here, []).append(place)
        if place not in self.known:
            self.known[place] = None
            self.known[place] = self.read(target, place, place, depth + 1)
        known = self.known[place]
        if known is not None:
            return known
        return Part(self.again(place), 1)

    def again(self, place: str) -> Check:
        """A schema within itself: how often is up to the value."""
        known, meter = self.known, self.meter

        def check(value: Any) -> str:
            part = known[place]
            assert part is not None
            meter.spend(part.weight)
            return part.check(value)

        return check

    def find_circles(self) -> None:
        done: set[str] = set()

        def follow(place: str, way: tuple[str, ...]) -> None:
            if place in way:
                self.refuse(place, "leads back to itself by $ref without going deeper into the value")
            if place not in done:
                for after in self.leads.get(place, ()):
                    follow(after, (*way, place))
                done.add(place)

        for place in list(self.leads):
            follow(place, ())

    def target(self, name: object, path: str) -> tuple[object, str]:
        if name == "#":
            return self.root, "$"
        defined = self.root.get("$defs", {}) if isinstance(self.root, dict) else {}
        if isinstance(name, str) and name.startswith("#/$defs/"):
            key = name.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
            if key in defined:
                return defined[key], f"$.$defs{judging.step(key)}"
        return self.refuse(
            f"{path}.$ref", f"expected # or #/$defs/NAME of this schema, found {judging.shown(name)}"
        )

    def values(self, schema: Mapping[str, Any], path: str, kinds: list[Part]) -> list[Part]:
        """A list of plain values says all: those of another type are struck out at once."""
        values = schema.get("enum", [schema.get("const")])
        if not isinstance(values, list) or not values:
            self.refuse(f"{path}.enum", f"expected a list of values, found {judging.shown(values)}")
        if "const" in schema:
            only = judging.frozen(schema["const"])
            values = [value for value in values if judging.frozen(value) == only]
        if any(isinstance(value, list | dict) for value in values):
            return [Part(judging.listed(values), 1), *kinds]
        left = [value for value in values if not any(part.check(value) for part in kinds)]
        if not left:
            self.refuse(path, "no value that is listed fits the rest")
        return [Part(judging.listed(left), 1)]
