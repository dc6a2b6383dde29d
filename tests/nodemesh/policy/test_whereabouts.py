"""Is it told rightly where an event is?"""

import pytest

from nodemesh.model.cursor import Cursor, Trial
from nodemesh.model.delivery import Held, Sending, Session
from nodemesh.model.frame import Address
from nodemesh.policy.whereabouts import Place, State, Whereabouts

CURSOR = Cursor(
    floor=5,
    open={5: 0b101, 9: 0b1},
    trials={Address(9, 0): Trial(2, 7.5, "boom"), Address(12, 1): Trial(1, 8.0, "late")},
    settled=((6, 8), (11, 11)),
)
SESSION = Session("b.1", "1", {}, 10)
SESSION.held[1] = Held(Sending(1, 12, (0, 1, 2), 1, 1), failed={2})


@pytest.mark.parametrize(
    ("position", "place", "wanted"),
    [
        (1, 0, Place(State.HANDLED)),
        (4, 7, Place(State.HANDLED)),
        (5, 0, Place(State.WAITING)),
        (5, 1, Place(State.HANDLED)),
        (5, 2, Place(State.WAITING)),
        (6, 0, Place(State.HANDLED)),
        (8, 3, Place(State.HANDLED)),
        (9, 0, Place(State.RETRYING, 2, 7.5, "boom")),
        (10, 0, Place(State.WAITING)),
        (11, 0, Place(State.HANDLED)),
        (12, 0, Place(State.IN_HAND, 1, instance="b.1")),
        (12, 1, Place(State.IN_HAND, 1, reason="late", instance="b.1")),
        (12, 2, Place(State.WAITING)),
        (99, 0, Place(State.WAITING)),
    ],
)
def test_an_event_is_where_delivery_has_it(position: int, place: int, wanted: Place) -> None:
    assert Whereabouts(CURSOR, [SESSION]).of(Address(position, place)) == wanted
