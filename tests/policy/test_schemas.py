"""A schema is read with limits; references and joined parts become ways to be valid."""

from typing import Any

import pytest

from noded.policy.schemas import Meter, Side, Unclear, plain, read, step


def ways(schema: Any) -> Any:
    return Side(schema, Meter()).ways(schema, "$")


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        (True, [({},)]),
        (False, []),
        ({"title": "x"}, [({},)]),
        ({"type": "null", "description": "x"}, [({"type": "null"},)]),
        (
            {"minimum": 1, "$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}},
            [({"minimum": 1, "type": "integer"},)],
        ),
        (
            {"anyOf": [{"minimum": 1}, {"maximum": 2}], "type": "number"},
            [({"type": "number", "minimum": 1},), ({"type": "number", "maximum": 2},)],
        ),
        ({"allOf": [{"minimum": 1}, {"minimum": 2}]}, [({"minimum": 2},)]),
        # What the same word says twice is kept apart where no single value says both.
        ({"allOf": [{"pattern": "1"}, {"pattern": "2"}]}, [({"pattern": "1"}, {"pattern": "2"})]),
        ({"allOf": [{"type": "null"}, False]}, []),
        # additionalProperties is about the properties beside it, not about those of another part.
        (
            {"allOf": [{"properties": {"a": {}}}, {"additionalProperties": False}]},
            [({"properties": {"a": {}}}, {"additionalProperties": False})],
        ),
    ],
)
def test_ways_to_be_valid(schema: Any, found: Any) -> None:
    assert ways(schema) == found


def test_too_many_ways_are_not_followed() -> None:
    choice = {"anyOf": [{"minimum": n} for n in range(9)]}
    with pytest.raises(Unclear, match="more than 64 ways"):
        ways({"allOf": [choice, choice]})


def test_notes_go_and_properties_of_their_names_stay() -> None:
    schema = {
        "title": "t",
        "properties": {"title": {"description": "x", "type": "null"}},
        "$defs": {"default": {}},
    }
    assert plain(schema) == {"properties": {"title": {"type": "null"}}, "$defs": {"default": {}}}


@pytest.mark.parametrize("text", ["[]", "1", "null", "Infinity", '"a"', "{", "[" * 50_000])
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no JSON|Expecting|deep"):
        read(text)


def test_places_are_short_and_clear() -> None:
    assert step("$", "price") == "$.price"
    assert step("$", "unit price") == '$["unit price"]'
    assert len(step("$", "x" * 1000)) < 80
