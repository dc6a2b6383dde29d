"""Is every order obeyed as the wire says, and every bad one refused with what was expected?"""

import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nodekit.caches import Cache, Caches
from nodekit.orders import Orders, Refused
from nodekit.profile import Profile


class Desk:
    def __init__(self, release: Path) -> None:
        self.caches, self.activated = Caches(), 0
        self.cache: Cache[int, str] = Cache(limit=1000)
        self.caches.add("pages", self.cache)
        self.orders = Orders(
            self.caches, Profile(str(release)), self.now, self.activate, lambda: {"node": "x"}
        )

    def now(self, call: Callable[[], object]) -> object:
        return call()

    def activate(self) -> None:
        self.activated += 1

    def obey(self, **order: object) -> Mapping[str, Any]:
        return self.orders.obey(order)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield Desk(tmp_path)
    tracemalloc.stop()


def test_collect(desk: Desk) -> None:
    assert desk.obey(do="collect").keys() == {"before", "after", "objects", "seconds"}


def test_shrink_and_restore(desk: Desk) -> None:
    for number in range(100):
        desk.cache[number] = "x"
    shrunk = desk.obey(do="shrink", fraction=0.2)
    assert shrunk.keys() == {"before", "after", "caches"}
    assert shrunk["caches"] == [{"name": "pages", "before": 100, "after": 20}]
    restored = desk.obey(do="restore")
    assert restored["caches"] == [{"name": "pages", "before": 20, "after": 20}]
    assert desk.cache.limit == 1000


def test_shrink_halves_when_nothing_else_is_said(desk: Desk) -> None:
    desk.cache.update({1: "a", 2: "b"})
    assert desk.obey(do="shrink")["caches"][0]["after"] == 1


def test_profile(desk: Desk) -> None:
    assert desk.obey(do="profile_start", frames=1) == {}
    kept = ["x" * 100 + str(number) for number in range(1000)]
    found = desk.obey(do="profile_stop", top=3)
    assert found["sites"][0]["bytes"] > 100_000
    assert found["sites"][0]["function"] == "test_profile"
    assert len(kept) == 1000


def test_profile_out_of_turn(desk: Desk) -> None:
    with pytest.raises(Refused, match="no profile is running"):
        desk.obey(do="profile_stop")
    desk.obey(do="profile_start")
    with pytest.raises(Refused, match="already running"):
        desk.obey(do="profile_start")


def test_activate_and_describe(desk: Desk) -> None:
    assert desk.obey(do="activate") == {}
    assert desk.activated == 1
    assert desk.obey(do="describe") == {"node": "x"}


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({"do": "dance"}, "do: 'dance' is not an order"),
        ({}, "do: 'None' is not an order"),
        ({"do": ["collect"]}, "is not an order"),
        ({"do": "shrink", "fraction": 2}, "fraction: expected a number from 0 to 1, got '2'"),
        ({"do": "shrink", "fraction": -0.1}, "fraction"),
        ({"do": "shrink", "fraction": float("nan")}, "fraction"),
        ({"do": "shrink", "fraction": True}, "fraction"),
        ({"do": "shrink", "fraction": "half"}, "fraction"),
        ({"do": "profile_start", "frames": 0}, "frames: expected a whole number from 1 to 25, got '0'"),
        ({"do": "profile_start", "frames": 26}, "frames"),
        ({"do": "profile_start", "frames": 1.5}, "frames"),
        ({"do": "profile_stop", "top": "all"}, "top: expected a whole number from 1 to 100"),
    ],
)
def test_bad_orders(desk: Desk, order: dict[str, object], text: str) -> None:
    with pytest.raises(Refused, match=text):
        desk.orders.obey(order)
    assert not desk.orders.profile.running
