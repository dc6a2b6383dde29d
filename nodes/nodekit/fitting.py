"""Does a value surely fit a schema? Python's source, written for that schema and run as one function.

Nearly all events fit, and nearly all contracts are plain: objects, lists, texts and numbers with bounds. To
find that out this way takes a fifth of the time that functions take which call each other. Whatever does not
surely fit is left to `judging`, which knows why; so are parts that are not plain.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .judging import LARGEST, Check

MOST_STEPS = 200_000
"""For one value: some milliseconds. What could take longer is judged where the work is counted."""
LONG_LIST, SHORT_LIST = 2000, 16
"""Items, of one step each and of many: longer lists are left to `judging`."""
DEEPEST = 60
"""Python's source may be indented a hundred times."""
NOTES = frozenset(
    "$schema $id $comment $defs title description default examples deprecated readOnly writeOnly format "
    "contentMediaType contentEncoding".split()
)
WORDS = {
    "object": frozenset(("properties", "required", "additionalProperties")),
    "array": frozenset(("items", "minItems", "maxItems")),
    "string": frozenset(("minLength", "maxLength")),
    "integer": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    "number": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}
LIMITS = {"minimum": "<", "maximum": ">", "exclusiveMinimum": "<=", "exclusiveMaximum": ">="}
"""What a number is not to be, compared with the limit."""
Fits = Callable[[object], bool]


def fits(schema: object, checks: Mapping[int, Check]) -> Fits | None:
    """Of a schema that was read without complaint. `checks`: the judge of each part of it, by `id`.

    False means that it is not known yet. None when there would be nothing to gain.
    """
    source = Source(checks)
    if not isinstance(schema, dict) or kind_of(schema) is None:
        return None
    if source.value(schema, "x", 2) > MOST_STEPS:
        return None
    return source.run()


def kind_of(schema: Mapping[str, Any]) -> str | None:
    """Its type, when nothing is said of it but what is written out here. "enum" for a choice of texts."""
    kinds = schema.get("type", "string" if "enum" in schema else None)
    if isinstance(kinds, list) and len(kinds) == 2 and "null" in kinds:
        kinds = next((kind for kind in kinds if kind != "null"), None)
    if not isinstance(kinds, str):
        return None
    said = schema.keys() - NOTES - {"type"}
    if said == {"enum"} and kinds == "string" and all(isinstance(each, str) for each in schema["enum"]):
        return "enum" if schema.get("type", "string") == "string" else None
    more = schema.get("additionalProperties", True)
    return kinds if said <= WORDS[kinds] and isinstance(more, bool) else None


class Source:
    """Nothing of the schema stands in the source itself: names and limits are constants beside it."""

    def __init__(self, checks: Mapping[int, Check]) -> None:
        self.checks = checks
        self.lines = ["def fits(x):", " try:"]
        self.constants: dict[str, Any] = {"LARGEST": LARGEST, "__builtins__": {}}
        for known in (bool, dict, float, int, len, list, str, type, KeyError):
            self.constants[known.__name__] = known
        self.names = 0

    def run(self) -> Fits:
        text = "\n".join((*self.lines, "  return True", " except KeyError:", "  return False"))
        exec(compile(text, "<schema>", "exec"), self.constants)
        made: Fits = self.constants["fits"]
        return made

    def constant(self, value: object) -> str:
        self.names += 1
        self.constants[f"k{self.names}"] = value
        return f"k{self.names}"

    def add(self, depth: int, line: str) -> None:
        self.lines.append(" " * depth + line)

    def refuse(self, depth: int, *wrong: str) -> None:
        self.add(depth, f"if {' or '.join(wrong)}: return False")

    def value(self, schema: object, x: str, depth: int) -> int:
        """Writes what is to be asked of the value in the variable `x`. Returns how many steps that takes."""
        if schema is True or schema == {}:
            return 1
        kind = kind_of(schema) if isinstance(schema, dict) and depth < DEEPEST else None
        if kind is None or not isinstance(schema, dict):
            check = self.checks.get(id(schema))
            self.refuse(depth, f"{self.constant(check)}({x})" if check else "True")
            return 1
        if isinstance(schema.get("type"), list):
            self.add(depth, f"if {x} is not None:")
            depth += 1
        if kind == "object":
            return self.members(schema, x, depth)
        if kind == "array":
            return self.items(schema, x, depth)
        self.refuse(depth, *self.wrong(kind, schema, x))
        return 1

    def wrong(self, kind: str, schema: Mapping[str, Any], x: str) -> Sequence[str]:
        match kind:
            case "integer":
                return f"type({x}) is not int", *self.limits(schema, x)
            case "number":
                odd = f"(type({x}) is not float or not -LARGEST <= {x} <= LARGEST)"
                return f"type({x}) is not int and {odd}", *self.limits(schema, x)
            case "string":
                return f"type({x}) is not str", *self.length(schema, x, "minLength", "maxLength")
            case "enum":
                return f"type({x}) is not str", f"{x} not in {self.constant(frozenset(schema['enum']))}"
        return (f"{x} is not None",) if kind == "null" else (f"type({x}) is not bool",)

    def limits(self, schema: Mapping[str, Any], x: str) -> list[str]:
        return [
            f"{x} {wrong} {self.constant(schema[word])}" for word, wrong in LIMITS.items() if word in schema
        ]

    def length(self, schema: Mapping[str, Any], x: str, least: str, most: str) -> Sequence[str]:
        wrong = [f"len({x}) < {self.constant(schema[least])}"] if schema.get(least) else []
        return wrong + ([f"len({x}) > {self.constant(schema[most])}"] if most in schema else [])

    def items(self, schema: Mapping[str, Any], x: str, depth: int) -> int:
        self.refuse(depth, f"type({x}) is not list", *self.length(schema, x, "minItems", "maxItems"))
        place = len(self.lines)
        item = f"{x}i"
        self.add(depth, f"for {item} in {x}:")
        each = self.value(schema.get("items", True), item, depth + 1)
        if len(self.lines) == place + 1:
            self.lines.pop()
            return 1
        most = max(SHORT_LIST, LONG_LIST // each)
        self.lines.insert(place, " " * depth + f"if len({x}) > {most}: return False")
        return most * each

    def members(self, schema: Mapping[str, Any], x: str, depth: int) -> int:
        known, required = schema.get("properties", {}), dict.fromkeys(schema.get("required", ()))
        closed = schema.get("additionalProperties", True)
        self.refuse(depth, f"type({x}) is not dict")
        seen, steps = f"{x}n", 1
        if closed is False:
            self.add(depth, f"{seen} = {sum(name in known for name in required)}")
        for number, name in enumerate((*required, *(name for name in known if name not in required))):
            value, key, here = f"{x}_{number}", self.constant(name), depth
            if name not in required:
                self.add(depth, f"if {key} in {x}:")
                here += 1
                if closed is False:
                    self.add(here, f"{seen} += 1")
            self.add(here, f"{value} = {x}[{key}]")
            steps += 1 + self.value(known.get(name, True), value, here)
        if closed is False:
            self.refuse(depth, f"len({x}) != {seen}")
        return steps
