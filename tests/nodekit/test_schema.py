"""Does the judge of contracts find what is wrong, say where, and refuse schemas it cannot judge?"""

import enum
import json
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodekit.schema import SchemaRefused, judge

PRICE = {"type": "number", "minimum": 0}
ORDER = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "An order",
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "items": {"type": "array", "items": {"type": "object", "properties": {"price": PRICE}}},
        "state": {"enum": ["new", "paid", None]},
    },
    "required": ["id"],
}
TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {
            "properties": {"n": {"type": "integer"}, "kids": {"items": {"$ref": "#/$defs/tree"}}},
            "required": ["n"],
        }
    },
}


class Colour(enum.StrEnum):
    RED = "red"


GOOD: list[tuple[Any, Any]] = [
    (True, {"any": "thing"}),
    ({}, None),
    (ORDER, {"id": "1", "items": [{"price": 1}, {}], "state": None, "more": True}),
    ({"type": "integer"}, 3.0),
    ({"type": "integer"}, 10**400),
    ({"type": ["string", "null"]}, None),
    ({"type": ["integer", "number"]}, 1.5),
    ({"minLength": 3}, 1),
    ({"properties": {"a": False}}, [1]),
    ({"enum": [1, "a", [1, 2], {"a": 1}]}, [1.0, 2]),
    ({"const": {"a": [True]}}, {"a": [True]}),
    ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1, 2]),
    ({"prefixItems": [{}, {}], "items": False}, [1]),
    ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}, {"a": True}, None]),
    ({"additionalProperties": {"type": "integer"}}, {"a": 1}),
    ({"exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
    ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, 3),
    ({"oneOf": [{"type": "string"}, {"minLength": 3}]}, "a" * 2),
    ({"not": {"type": "string"}}, 1),
    (TREE, {"n": 1, "kids": [{"n": 2, "kids": []}]}),
    ({"type": "string", "format": "date"}, "not looked at"),
    ({"type": "array", "items": {"type": "integer"}}, (1, 2)),
    ({"type": "string", "enum": ["red", 1]}, Colour.RED),
    ({"$defs": {"a/b": {"type": "null"}}, "$ref": "#/$defs/a~1b"}, None),
]
BAD: list[tuple[Any, Any, str]] = [
    (False, 1, "$: expected nothing here, found 1"),
    (ORDER, {"id": 1}, "$.id: expected a string of at least 1 characters, found 1"),
    (ORDER, {}, "$.id: expected a value, found none"),
    (
        ORDER,
        {"id": "1", "items": [{}, {}, {"price": "abc"}]},
        '$.items[2].price: expected a number of at least 0, found "abc"',
    ),
    (ORDER, {"id": "1", "state": "lost"}, '$.state: expected one of "new", "paid", null, found "lost"'),
    (ORDER, [], "$: expected an object, found an array of 0"),
    ({"type": "integer"}, True, "$: expected an integer, found true"),
    ({"type": "integer"}, 1.5, "$: expected an integer, found 1.5"),
    ({"type": "number"}, math.nan, "$: expected a number, found nan"),
    ({"type": "number"}, math.inf, "$: expected a number, found inf"),
    ({"type": "number"}, b"1", "$: expected a number, found bytes, which JSON has no word for"),
    ({"type": ["string", "null"]}, 3, "$: expected a string or null, found 3"),
    ({"minimum": 1, "maximum": 5}, 6, "$: expected a number of 1 to 5, found 6"),
    (
        {"exclusiveMinimum": 0, "exclusiveMaximum": 1, "type": "number"},
        1,
        "$: expected a number above 0 and below 1, found 1",
    ),
    ({"maxLength": 3}, "abcd", '$: expected a string of at most 3 characters, found "abcd"'),
    ({"pattern": "^a+$"}, "b" * 90, f'$: expected a string that matches ^a+$, found "{"b" * 60}..."'),
    ({"maxItems": 1}, [1, 2], "$: expected an array of at most 1, found an array of 2"),
    ({"minItems": 3, "maxItems": 3}, [1], "$: expected an array of 3, found an array of 1"),
    ({"prefixItems": [{"type": "string"}]}, [1], "$[0]: expected a string, found 1"),
    ({"prefixItems": [{}], "items": False}, [1, 2], "$[1]: expected nothing here, found 2"),
    ({"uniqueItems": True}, [1, 2, 1.0], "$[2]: expected no item twice, found 1.0 as in [0]"),
    ({"minProperties": 1}, {}, "$: expected an object of at least 1 properties, found 0"),
    ({"maxProperties": 1}, {"a": 1, "b": 2}, "$: expected an object of at most 1 properties, found 2"),
    (
        {"properties": {"a": {}}, "additionalProperties": False},
        {"a": 1, "not a name": 2},
        '$["not a name"]: expected only the properties a, found this one',
    ),
    ({"additionalProperties": PRICE}, {"a": -1}, "$.a: expected a number of at least 0, found -1"),
    ({"properties": {"a": False}}, {"a": 1}, "$.a: expected nothing here, found 1"),
    (
        {"properties": {"a": {}}, "required": ["b"], "additionalProperties": False},
        {"a": 1},
        "$.b: expected a",
    ),
    ({"const": 1}, True, "$: expected 1, found true"),
    ({"enum": [1, 2]}, [1], "$: expected one of 1, 2, found an array of 1"),
    ({"enum": [[1]]}, [True], "$: expected an array of 1, found an array of 1"),
    (
        {"anyOf": [{"type": "string"}, {"properties": {"a": {"type": "null"}}}]},
        {"a": 1},
        "$.a: expected null, found 1",
    ),
    ({"oneOf": [{"minimum": 1}, {"minimum": 2}]}, 3, "$: expected one way of oneOf to fit, found 2"),
    ({"oneOf": [{"type": "null"}, {"type": "string"}]}, 3, "$: expected null, found 3"),
    (
        {"allOf": [{"minimum": 1}, {"maximum": 2}, {"type": "integer"}]},
        1.5,
        "$: expected an integer, found 1.5",
    ),
    ({"not": {}}, 1, "$: expected what `not` does not describe, found 1"),
    (TREE, {"n": 1, "kids": [{"n": 1}, {}]}, "$.kids[1].n: expected a value, found none"),
]
REFUSED: list[tuple[Any, str]] = [
    (3, "$: expected an object, true or false, found 3"),
    ({"requird": []}, "$.requird: not among the keywords judged here; did you mean required?"),
    ({"properties": {"a": {"multipleOf": 2}}}, "$.properties.a.multipleOf: not among the keywords"),
    ({"type": "text"}, "$.type: expected one or more of string, number"),
    ({"type": []}, "$.type: expected one or more of"),
    ({"minimum": "0"}, '$.minimum: expected a number, found "0"'),
    ({"minimum": math.nan}, "$.minimum: expected a number, found nan"),
    ({"minLength": -1}, "$.minLength: expected an integer of at least 0, found -1"),
    ({"minItems": True}, "$.minItems: expected an integer of at least 0, found true"),
    ({"uniqueItems": 1}, "$.uniqueItems: expected true or false"),
    ({"required": "a"}, "$.required: expected a list of names"),
    ({"properties": []}, "$.properties: expected an object of schemas"),
    ({"enum": []}, "$.enum: expected a list of values"),
    ({"enum": ["a"], "type": "integer"}, "$: no value that is listed fits the rest"),
    ({"anyOf": []}, "$.anyOf: expected a list of schemas"),
    ({"pattern": "(?<=a)b"}, "$.pattern: expected ( or (?: for a group"),
    ({"pattern": 1}, "$.pattern: expected a string, found 1"),
    ({"$schema": "http://json-schema.org/draft-07/schema#"}, "$.$schema: expected https://json-schema.org"),
    ({"$ref": "other.json"}, "$.$ref: expected # or #/$defs/NAME of this schema"),
    ({"$ref": "#/$defs/none"}, "$.$ref: expected # or #/$defs/NAME of this schema"),
    ({"$ref": "#"}, "leads back to itself by $ref"),
    ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}, "leads back"),
    (
        {
            "$ref": "#/$defs/a",
            "$defs": {
                "a": {"properties": {"x": {"$ref": "#/$defs/b"}}, "allOf": [{"$ref": "#/$defs/b"}]},
                "b": {"$ref": "#/$defs/a"},
            },
        },
        "leads back",
    ),
    ({"$defs": {"a": {"type": 1}}}, "$.$defs.a.type: expected one or more"),
    ({"$defs": []}, "$.$defs: expected an object of schemas"),
    ({"allOf": [True] * 6000}, "expected at most 5000 parts"),
    (
        {
            "$defs": {"a0": {"type": "null"}}
            | {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n - 1}"}] * 2} for n in range(1, 40)}
        },
        "references add up",
    ),
]


@pytest.mark.parametrize(("schema", "value"), GOOD)
def test_what_fits(schema: Any, value: Any) -> None:
    assert judge(schema)(value) == ""


@pytest.mark.parametrize(("schema", "value", "told"), BAD)
def test_what_does_not(schema: Any, value: Any, told: str) -> None:
    found = judge(schema)(value)
    assert found.startswith(told), found


@pytest.mark.parametrize(("schema", "told"), REFUSED)
def test_schemas_that_are_refused(schema: Any, told: str) -> None:
    with pytest.raises(SchemaRefused) as refused:
        judge(schema)
    assert told in str(refused.value)


def test_depth_is_bounded() -> None:
    deep: Any = 1
    schema: Any = {}
    for _ in range(5000):
        deep, schema = [deep], {"items": schema}
    assert judge({"items": {"$ref": "#"}})(deep) == "$: expected a value that is less deep"
    assert judge({"const": 1})(deep) != ""
    with pytest.raises(SchemaRefused):
        judge(schema)


def test_no_schema_and_no_value_takes_long() -> None:
    ways = {"type": "array", "minItems": 1, "items": {"$ref": "#"}}
    deep: Any = 0
    for _ in range(100):
        deep = [deep]
    began = time.process_time()
    assert "takes longer" in judge({"anyOf": [ways, ways]})(deep)
    assert "takes longer" in judge({"items": {"anyOf": [{"type": "null"}] * 500}})([0] * 500_000)
    assert judge({"uniqueItems": True})([n * (2**61 - 1) for n in range(20_000)]) == ""
    assert time.process_time() - began < 8
    assert judge({"anyOf": [ways, ways]})([[]]) != "", "the next value has all its time again"


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that fit, for the schemas that `schemas` makes."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "string":
            return st.text("abc€", min_size=schema["minLength"], max_size=schema["maxLength"])
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(fitting(schema["items"]), max_size=schema["maxItems"])
    known = {name: fitting(inside) for name, inside in schema["properties"].items()}
    must = {name: known.pop(name) for name in schema["required"]}
    return st.fixed_dictionaries(must, optional=known)


LEAVES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(
        lambda a, b: {"type": "string", "minLength": a, "maxLength": a + b},
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    st.builds(
        lambda a, b: {"type": "integer", "minimum": a, "maximum": a + b},
        st.integers(-3, 3),
        st.integers(0, 9),
    ),
    st.just({"type": "boolean"}),
    st.lists(st.one_of(st.text(max_size=3), st.integers(), st.none()), min_size=1, max_size=4).map(
        lambda values: {"enum": values}
    ),
)


def within(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.builds(lambda i, n: {"type": "array", "items": i, "maxItems": n}, inner, st.integers(0, 4))
    objects = st.dictionaries(st.sampled_from("abcde"), inner, max_size=4).flatmap(
        lambda known: st.builds(
            lambda must, more: {
                "type": "object",
                "properties": known,
                "required": sorted(must),
                "additionalProperties": more,
            },
            st.sets(st.sampled_from(sorted(known))) if known else st.just(set()),
            st.booleans(),
        )
    )
    return st.one_of(lists, objects)


SCHEMAS = st.recursive(LEAVES, within, max_leaves=8)


@settings(max_examples=150)
@given(st.data())
def test_generated_values_fit(data: st.DataObject) -> None:
    schema = data.draw(SCHEMAS)
    value = data.draw(fitting(schema))
    assert judge(schema)(value) == ""
    assert judge(schema)(json.loads(json.dumps(value))) == ""
    assert judge({"not": schema})(value) != ""


def spots(schema: dict[str, Any], value: Any, way: str) -> list[tuple[str, Any, Any, dict[str, Any]]]:
    """Every place in the value: its path, who holds it, under which key, and its schema."""
    found = []
    if schema.get("type") == "array":
        for place, item in enumerate(value):
            found.append((f"{way}[{place}]", value, place, schema["items"]))
            found += spots(schema["items"], item, f"{way}[{place}]")
    if schema.get("type") == "object":
        for name, item in value.items():
            found.append((f"{way}.{name}", value, name, schema["properties"][name]))
            found += spots(schema["properties"][name], item, f"{way}.{name}")
    return found


@settings(max_examples=150)
@given(st.data())
def test_one_wrong_place_is_found_there(data: st.DataObject) -> None:
    schema = data.draw(SCHEMAS)
    value = json.loads(json.dumps(data.draw(fitting(schema))))
    if places := spots(schema, value, "$"):
        path, holder, key, inside = data.draw(st.sampled_from(places))
        wrong = 0.5 if inside.get("type") != "object" else data.draw(st.sampled_from([None, 3, "x", []]))
        holder[key] = wrong
        assert judge(schema)(value).startswith(f"{path}: expected")
        assert judge({"not": schema})(value) == ""


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(
    st.one_of(
        SCHEMAS,
        VALUES,
        st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "items",
                    "enum",
                    "$ref",
                    "not",
                    "const",
                    "required",
                    "properties",
                    "anyOf",
                    "pattern",
                    "minimum",
                ]
            ),
            VALUES,
        ),
    ),
    VALUES,
)
def test_whatever_comes_is_refused_or_judged(schema: Any, value: Any) -> None:
    try:
        check = judge(schema)
    except SchemaRefused as refused:
        assert str(refused).startswith("$")
        return
    assert check(value) == "" or check(value).startswith("$")


def test_an_event_of_six_properties_is_judged_quickly() -> None:
    names = "abcdef"
    check = judge({"type": "object", "properties": dict.fromkeys(names, PRICE), "required": list(names)})
    value, best = dict.fromkeys(names, 1.5), 1.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(500):
            check(value)
        best = min(best, (time.perf_counter() - began) / 500)
    assert best < 10e-6, "about 1.2 microseconds on the machine where it was written"
