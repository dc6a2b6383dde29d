"""No schema takes long, and what is too large or no schema is for a person."""

import json
import time
from typing import Any

import pytest

from noded.policy.contracts import compare
from noded.policy.schemas import Meter
from tests.policy.test_contracts import UNKNOWN, a, compared


@pytest.mark.parametrize(
    "text", ["", "{", "[1, NaN]", '{"minimum": NaN}', "[" * 100_000, '{"a": 1' + "0" * 9000]
)
def test_text_that_is_no_schema_is_unknown(text: str) -> None:
    for pair in ((text, "{}"), ("{}", text)):
        (found,) = compare(*pair)
        assert found.answer is UNKNOWN


def hostile() -> list[tuple[str, Any]]:
    deep: Any = {}
    for _ in range(300):
        deep = {"items": deep, "type": "array"}
    # Each doubles what the one before it says.
    doubled = {
        f"d{n}": {"allOf": [{"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"title": "x"}]}] * 2}
        for n in range(18)
    }
    many = {"type": "object", "properties": {f"p{n}": {"enum": list(range(90))} for n in range(400)}}
    loop = {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"properties": {f"p{n}": {"$ref": "#/$defs/a"} for n in range(40)}}},
    }
    return [
        ("deep", deep),
        ("doubled", {"$ref": "#/$defs/d0", "$defs": doubled | {"d18": {"type": "string"}}}),
        ("many values", many),
        ("one of many", {"oneOf": [a(x={"const": n}) for n in range(4000)]}),
        ("all of many", {"allOf": [a(**{f"x{n}": {}}) for n in range(4000)]}),
        ("loop", loop),
    ]


@pytest.mark.parametrize(("name", "one"), hostile(), ids=lambda each: each if isinstance(each, str) else "")
def test_no_schema_takes_long(name: str, one: Any) -> None:
    longest = 0.0
    for other in ({"type": "null"}, {}, *(each for _, each in hostile())):
        for pair in ((one, {**other, "minItems": 3}), ({**other, "minItems": 3}, one)):
            began = time.process_time()
            compared(*pair)
            longest = max(longest, time.process_time() - began)
    assert longest < 1.0


def test_all_comparisons_of_a_release_share_one_limit() -> None:
    meter = Meter(200)
    wide = json.dumps(a(**{f"p{n}": {"type": "integer"} for n in range(100)}))
    other = wide.replace("integer", "number")
    found = compare(wide, other, meter)
    assert [(one.answer, one.why) for one in found] == [
        (UNKNOWN, "the contracts are too large to be compared to the end")
    ]
    assert compare("{}", '{"type": "null"}', meter)[0].answer is UNKNOWN
