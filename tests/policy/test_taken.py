"""A single value is valid, is not, or cannot be told."""

from typing import Any

import pytest

from noded.policy import taken
from noded.policy.schemas import Meter, Side


def fits(schema: Any, value: Any) -> bool | None:
    side = Side(schema, Meter())
    return taken.fits(side, value, side.ways(schema, "$"), "$")


@pytest.mark.parametrize(
    ("schema", "value", "answer"),
    [
        (True, 1, True),
        (False, 1, False),
        ({"type": "integer"}, 2.0, True),
        ({"type": "integer"}, 2.5, False),
        ({"type": "integer"}, 10**400, True),
        ({"type": "number"}, True, False),
        ({"type": "boolean"}, 1, False),
        ({"type": ["null", "array"]}, None, True),
        ({"enum": [1, "a"]}, 1.0, True),
        ({"enum": [1, "a"]}, True, False),
        ({"minimum": 3, "exclusiveMaximum": 4}, 3, True),
        ({"minimum": 3, "exclusiveMaximum": 4}, 4, False),
        ({"minimum": 3}, "text", True),
        ({"minLength": 2, "maxLength": 3}, "abcd", False),
        ({"pattern": "a"}, "b", None),
        ({"pattern": "a"}, 7, True),
        ({"pattern": "a", "minLength": 9}, "a", False),
        ({"multipleOf": 2}, 4, None),
        ({"items": {"type": "null"}, "maxItems": 2}, [None, None], True),
        ({"items": {"type": "null"}}, [None, 1], False),
        ({"required": ["a"]}, {}, False),
        ({"properties": {"a": {"type": "null"}}, "additionalProperties": False}, {"a": None}, True),
        ({"properties": {"a": {"type": "null"}}, "additionalProperties": False}, {"b": None}, False),
        ({"anyOf": [{"type": "null"}, {"pattern": "a"}]}, None, True),
        ({"anyOf": [{"type": "null"}, {"pattern": "a"}]}, "b", None),
        ({"allOf": [{"pattern": "a"}, {"type": "null"}]}, "b", False),
    ],
)
def test_each(schema: Any, value: Any, answer: bool | None) -> None:
    assert fits(schema, value) is answer
