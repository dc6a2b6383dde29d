"""Two parts that must hold at once become one where one says the same."""

from typing import Any

import pytest

from noded.policy.joining import frozen, joined


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ({}, {"type": "null"}, [{"type": "null"}]),
        ({"minimum": 1}, {"maximum": 2}, [{"minimum": 1, "maximum": 2}]),
        ({"minimum": 1, "maxLength": 9}, {"minimum": 2, "maxLength": 3}, [{"minimum": 2, "maxLength": 3}]),
        ({"minimum": 1}, {"minimum": "2"}, [{"minimum": 1}, {"minimum": "2"}]),
        ({"type": ["number", "null"]}, {"type": ["integer", "string"]}, [{"type": ["integer"]}]),
        ({"type": "string"}, {"type": "null"}, [{"type": []}]),
        ({"required": ["a"]}, {"required": ["b", "a"]}, [{"required": ["a", "b", "a"]}]),
        ({"pattern": "a"}, {"pattern": "a"}, [{"pattern": "a"}]),
        ({"pattern": "a"}, {"pattern": "b"}, [{"pattern": "a"}, {"pattern": "b"}]),
        (
            {"properties": {"a": {"minimum": 1}, "b": True}},
            {"properties": {"a": {"maximum": 2}, "c": False}},
            [{"properties": {"a": {"allOf": [{"minimum": 1}, {"maximum": 2}]}, "b": True, "c": False}}],
        ),
        # It is about the properties beside it, not about those of another part.
        (
            {"properties": {"a": {}}},
            {"additionalProperties": False},
            [{"properties": {"a": {}}}, {"additionalProperties": False}],
        ),
        (
            {"properties": {"a": {}}, "additionalProperties": False},
            {"required": ["a"]},
            [{"properties": {"a": {}}, "additionalProperties": False, "required": ["a"]}],
        ),
        ({"prefixItems": [{}]}, {"items": False}, [{"prefixItems": [{}]}, {"items": False}]),
        ({"contains": {}}, {"minContains": 0}, [{"contains": {}}, {"minContains": 0}]),
    ],
)
def test_at_once(one: Any, other: Any, both: Any) -> None:
    assert joined((one,), (other,)) == tuple(both)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ([1], [1.0], True),
        ("1", 1, False),
        (None, False, False),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ([1, 2], [2, 1], False),
    ],
)
def test_equal_is_what_json_calls_equal(one: Any, other: Any, same: bool) -> None:
    assert (frozen(one) == frozen(other)) is same
