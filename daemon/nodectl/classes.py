"""Which Python classes say the same as the contracts of events?

Frozen dataclasses that need nothing but Python. What a contract says beyond types is left to the judge of
contracts; a part that classes cannot say is Any, as it came. Names in schemas become identifiers or stand in
quotes: nothing that a schema says is run.
"""

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
TAKEN = frozenset({"Any", "ClassVar", "Literal", "Mapping", "None", "True", "False"})
# A field of one of these names would hide what its class is written with.
OWN = TAKEN | frozenset("TYPE from_dict to_dict str int float bool tuple dict list classmethod".split())
DEEPEST = 60
EMPTY = "        data: dict[str, Any] = {}"


@dataclass(frozen=True, slots=True)
class Contract:
    type: str
    schema: object
    """None when there is none."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A type as Python writes it, and how a value comes from JSON and goes there.

    {} stands for the value; "" means that there is nothing to do.
    """

    annotation: str
    read: str = ""
    write: str = ""
    nullable: bool = False


ANY = Shape("Any")


@dataclass(slots=True)
class Class:
    name: str
    type: str = ""
    fields: list["Field"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    key: str
    shape: Shape
    required: bool


def source(contracts: Sequence[Contract], title: str) -> str:
    """The same text for the same contracts, whatever their order."""
    contracts = sorted(contracts, key=lambda contract: contract.type)
    names = class_names([contract.type for contract in contracts])
    taken, classes, notes = set(TAKEN) | set(names.values()), list[Class](), list[str]()
    for contract in contracts:
        if is_object(contract.schema):
            classes += Reading(contract, names[contract.type], taken).classes
        else:
            what = "has no contract" if contract.schema is None else "is no object with properties"
            notes.append(f"# {quoted(contract.type)} {what}: there is no class for it.")
    body = "\n\n\n".join(written(one) for one in classes)
    used = [name for name in ("Any", "ClassVar", "Literal") if re.search(rf"\b{name}\b", body)]
    head = [
        f'"""{title}\n\nWritten by `nodectl contracts generate`: change the contracts, not this file.\n"""\n',
        "from __future__ import annotations\n",
    ]
    if classes:
        head.append("from collections.abc import Mapping\nfrom dataclasses import dataclass")
        head.append(f"from typing import {', '.join(used)}\n")
    if notes:
        head.append("\n".join(notes) + "\n")
    return "\n".join(head) + (f"\n\n{body}\n" if body else "")


# Names


def camel(text: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if name[:1].isalpha() else f"E{name}"


def class_names(types: Sequence[str]) -> dict[str, str]:
    """The last two words of a type; more where two types would be called the same."""
    names: dict[str, str] = {}
    taken = set(TAKEN)
    for type in types:
        count = 2
        while (
            count < len(type.split(".")) and sum(end(other, count) == end(type, count) for other in types) > 1
        ):
            count += 1
        names[type] = fresh(end(type, count), taken)
    return names


def end(type: str, count: int) -> str:
    return camel(".".join(type.split(".")[-count:]))


def fresh(name: str, taken: set[str]) -> str:
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}{count}"
    taken.add(found)
    return found


def attribute(key: str, taken: set[str]) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", key).lstrip("_") or "value"
    if not name[0].isalpha():
        name = f"n{name}"
    if keyword.iskeyword(name) or name in OWN:
        name += "_"
    return fresh(name, taken)


# From a schema to classes


def is_object(schema: object) -> bool:
    return isinstance(schema, dict) and schema.get("type", "object") == "object" and "properties" in schema


class Reading:
    """Of one contract. Classes stand before those that use them, but for circles."""

    def __init__(self, contract: Contract, name: str, taken: set[str]) -> None:
        self.root, self.taken, self.event = contract.schema, taken, name
        self.classes: list[Class] = []
        self.named: dict[str, Shape] = {}
        self.depth = 0
        whole = Class(name, contract.type)
        self.named["#"] = class_shape(name)
        assert isinstance(self.root, dict)
        self.fill(whole, self.root)

    def fill(self, made: Class, schema: Mapping[str, Any]) -> None:
        known, required = schema.get("properties"), schema.get("required")
        known = known if isinstance(known, dict) else {}
        needed = [key for key in required if isinstance(key, str)] if isinstance(required, list) else []
        taken: set[str] = set()
        for key in dict.fromkeys((*known, *needed)):
            shape = self.shape(known.get(key, True), made.name + camel(str(key)))
            made.fields.append(Field(attribute(str(key), taken), str(key), shape, key in needed))
        made.fields.sort(key=lambda one: not one.required)
        self.classes.append(made)

    def shape(self, schema: object, name: str) -> Shape:
        self.depth += 1
        try:
            return self.kind(schema, name) if isinstance(schema, dict) and self.depth <= DEEPEST else ANY
        finally:
            self.depth -= 1

    def kind(self, schema: Mapping[str, Any], name: str) -> Shape:
        for word in ("const", "enum"):
            if word in schema:
                return literal([schema[word]] if word == "const" else schema[word])
        if "$ref" in schema:
            return self.reference(schema["$ref"])
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                return union([self.shape(way, name) for way in schema[word]])
        if isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1:
            return self.shape(schema["allOf"][0], name)
        given = schema.get("type", "object" if "properties" in schema else "")
        if isinstance(given, list):
            return union([self.of_type(one, schema, name) for one in given])
        return self.of_type(given, schema, name)

    def of_type(self, type: object, schema: Mapping[str, Any], name: str) -> Shape:
        if type == "array" and "prefixItems" not in schema:
            return sequence(self.shape(schema.get("items", True), name.removesuffix("s")), self.depth)
        if type == "object" and "properties" in schema:
            made = Class(fresh(name, self.taken))
            self.fill(made, schema)
            return class_shape(made.name)
        if type == "object":
            return mapping(self.shape(schema.get("additionalProperties", True), name), self.depth)
        return Shape(PLAIN[type], nullable=type == "null") if isinstance(type, str) and type in PLAIN else ANY

    def reference(self, name: object) -> Shape:
        if not isinstance(name, str) or not isinstance(self.root, dict):
            return ANY
        if name not in self.named:
            defined, key = self.root.get("$defs", {}), name.removeprefix("#/$defs/")
            schema = (
                defined.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(defined, dict) else None
            )
            if schema is None or key == name:
                return ANY
            # Whoever refers to it meanwhile is within it: only a class can be within itself.
            called = fresh(self.event + camel(key), self.taken) if is_object(schema) else ""
            self.named[name] = class_shape(called) if called else ANY
            if called:
                self.fill(Class(called), schema)
            else:
                self.named[name] = self.shape(schema, self.event + camel(key))
        return self.named[name]


def class_shape(name: str) -> Shape:
    return Shape(name, f"{name}.from_dict({{}})", "{}.to_dict()")


def literal(values: object) -> Shape:
    if (
        not isinstance(values, list)
        or not values
        or not all(isinstance(one, str | int | None) for one in values)
    ):
        return ANY
    return Shape(f"Literal[{', '.join(dict.fromkeys(map(quoted, values)))}]", nullable=None in values)


def union(ways: Sequence[Shape]) -> Shape:
    """None and one other, or several that come as they are."""
    null = any(way.nullable for way in ways)
    others = list(dict.fromkeys(way for way in ways if way.annotation != "None"))
    if not others:
        return Shape("None", nullable=True)
    if any(way.annotation == "Any" for way in others) or (
        len(others) > 1 and any(way.read for way in others)
    ):
        return ANY
    names = dict.fromkeys(part for way in others for part in (way.annotation,))
    annotation = " | ".join([*names, "None"] if null and len(others) != len(ways) else names)
    read, write = others[0].read, others[0].write
    if null and read:
        read, write = f"None if {{}} is None else {read}", f"None if {{}} is None else {write}"
    return Shape(annotation, read, write, null)


def sequence(item: Shape, depth: int) -> Shape:
    one = f"item{depth}"
    read = f"tuple({put(item.read, one)} for {one} in {{}})" if item.read else "tuple({})"
    write = f"[{put(item.write, one)} for {one} in {{}}]" if item.write else "list({})"
    return Shape(f"tuple[{item.annotation}, ...]", read, write)


def mapping(item: Shape, depth: int) -> Shape:
    one = f"item{depth}"
    if not item.read:
        return Shape(f"dict[str, {item.annotation}]")
    read = "{" + f"key: {put(item.read, one)} for key, {one} in {{}}.items()" + "}"
    write = "{" + f"key: {put(item.write, one)} for key, {one} in {{}}.items()" + "}"
    return Shape(f"dict[str, {item.annotation}]", read, write)


def put(template: str, value: str) -> str:
    """Not str.format: a template may hold the braces of a dict."""
    return template.replace("{}", value) if template else value


# From classes to text


def written(one: Class) -> str:
    lines = ["@dataclass(frozen=True, slots=True)", f"class {one.name}:"]
    if one.type:
        lines += [f"    TYPE: ClassVar[str] = {quoted(one.type)}", ""]
    for each in one.fields:
        annotation = each.shape.annotation
        if each.required:
            lines.append(f"    {each.name}: {annotation}")
        else:
            may = annotation if each.shape.nullable or annotation == "Any" else f"{annotation} | None"
            lines.append(f"    {each.name}: {may} = None")
    lines += ["", "    @classmethod", f"    def from_dict(cls, data: Mapping[str, Any]) -> {one.name}:"]
    lines += ["        return cls(", *(f"            {reading(each)}," for each in one.fields), "        )"]
    lines += ["", "    def to_dict(self) -> dict[str, Any]:"]
    entries = [f"            {quoted(each.key)}: {writing(each)}," for each in one.fields if each.required]
    lines += ["        data: dict[str, Any] = {", *entries, "        }"] if entries else [EMPTY]
    for each in one.fields:
        if not each.required:
            lines.append(f"        if self.{each.name} is not None:")
            lines.append(f"            data[{quoted(each.key)}] = {writing(each)}")
    lines.append("        return data")
    return "\n".join(lines)


def quoted(value: object) -> str:
    """As a formatter would have it."""
    plain = isinstance(value, str) and value.isascii() and value.isprintable() and not {*'"\\'} & {*value}
    return f'"{value}"' if plain else repr(value)


def reading(one: Field) -> str:
    key = quoted(one.key)
    if one.required:
        return put(one.shape.read, f"data[{key}]")
    if not one.shape.read:
        return f"data.get({key})"
    read = one.shape.read.removeprefix("None if {} is None else ")
    return f"None if data.get({key}) is None else {put(read, f'data[{key}]')}"


def writing(one: Field) -> str:
    template = one.shape.write
    if not one.required:
        template = template.removeprefix("None if {} is None else ")
    return put(template, f"self.{one.name}")
