"""When a value must fit two parts of a schema at once, what single part says the same?"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Conjunct = Mapping[str, Any]
Way = tuple[Conjunct, ...]
"""Everything a value must fit at once."""

TOGETHER: Final = (("contains", "minContains", "maxContains"), ("if", "then", "else"))
"""Of these words each says something else without the others."""
BESIDE: Final = (("items", "prefixItems"), *TOGETHER)
"""Words whose meaning hangs on those in the same part."""
CLOSING: Final = ("additionalProperties", "patternProperties", "unevaluatedProperties")
TIGHTER: Final[Mapping[str, Callable[..., Any]]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems"), min),
}


def frozen(value: Any) -> object:
    """Equal where JSON says equal: 1 and 1.0 are, 1 and true are not."""
    match value:
        case bool():
            return ("boolean", value)
        case float() if value.is_integer():
            return int(value)
        case list():
            return ("array", *map(frozen, value))
        case dict():
            return ("object", frozenset((name, frozen(inside)) for name, inside in value.items()))
    return value


def joined(one: Way, other: Way) -> Way:
    """Both at once; in as few parts as mean the same alone and together."""
    made = list(one)
    for part in other:
        for place, held in enumerate(made):
            both = _merged(held, part)
            if both is not None:
                made[place] = both
                break
        else:
            made.append(part)
    return tuple(part for part in made if part) or ({},)


def _merged(one: Conjunct, other: Conjunct) -> Conjunct | None:
    """None where no single part is known to say the same."""
    if any(_touched(one, group) and _touched(other, group) for group in BESIDE):
        return None
    named = ("properties", *CLOSING)
    if (
        _touched(one, named)
        and _touched(other, named)
        and (_touched(one, CLOSING) or _touched(other, CLOSING))
    ):
        return None
    made = {**one, **other}
    for word in {*one} & {*other}:
        both = _both(word, one[word], other[word])
        if both is None:
            return None
        made[word] = both
    return made


def _touched(part: Conjunct, words: tuple[str, ...]) -> bool:
    return any(word in part for word in words)


def _both(word: str, one: Any, other: Any) -> Any:
    """The value of a word that says what both say; None where there is none, or they are no such values."""
    match word, one, other:
        case "properties", dict(), dict():
            shared = {name: {"allOf": [one[name], other[name]]} for name in one if name in other}
            return {**one, **other, **shared}
        case "required", list(), list():
            return [*one, *other]
        case "type", str() | list(), str() | list():
            return _types(one, other)
    if word in TIGHTER and _is_number(one) and _is_number(other):
        return TIGHTER[word](one, other)
    return one if frozen(one) == frozen(other) else None


def _types(one: str | list[Any], other: str | list[Any]) -> list[Any]:
    first, second = ([given] if isinstance(given, str) else given for given in (one, other))
    found = [name for name in first if name in second]
    if "integer" not in found and any(
        "integer" in a and "number" in b for a, b in ((first, second), (second, first))
    ):
        found.append("integer")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
