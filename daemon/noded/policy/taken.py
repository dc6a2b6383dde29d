"""Is one value of a contract, such as a member of its enum, valid by another contract?

Three answers: yes, no, or None where words that are not judged here, or patterns, would have to say it.
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from noded.policy.joining import Conjunct, Way, frozen
from noded.policy.schemas import JUDGED, Side, kinds, limit, listed, required, schemas, values

LIMITS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
}
COUNTS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
Fits = bool | None


def fits(side: Side, value: Any, ways: Iterable[Way], path: str) -> Fits:
    answers = [_all(_part(side, value, part, path) for part in way) for way in ways]
    return True if True in answers else None if None in answers else False


def _all(answers: Iterable[Fits]) -> Fits:
    found = list(answers)
    return False if False in found else None if None in found else True


def _part(side: Side, value: Any, part: Conjunct, path: str) -> Fits:
    side.meter.spend(1 + len(part), path)
    listed = values(part, path)
    if listed is not None:
        side.meter.spend(len(listed), path)
        if frozen(value) not in map(frozen, listed):
            return False
    kind = _kind(value)
    named = kinds(part, path)
    if kind not in named and not (kind == "number" and "integer" in named and _whole(value)):
        return False
    clear: Fits = None if any(_unjudged(word, kind) for word in part) else True
    return _all((clear, *_of_kind(side, kind, value, part, path)))


def _unjudged(word: str, kind: str) -> bool:
    return word not in JUDGED or (word == "pattern" and kind == "string")


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
    return "number"


def _whole(value: float) -> bool:
    return isinstance(value, int) or value.is_integer()


def _of_kind(side: Side, kind: str, value: Any, part: Conjunct, path: str) -> Iterator[Fits]:
    if kind in COUNTS:
        low, high = (limit(part, word, path) for word in COUNTS[kind])
        yield (low or 0) <= len(value) and (high is None or len(value) <= high)
    match kind:
        case "number":
            for word, holds in LIMITS.items():
                end = limit(part, word, path)
                yield end is None or holds(value, end)
        case "array":
            first = listed(part, "prefixItems", path)
            for place, item in enumerate(value):
                inside = first[place] if place < len(first) else part.get("items", True)
                yield fits(side, item, side.ways(inside, path), path)
        case "object":
            yield {*required(part, path)} <= {*value}
            known, more = schemas(part, "properties", path), part.get("additionalProperties", True)
            for name, item in value.items():
                yield fits(side, item, side.ways(known.get(name, more), path), path)
