"""Are the answers that an instance tells of taken whole, or not at all?"""

import pytest

from noded.model.signals import Answers
from tests.adapters.looped import looped
from tests.adapters.test_node_socket import INSTANCE, Place, heard, place

__all__ = ["place"]
"""A fixture is found by its name here."""
GOOD = {"total": 5, "bad": 1, "edges": [0.001, 0.1], "within": [2, 5]}


@looped
async def test_answers_are_taken_whole(place: Place) -> None:
    sockets, sdk = place.open()
    sdk.tell(kind="heartbeat", answers=GOOD)
    await heard(sockets, sdk)
    assert sockets.answers(INSTANCE) == Answers(INSTANCE, 5, 1, (0.001, 0.1), (2, 5))
    sdk.tell(kind="heartbeat", answers={"total": 7})
    await heard(sockets, sdk)
    assert sockets.answers(INSTANCE) == Answers(INSTANCE, 7)
    sdk.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": 4},
        {"total": -1, "within": [], "edges": []},
        {"total": 2**53},
        {"total": 5.5},
        {"total": "5"},
        {"total": None},
        {"total": True, "bad": 0, "edges": [], "within": []},
        {"edges": [True, 2]},
        {"bad": 6},
        {"bad": -1},
        {"bad": []},
        {"edges": [0.001]},
        {"edges": [0.1, 0.001]},
        {"edges": [0, 0.1]},
        {"edges": [0.1, float("inf")]},
        {"edges": [0.1, float("nan")]},
        {"edges": "ab"},
        {"edges": [[], {}]},
        {"edges": {"0": 1, "1": 2}},
        {"within": [3, 2]},
        {"within": [2, 6]},
        {"within": [-1, 2]},
        {"within": [2, 10**400]},
        {"within": [1.5, 2]},
        {"edges": list(range(1, 66)), "within": [0] * 65},
    ],
    ids=str,
)
@looped
async def test_answers_that_cannot_be_meant_change_nothing(place: Place, wrong: dict[str, object]) -> None:
    sockets, sdk = place.open()
    sdk.tell(kind="heartbeat", answers={"total": 3})
    sdk.tell(kind="heartbeat", answers={**GOOD, **wrong})
    await heard(sockets, sdk)
    assert sockets.answers(INSTANCE) == Answers(INSTANCE, 3)
    others: tuple[object, ...] = ([], "text", 7, None, {})
    for other in others:
        sdk.tell(kind="heartbeat", answers=other)
    await heard(sockets, sdk)
    assert sockets.answers(INSTANCE) == Answers(INSTANCE, 3)
    sdk.close()
