"""Does the quick look at a value say "fits" only of values that do, and of nearly all of those?"""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodekit.fitting import Fits, fits
from nodekit.schema import Reader
from tests.nodekit.test_schema import BAD, GOOD, SCHEMAS, VALUES, fitting, spots


def both(schema: Any) -> tuple[Fits | None, Any]:
    reader = Reader(schema)
    check = reader.whole()
    return fits(schema, reader.checks), check


def quick(schema: Any) -> Fits:
    found = both(schema)[0]
    assert found
    return found


INTEGER = {"type": "integer"}
PLAIN: list[tuple[Any, list[Any], list[Any]]] = [
    (INTEGER, [0, -5, 10**400], [True, 1.0, "1", None]),
    ({"type": "integer", "minimum": 1, "exclusiveMaximum": 3}, [1, 2], [0, 3]),
    ({"type": "number", "exclusiveMinimum": 0, "maximum": 2.5}, [1, 0.5, 2.5], [0, 2.6, 1e999, -1e999, True]),
    ({"type": "number"}, [10**400, 1.5], [float("nan"), float("inf"), "1"]),
    ({"type": "string", "minLength": 1, "maxLength": 3}, ["a", "abc"], ["", "abcd", b"a", 1]),
    ({"type": "string"}, [""], [None]),
    ({"enum": ["a", "b"]}, ["a"], ["c", 1, ["a"], None]),
    ({"type": "boolean"}, [True, False], [1, 0, None]),
    ({"type": "null"}, [None], [0, False]),
    ({"type": ["string", "null"], "maxLength": 2}, [None, "ab"], ["abc", 1]),
    ({"type": ["null", "array"], "items": INTEGER}, [None, [], [1]], [["a"], {}]),
    (
        {"type": "array", "items": INTEGER, "minItems": 1, "maxItems": 2},
        [[1], [1, 2]],
        [[], [1, 2, 3], ["a"]],
    ),
    ({"type": "array"}, [[], [None, {}]], [(), {}]),
    (
        {"type": "array", "items": {"type": "array", "items": INTEGER}},
        [[], [[]], [[1], [2]]],
        [[1], [[1], ["a"]]],
    ),
    ({"type": "object"}, [{}, {"a": 1}], [[], None]),
    ({"type": "object", "required": ["a"]}, [{"a": None}], [{}, {"b": 1}]),
    (
        {"type": "object", "properties": {"a": INTEGER, "b": INTEGER}, "required": ["a"]},
        [{"a": 1}, {"a": 1, "b": 2}, {"a": 1, "c": "x"}],
        [{}, {"b": 1}, {"a": "x"}, {"a": 1, "b": "x"}],
    ),
    (
        {
            "type": "object",
            "properties": {"a": INTEGER, "b": INTEGER},
            "required": ["a"],
            "additionalProperties": False,
        },
        [{"a": 1}, {"a": 1, "b": 2}],
        [{"a": 1, "c": 1}, {"a": 1, "b": 2, "c": 3}, {"b": 1, "c": 1}],
    ),
    (
        # What is not plain is left to its own judge, the rest is not.
        {
            "type": "object",
            "properties": {"code": {"type": "string", "pattern": "^[a-z]+$"}, "n": {"anyOf": [INTEGER]}},
            "required": ["code"],
        },
        [{"code": "abc"}, {"code": "abc", "n": 1}],
        [{"code": "1"}, {"code": "abc", "n": "x"}],
    ),
    ({"type": "object", "properties": {"a": False}}, [{}, {"b": 1}], [{"a": 1}]),
]


@pytest.mark.parametrize(("schema", "good", "bad"), PLAIN)
def test_plain_schemas(schema: Any, good: list[Any], bad: list[Any]) -> None:
    look = quick(schema)
    assert [value for value in good if not look(value)] == []
    assert [value for value in bad if look(value)] == []


@pytest.mark.parametrize("schema", [True, False, {}, {"anyOf": [INTEGER]}, {"minimum": 1}, {"enum": [1]}])
def test_schemas_that_are_not_plain_at_all_are_left_alone(schema: Any) -> None:
    assert both(schema)[0] is None


@pytest.mark.parametrize(("schema", "value"), [*GOOD, *((schema, value) for schema, value, _ in BAD)])
def test_it_says_nothing_that_the_judge_denies(schema: Any, value: Any) -> None:
    look, check = both(schema)
    assert look is None or not look(value) or check(value) == ""


@settings(max_examples=150)
@given(st.data())
def test_values_that_fit_are_seen_to_fit_and_others_never(data: st.DataObject) -> None:
    schema = data.draw(SCHEMAS)
    value = json.loads(json.dumps(data.draw(fitting(schema))))
    look, check = both(schema)
    if look is None:
        return
    assert look(value)
    other = data.draw(VALUES)
    assert not look(other) or check(other) == ""
    for _, holder, key, _ in spots(schema, value, "$"):
        before, holder[key] = holder[key], other
        assert not look(value) or check(value) == ""
        holder[key] = before


def test_names_and_values_of_a_schema_are_never_run_as_code() -> None:
    odd = '"]: raise SystemExit\n#'
    schema = {"type": "object", "properties": {odd: {"enum": [odd]}}, "required": [odd, "'"]}
    assert quick(schema)({odd: odd, "'": 1})
    assert not quick(schema)({odd: "", "'": 1})


def test_what_could_take_long_is_left_to_the_judge_who_counts() -> None:
    wide = {"type": "object", "properties": {f"p{n}": INTEGER for n in range(1000)}}
    assert quick({"type": "array", "items": wide})([{}] * 16)
    assert not quick({"type": "array", "items": wide})([{}] * 17)
    assert quick({"type": "array", "items": INTEGER})([1] * 2000)
    nested: Any = INTEGER
    for _ in range(30):
        nested = {"type": "array", "items": nested}
    assert both(nested)[0] is None


def test_a_schema_as_deep_as_may_be_can_be_written_out() -> None:
    schema: Any = INTEGER
    value: Any = 1
    for _ in range(50):
        schema = {"type": ["null", "object"], "properties": {"a": schema}}
        value = {"a": value}
    assert quick(schema)(value)


def test_a_plain_event_is_seen_to_fit_at_once() -> None:
    names = "abcdef"
    look = quick({"type": "object", "properties": dict.fromkeys(names, INTEGER), "required": list(names)})
    value, best = dict.fromkeys(names, 1), 1.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(500):
            look(value)
        best = min(best, (time.perf_counter() - began) / 500)
    assert best < 3e-6, "about 0.3 microseconds on the machine where it was written"
