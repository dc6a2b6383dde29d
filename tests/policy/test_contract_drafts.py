"""Which words count depends on the draft that a schema names, and on where its references lead."""

import json
from typing import Any

import pytest

from noded.policy.contracts import Answer, compare
from tests.policy.test_contracts import BREAKS, UNKNOWN, compared, of

OLD = "http://json-schema.org/draft-07/schema#"


def test_what_stands_beside_a_reference_counts_since_2019_only() -> None:
    part = {"$ref": "#/$defs/x", "minimum": 3, "$defs": {"x": {"type": "integer"}}}
    wanted = {"type": "integer", "minimum": 1}
    assert compared(part, wanted) == ()
    assert compared(part | {"$schema": "https://json-schema.org/draft/2019-09/schema"}, wanted) == ()
    # All that the old one says is that it is an integer.
    assert of(compared(part | {"$schema": OLD}, wanted)) == [(BREAKS, "$", "may be less than 1")]
    assert compared({"type": "integer"}, part | {"$schema": OLD}) == ()
    assert [f.answer for f in compared({"type": "integer"}, part)] == [BREAKS]


def test_the_same_words_in_another_draft_are_compared_as_what_they_mean() -> None:
    part = {"$ref": "#/$defs/x", "minimum": 3, "$defs": {"x": {"type": "integer"}}}
    assert compared(part | {"$schema": OLD}, part) != () == compared(part, part | {"$schema": OLD})


@pytest.mark.parametrize("draft", ["http://json-schema.org/draft-04/schema#", "urn:own", 7, None])
def test_a_draft_that_is_not_known_is_for_a_person(draft: Any) -> None:
    for pair in (({"$schema": draft}, {"type": "null"}), ({"type": "null"}, {"$schema": draft})):
        assert [(f.answer, f.path) for f in compared(*pair)] == [(UNKNOWN, "$.$schema")]


def test_what_differs_in_an_inner_id_alone_is_not_the_same() -> None:
    def one(name: str) -> Any:
        return {"$defs": {"x": {"$id": f"http://{name}/", "$ref": "y"}}, "$ref": "#/$defs/x"}

    assert [f.answer for f in compared(one("a"), one("b"))] == [UNKNOWN]
    assert compared(one("a"), {"title": "the same"} | one("a")) == ()


def test_a_part_with_an_id_of_its_own_is_unknown() -> None:
    """Its references lead elsewhere than those around it."""
    inner = {"$id": "http://shop/price", "$defs": {"y": {"type": "integer"}}, "$ref": "#/$defs/y"}
    producer = {"$defs": {"x": inner, "y": {"type": "string"}}, "$ref": "#/$defs/x"}
    found = compare(json.dumps(producer), json.dumps({"type": "string"}))
    assert [f.answer for f in found] == [Answer.UNKNOWN]
    assert compare(json.dumps({"$id": "http://shop/a", "type": "string"}), '{"type": "string"}') == ()
