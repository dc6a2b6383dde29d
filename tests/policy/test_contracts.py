"""What a producer's contract allows is valid by the consumer's, or a person is told where it may not be."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noded.policy import schemas
from noded.policy.contracts import Answer, Found, compare
from nodekit.schema import KEYWORDS, SchemaRefused, judge
from tests.policy.instances import changed, instances, schema

BREAKS, UNKNOWN = Answer.BREAKS, Answer.UNKNOWN
ROWS = 400
"""Pairs of contracts made by chance, and as many values tried on each."""


def compared(producer: Any, consumer: Any) -> Found:
    return compare(json.dumps(producer), json.dumps(consumer))


def of(found: Found) -> list[tuple[Answer, str, str]]:
    return [(one.answer, one.path, one.why) for one in found]


def a(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


NODE = {
    "$ref": "#/$defs/n",
    "$defs": {"n": a(v={"type": "integer"}) | {"additionalProperties": {"$ref": "#/$defs/n"}}},
}
WIDE = {
    "$ref": "#/$defs/m",
    "$defs": {"m": a(v={"type": "number"}) | {"additionalProperties": {"$ref": "#/$defs/m"}}},
}

CARD, CASH = a(kind={"const": "card"}, number={"type": "string"}), a(kind={"enum": ["cash", "coin"]})
ONE_OF = {"oneOf": [CARD, CASH]}
COMPATIBLE = [
    ({"type": "integer"}, {"type": "number"}),
    ({"type": "integer"}, {"type": ["string", "number"]}),
    ({"type": ["string", "null"]}, {"anyOf": [{"type": "null"}, {"type": "string"}]}),
    ({"type": "string", "format": "date"}, {"type": "string", "format": "time", "title": "x"}),
    ({"enum": ["a", "b"]}, {"enum": ["b", "c", "a"]}),
    ({"enum": ["a", 3], "type": "string"}, {"type": "string"}),
    ({"const": 1.0}, {"enum": [1]}),
    ({"type": "integer", "minimum": 1, "maximum": 3}, {"enum": [1, 2, 3, 4]}),
    ({"type": "boolean"}, {"enum": [True, False]}),
    ({"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "minimum": 1}),
    ({"type": "number", "minimum": 2}, {"type": "number", "exclusiveMinimum": 1}),
    ({"type": "string", "maxLength": 3}, {"type": "string", "maxLength": 4}),
    ({"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^a"}),
    (
        {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
        {"type": "array", "items": {"type": "number"}},
    ),
    ({"type": "array", "maxItems": 0}, {"type": "array", "items": {"type": "string"}}),
    (a(x={"type": "integer"}, y={}), a(x={"type": "number"})),
    (a(x={}) | {"additionalProperties": False}, a(x={}) | {"additionalProperties": False}),
    (a(x={}) | {"additionalProperties": False}, {"properties": {"other": {"type": "null"}}}),
    (False, {"type": "string"}),
    ({"type": "string"}, True),
    ({"type": "string", "not": {"const": "x"}}, {"description": "anything"}),
    ({"oneOf": [{"type": "string"}]}, {"title": "t", "oneOf": [{"type": "string"}]}),
    (NODE, WIDE),
    ({"oneOf": [{"type": "string"}, {"const": 1}]}, {"type": ["string", "integer"]}),
    ({"oneOf": [{"type": "integer"}, {"minimum": 3}]}, {"anyOf": [{"type": "integer"}, {"minimum": 3}]}),
    ({"type": ["string", "null"]}, {"oneOf": [{"type": "null"}, {"type": "string"}, {"type": "array"}]}),
    (ONE_OF, {"oneOf": [*ONE_OF["oneOf"], a(kind={"const": "wire"})]}),
    (
        {
            "allOf": [{"$ref": "#/$defs/base"}, a(sum={"type": "integer"})],
            "$defs": {"base": a(id={"type": "string"})},
        },
        a(id={"type": "string"}, sum={"type": "number"}),
    ),
    (
        {"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "null"}},
        {"items": {"type": "null"}},
    ),
    (
        {"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
        {"type": "array", "prefixItems": [{"type": "number"}], "items": {"type": ["string", "null"]}},
    ),
    ({"type": "array", "prefixItems": [{}, {}], "items": False}, {"type": "array", "maxItems": 2}),
    ({"type": "array", "items": {"type": "null"}, "maxItems": 1}, {"prefixItems": [{}, {"type": "string"}]}),
    ({"type": "array", "prefixItems": [{}, False, {}]}, {"prefixItems": [{}, {}, {"type": "null"}]}),
    ({"type": "array", "prefixItems": [{"const": 1}]}, {"prefixItems": [{"enum": [1, 2]}]}),
    ({"const": [1, "a"]}, {"prefixItems": [{"type": "integer"}], "items": {"type": "string"}}),
    ({"type": "integer", "multipleOf": 5}, {"type": "number", "multipleOf": 5}),
    (
        {"type": "object", "dependentRequired": {"a": ["b"]}, "additionalProperties": False},
        {"type": "object", "dependentRequired": {"a": ["b"]}},
    ),
    ({"type": "array", "contains": {}, "minContains": 2}, {"contains": {}, "minContains": 2}),
    (
        {"$ref": "#/definitions/x", "definitions": {"x": {"type": "integer"}}},
        {"type": "number", "definitions": {"y": 1}},
    ),
    ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, {"type": "number", "minimum": 2}),
    ({"type": "string", "minLength": 3, "maxLength": 2}, {"type": "null"}),
    ({"anyOf": [{"type": "integer"}, {"const": "none"}]}, {"type": ["number", "string"]}),
]


@pytest.mark.parametrize(("producer", "consumer"), COMPATIBLE, ids=str)
def test_what_is_compatible(producer: Any, consumer: Any) -> None:
    assert compared(producer, consumer) == ()


OPEN = "the producer's contract does not name it and is open to other properties"
BROKEN = [
    ({"type": "string"}, {"type": "integer"}, "$", "may be a string, where an integer is asked for"),
    ({}, {"type": "null"}, "$", "may be anything, where null is asked for"),
    (
        {"type": ["string", "null"]},
        {"type": "string"},
        "$",
        "may be null, where a string is asked for",
    ),
    (
        {"type": "number"},
        {"type": "integer"},
        "$",
        "may be a number with a fraction, where an integer is asked for",
    ),
    (a(), a(x={}), "$.x", "may be missing, and is asked for"),
    (a(x={"type": "string"}), a(x={"type": "null"}), "$.x", "may be a string, where null is asked for"),
    (a(), {"properties": {"x y": {"type": "null"}}}, '$["x y"]', f"may be anything: {OPEN}"),
    (
        a(x={}) | {"additionalProperties": False},
        {"additionalProperties": False},
        "$.x",
        "may be sent, and the consumer takes no such property",
    ),
    (
        {"type": "object"},
        {"additionalProperties": False},
        "$",
        "may have properties that no contract names, and the consumer takes none",
    ),
    (
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"additionalProperties": {"type": "null"}},
        "$.*",
        "may be a string, where null is asked for",
    ),
    ({"enum": ["a", "b"]}, {"enum": ["a"]}, "$", 'may be "b", which is not taken'),
    ({"const": 1}, {"const": True}, "$", "may be 1, which is not taken"),
    ({"type": "string"}, {"enum": ["a"]}, "$", 'may be any value of its type, and only some are taken ("a")'),
    ({"type": "number"}, {"minimum": 3}, "$", "may be less than 3"),
    ({"type": "number", "minimum": 3}, {"exclusiveMinimum": 3}, "$", "may be at most 3"),
    ({"type": "number", "maximum": 9}, {"maximum": 8.5}, "$", "may be more than 8.5"),
    ({"type": "string"}, {"maxLength": 3}, "$", "may have more than 3 characters"),
    ({"type": "array"}, {"minItems": 1}, "$", "may have fewer than 1 items"),
    (
        {"type": "array", "items": a(x={})},
        {"items": a(x={"type": "array", "items": {"type": "null"}})},
        "$[].x",
        "may be anything, where an array is asked for",
    ),
    (
        {"type": ["string", "integer"]},
        {"anyOf": [{"type": "string"}]},
        "$",
        "may be an integer, where a string is asked for",
    ),
    (
        {"type": ["string", "integer"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "$",
        "may be an integer, which is not taken",
    ),
    ({"type": "null"}, False, "$", "may be sent, and is not taken at all"),
    ({"oneOf": [CARD, CASH]}, {"oneOf": [CASH]}, "$.kind", 'may be "card", which is not taken'),
    (
        {"allOf": [a(x={"minimum": 1}), a(x={"type": "number"})]},
        a(x={"type": "number", "minimum": 2}),
        "$.x",
        "may be less than 2",
    ),
    (
        {"type": "array", "prefixItems": [{"type": "integer"}]},
        {"prefixItems": [{"type": "integer"}, {"type": "string"}]},
        "$[1]",
        "may be anything, where a string is asked for",
    ),
    (
        {"type": "array", "prefixItems": [{}, {}], "items": False},
        {"maxItems": 1},
        "$",
        "may have more than 1 items",
    ),
    (
        {"type": "array", "prefixItems": [{"type": "null"}]},
        {"prefixItems": [{"type": "null"}], "items": {"type": "null"}},
        "$[]",
        "may be anything, where null is asked for",
    ),
    (
        {"const": [1, 2]},
        {"prefixItems": [{}, {"type": "null"}]},
        "$",
        "may be an array of 2, which is not taken",
    ),
    (WIDE, NODE, "$.v", "may be a number with a fraction, where an integer is asked for"),
]


@pytest.mark.parametrize(("producer", "consumer", "path", "why"), BROKEN)
def test_what_breaks_is_told_with_its_place(producer: Any, consumer: Any, path: str, why: str) -> None:
    assert (BREAKS, path, why) in of(compared(producer, consumer))


UNCLEAR = [
    ({"type": "string"}, {"pattern": "a"}, "$", "pattern"),
    ({"type": "string", "pattern": "a"}, {"type": "string", "pattern": "b"}, "$", "pattern"),
    ({"type": "string", "pattern": "^a$"}, {"maxLength": 2}, "$", "pattern allows"),
    (
        {"type": "string", "not": {"const": "x"}},
        {"type": "null"},
        "$",
        "the producer's not is not compared here",
    ),
    (a(x={"type": "object"}), a(x={"dependentRequired": {"a": ["b"]}}), "$.x", "dependentRequired"),
    ({}, {"if": {}, "then": {}}, "$", "the consumer's if"),
    (
        {"type": "integer"},
        {"anyOf": [{"maximum": 5}, {"minimum": 6}]},
        "$",
        "which ways of its anyOf take an integer",
    ),
    ({"$ref": "other.json"}, {"type": "null"}, "$.$ref", "are followed"),
    ({"$ref": "#"}, {"type": "null"}, "$", "lead back"),
    ({"type": "strin"}, {"type": "null"}, "$.type", "no type of JSON"),
    ({"type": "integer", "minimum": "1"}, {"minimum": 2}, "$.minimum", "no number"),
    ({"type": "object", "required": "a"}, a(x={}), "$.required", "no list of names"),
    ({"type": "array"}, {"prefixItems": {}}, "$.prefixItems", "no list"),
    ({"type": "integer"}, {"oneOf": [{"type": "integer"}, {"minimum": 3}]}, "$", "the consumer's oneOf"),
    (
        {"type": "integer"},
        {"allOf": [{"oneOf": [{"type": "integer"}, {"minimum": 3}]}], "oneOf": [{"type": "integer"}]},
        "$",
        "the consumer's oneOf",
    ),
    (
        {"oneOf": [{"type": "integer"}, {"minimum": 3}]},
        {"type": "integer"},
        "$",
        "the producer's oneOf is not compared here",
    ),
    (
        {"contains": {}, "minContains": 0, "maxContains": 2},
        {"contains": {}, "maxContains": 2},
        "$",
        "the consumer's contains",
    ),
    (
        {"propertyNames": {"$ref": "#"}},
        {"required": [], "propertyNames": {"$ref": "#"}},
        "$",
        "propertyNames",
    ),
    ({"not": {"$dynamicRef": "#x"}}, {"title": "", "maxLength": 9, "not": {"$dynamicRef": "#x"}}, "$", "not"),
    (
        {"type": "object", "patternProperties": {"a": {}}, "additionalProperties": False},
        {"additionalProperties": {"type": "null"}},
        "$.*",
        "patternProperties",
    ),
    ([], {}, "$", "no JSON object"),
]


@pytest.mark.parametrize(("producer", "consumer", "path", "why"), UNCLEAR)
def test_what_needs_a_person_is_told_with_its_place(
    producer: Any, consumer: Any, path: str, why: str
) -> None:
    (found, *_) = compared(producer, consumer)
    assert (found.answer, found.path) == (UNKNOWN, path)
    assert why in found.why


@settings(max_examples=ROWS, deadline=None)
@given(st.integers(0, 2**32))
def test_compatible_is_never_said_wrongly(seed: int) -> None:
    dice = random.Random(seed)
    producer = schema(dice)
    consumer = producer
    for _ in range(dice.randint(0, 3)):
        consumer = changed(dice, consumer)
    pair = (producer, consumer) if dice.random() < 0.5 else (consumer, producer)
    if any(isinstance(one, bool) for one in pair) or compared(*pair):
        return
    try:
        judged = judge(pair[1])
        values = instances(dice, pair[0], 60)
    except SchemaRefused:
        return
    assert [value for value in values if judged(value)] == [], pair


def test_what_is_said_to_break_does() -> None:
    """An alarm is false when no value shows it: counted, because values are made by chance."""
    dice = random.Random(5)
    told = shown = 0
    while told < ROWS // 4:
        pair = schema(dice), schema(dice)
        if any(isinstance(one, bool) for one in pair) or not any(f.answer is BREAKS for f in compared(*pair)):
            continue
        try:
            values, judged = instances(dice, pair[0], 100), judge(pair[1])
        except SchemaRefused:
            continue
        told += 1
        shown += any(judged(value) for value in values)
    assert shown / told > 0.95


def test_the_order_of_words_and_notes_are_no_difference() -> None:
    dice = random.Random(7)
    for _ in range(ROWS):
        one = schema(dice)
        assert compared(one, turned(dice, one)) == ()


def turned(dice: random.Random, part: Any) -> Any:
    """The same, written in another order and with other notes."""
    if isinstance(part, list):
        return [turned(dice, one) for one in part]
    if not isinstance(part, dict):
        return part
    words = [(word, turned(dice, inside)) for word, inside in part.items()]
    dice.shuffle(words)
    made = dict(words)
    for word in ("required", "enum"):
        if isinstance(made.get(word), list):
            dice.shuffle(made[word])
    return made


def test_words_are_those_of_the_sdk() -> None:
    assert {*schemas.JUDGED, *schemas.NOTES, *schemas.JOINED} <= KEYWORDS
