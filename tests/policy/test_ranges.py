"""Ranges of numbers, lengths and counts are compared end by end."""

import math
from typing import Any

import pytest

from noded.policy import ranges
from noded.policy.schemas import Unclear


@pytest.mark.parametrize(
    ("whole", "part", "goal", "why"),
    [
        (True, {"exclusiveMinimum": 0}, {"minimum": 1}, ""),
        (False, {"exclusiveMinimum": 0}, {"minimum": 1}, "may be less than 1"),
        (False, {"exclusiveMinimum": 1}, {"exclusiveMinimum": 1}, ""),
        (False, {"minimum": 0, "exclusiveMinimum": 1}, {"exclusiveMinimum": 1}, ""),
        (True, {"maximum": 2.5}, {"maximum": 2}, ""),
        (True, {"exclusiveMaximum": 3}, {"exclusiveMaximum": 2}, "may be at least 2"),
        (False, {"maximum": 10**400}, {"maximum": 1}, "may be more than 1"),
        (True, {}, {"minimum": -(10**400)}, "may be less than a very long integer"),
    ],
)
def test_numbers(whole: bool, part: dict[str, Any], goal: dict[str, Any], why: str) -> None:
    assert ranges.beyond(whole, part, goal, "$") == why


@pytest.mark.parametrize(
    ("part", "goal", "why"),
    [
        ({"minItems": 2}, {"minItems": 1}, ""),
        ({}, {"minItems": 0}, ""),
        ({}, {"minItems": 1}, "may have fewer than 1 items"),
        ({"maxItems": 3}, {"maxItems": 2}, "may have more than 2 items"),
    ],
)
def test_counts(part: dict[str, Any], goal: dict[str, Any], why: str) -> None:
    assert ranges.wider(part, goal, ("minItems", "maxItems"), "items", "$") == why


@pytest.mark.parametrize(
    ("part", "kinds", "values"),
    [
        ({"minimum": 0.5, "exclusiveMaximum": 3}, ("integer",), [1, 2]),
        ({"minimum": 1}, ("integer",), None),
        ({"minimum": 1, "maximum": 10**400}, ("integer",), None),
        ({}, ("boolean", "null"), [False, True, None]),
        ({}, ("null", "string"), None),
    ],
)
def test_few_values(part: dict[str, Any], kinds: tuple[str, ...], values: list[Any] | None) -> None:
    assert ranges.few(part, kinds, "$") == values


def test_what_can_never_be() -> None:
    assert not ranges.possible("string", {"minLength": 3, "maxLength": 2}, "$")
    assert not ranges.possible("number", {"minimum": 1, "exclusiveMaximum": 1}, "$")
    assert not ranges.possible("integer", {"minimum": 1.2, "maximum": 1.8}, "$")
    assert ranges.possible("number", {"minimum": 1.2, "maximum": 1.8}, "$")


@pytest.mark.parametrize("end", [True, "1", math.inf, None])
def test_an_end_that_is_no_number(end: Any) -> None:
    with pytest.raises(Unclear, match=r"\$\.minimum: it is no number"):
        ranges.beyond(False, {"minimum": end}, {"minimum": 1}, "$")
