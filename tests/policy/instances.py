"""Schemas by chance, others that are much like them, and values that they allow."""

import random
from copy import deepcopy
from typing import Any

from nodekit.schema import judge

KINDS = ("null", "boolean", "integer", "number", "string", "array", "object")
NAMES = ("a", "b", "c", "d e")
WORDS = ("", "x", "yes", "long enough", "é")
Json = Any


def schema(dice: random.Random, depth: int = 3) -> Json:
    """Within the words that are compared."""
    if dice.random() < 0.04:
        return dice.choice((True, {}, {"description": "anything"}))
    if dice.random() < 0.1:
        return {"enum": [value(dice, dice.choice(KINDS[:5])) for _ in range(dice.randint(1, 4))]}
    if depth and dice.random() < 0.12:
        return {"anyOf": [schema(dice, depth - 1) for _ in range(dice.randint(1, 3))]}
    kinds = dice.sample(KINDS[:5] if not depth else KINDS, 1 if dice.random() < 0.8 else 2)
    made: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    for kind in kinds:
        made |= _words(dice, kind, depth)
    return made


def _words(dice: random.Random, kind: str, depth: int) -> dict[str, Any]:
    match kind:
        case "integer" | "number":
            low = dice.randint(-3, 3)
            ends = {
                dice.choice(("minimum", "exclusiveMinimum")): low,
                dice.choice(("maximum", "exclusiveMaximum")): low + dice.choice((1, 2, 9)) + 0.5,
            }
            return {word: end for word, end in ends.items() if dice.random() < 0.4}
        case "string":
            low = dice.randint(0, 2)
            lengths = {"minLength": low, "maxLength": low + dice.randint(0, 5)}
            return {word: end for word, end in lengths.items() if dice.random() < 0.4}
        case "array":
            made: dict[str, Any] = {"items": schema(dice, depth - 1)} if dice.random() < 0.8 else {}
            if dice.random() < 0.3:
                made["prefixItems"] = [schema(dice, depth - 1) for _ in range(dice.randint(0, 2))]
                made["items"] = dice.choice((False, True, made.get("items", True)))
            counts = {"minItems": dice.randint(0, 2), "maxItems": dice.randint(2, 4)}
            return made | {word: end for word, end in counts.items() if dice.random() < 0.4}
        case "object":
            names = dice.sample(NAMES, dice.randint(0, 3))
            made = {"properties": {name: schema(dice, depth - 1) for name in names}}
            made["required"] = [name for name in names if dice.random() < 0.5]
            if dice.random() < 0.5:
                made["additionalProperties"] = dice.choice((False, False, True, {"type": "string"}))
            return made
    return {}


def changed(dice: random.Random, old: Json) -> Json:
    """A neighbour: one word wider or narrower, here or further in."""
    new = deepcopy(old)
    if not isinstance(new, dict) or dice.random() < 0.1:
        return schema(dice, 2)
    inner = [key for key in ("items", "additionalProperties") if isinstance(new.get(key), dict)]
    if new.get("properties") and dice.random() < 0.5:
        name = dice.choice(sorted(new["properties"]))
        new["properties"][name] = changed(dice, new["properties"][name])
        return new
    if inner and dice.random() < 0.5:
        new[inner[0]] = changed(dice, new[inner[0]])
        return new
    return _rewritten(dice, new)


def _rewritten(dice: random.Random, new: dict[str, Any]) -> Json:
    numbers = [
        word for word, end in new.items() if isinstance(end, int | float) and not isinstance(end, bool)
    ]
    match dice.randint(0, 6):
        case 0 if numbers:
            word = dice.choice(numbers)
            new[word] = (
                max(0, new[word] + dice.choice((-1, 1))) if "i" in word and "L" in word else new[word] + 1
            )
        case 1 if numbers:
            del new[dice.choice(numbers)]
        case 2 if new.get("required"):
            new["required"].pop()
        case 3 if isinstance(new.get("type"), str):
            new["type"] = {"integer": "number", "number": "integer"}.get(new["type"], [new["type"], "null"])
        case 4 if "enum" in new:
            new["enum"] = (
                [*new["enum"], dice.choice(WORDS)] if dice.random() < 0.6 else new["enum"][1:] or [1]
            )
        case 5 if "properties" in new:
            new["additionalProperties"] = dice.random() < 0.5
        case 6 if "properties" in new:
            new["properties"][dice.choice(NAMES)] = schema(dice, 0)
        case _:
            new["description"] = "told otherwise"
    return new


def value(dice: random.Random, kind: str) -> Json:
    match kind:
        case "null":
            return None
        case "boolean":
            return dice.random() < 0.5
        case "integer":
            return dice.choice((0, 1, -1, 2, 3, 7, 40, -40, 2.0, 10**20))
        case "number":
            return dice.choice((0, 0.5, -2.5, 1e9, 3, 2.5, -0.0, 10.25))
        case "string":
            return dice.choice((*WORDS, "x" * 30))
        case "array":
            return [value(dice, dice.choice(KINDS[:5])) for _ in range(dice.randint(0, 2))]
    return {name: value(dice, "string") for name in dice.sample(NAMES, dice.randint(0, 2))}


def instance(dice: random.Random, wanted: Json, root: Json) -> Json:
    """Most likely valid; who asks looks."""
    if isinstance(wanted, bool) or not wanted:
        return value(dice, dice.choice(KINDS))
    if "$ref" in wanted:
        name = wanted["$ref"]
        return instance(dice, root if name == "#" else root["$defs"][name.rpartition("/")[2]], root)
    if "const" in wanted:
        return wanted["const"]
    if "enum" in wanted:
        return dice.choice(wanted["enum"])
    if "anyOf" in wanted:
        return instance(dice, dice.choice(wanted["anyOf"]), root)
    kinds = wanted.get("type", list(KINDS))
    return _of_kind(dice, kinds if isinstance(kinds, str) else dice.choice(kinds), wanted, root)


def _of_kind(dice: random.Random, kind: str, wanted: Json, root: Json) -> Json:
    match kind:
        case "integer" | "number":
            ends = [
                wanted[w]
                for w in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
                if w in wanted
            ]
            near = [end + by for end in ends for by in (0, 0.5, -0.5, 1, -1)]
            return dice.choice([*near, value(dice, kind)])
        case "string":
            least, most = wanted.get("minLength", 0), wanted.get("maxLength", 12)
            return "x" * dice.choice((least, most, dice.randint(least, max(least, most))))
        case "array":
            least, most = wanted.get("minItems", 0), wanted.get("maxItems", 4)
            count = dice.choice((least, most, dice.randint(least, max(least, most))))
            first, rest = wanted.get("prefixItems", []), wanted.get("items", True)
            if rest is False:
                count = min(count, len(first))
            inside = [*first, *[rest] * count][:count]
            return [instance(dice, one, root) for one in inside]
        case "object":
            known, more = wanted.get("properties", {}), wanted.get("additionalProperties", True)
            made = {
                name: instance(dice, inside, root)
                for name, inside in known.items()
                if name in wanted.get("required", ()) or dice.random() < 0.6
            }
            for name in (*NAMES, "other"):
                if name not in known and more is not False and dice.random() < 0.3:
                    made[name] = instance(dice, more, root)
            return made
    return value(dice, kind)


def instances(dice: random.Random, root: Json, count: int) -> list[Json]:
    """Of those made by chance the ones that the SDK finds valid."""
    judged = judge(root)
    made = [instance(dice, root, root) for _ in range(count)]
    return [one for one in made if not judged(one)]
