"""Are the figures of `make bench-mesh` what its rounds come to?"""

from dataclasses import replace

import pytest

from tests.bench.carried import Carried
from tests.bench.figures import Least, Target
from tests.bench.mesh_figures import KEYS, beyond, details, ratio, short, summed_up, targets
from tests.bench.mesh_memory import Memory

ROW = Carried(1000.0, 10.0, 4.0, 3.0, 3.0, 0, 0, 1.0, 2.0, 40.0)
MEMORY = Memory(41.0, 90.0, 1_000_000, 0)


def rows(**found: list[Carried]) -> dict[str, list[Carried]]:
    return found


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    # A slow third round of both must not change it.
    ours = [replace(ROW, evs=value) for value in (3000.0, 4000.0, 200.0)]
    theirs = [replace(ROW, evs=value) for value in (1000.0, 1000.0, 100.0)]
    assert ratio(rows(mesh=ours, jetstream=theirs), "mesh", "jetstream", lambda row: row.evs) == 3.0


def test_the_delay_is_held_against_the_same_round() -> None:
    found = rows(
        mesh_1k=[replace(ROW, p50_ms=value) for value in (2.0, 5.0, 1.0)],
        jetstream_1k=[replace(ROW, p50_ms=0.5)] * 3,
    )
    assert beyond(found, [1.0, 1.0, 1.0]) == 0.0
    assert beyond(found, [1.0, 4.0, 0.1]) == 0.0
    assert beyond(found, []) is None


def test_the_keys_are_those_that_were_asked_for() -> None:
    told = summed_up(rows(mesh=[ROW], jetstream=[replace(ROW, evs=50.0)]), [0.2], MEMORY)
    assert tuple(told) == KEYS
    assert told["ratio_jetstream"] == 20.0
    assert told["two_host_ratio_jetstream"] is None and told["ratio_redis"] is None
    assert told["lost"] == 0


def test_what_is_missing_anywhere_is_lost() -> None:
    found = rows(
        mesh=[ROW, replace(ROW, missing=2)],
        mesh_many=[replace(ROW, missing=3)],
        redis=[replace(ROW, missing=9)],
    )
    told = summed_up(found, [0.2], replace(MEMORY, missing=1))
    assert told["lost"] == 6
    assert [str(one) for one in targets(found, [0.2], told) if not one.met] != []


def test_only_what_was_measured_is_judged() -> None:
    found = rows(jetstream=[ROW])
    told = summed_up(found, [0.2], None)
    assert [one.what for one in targets(found, [0.2], told)] == ["acknowledged events lost"]
    assert "jetstream" in str(details(found)["rows"])


@pytest.mark.parametrize(
    ("value", "shown"), [(None, None), (3, 3), (1234.5, 1234), (12.345, 12.3), (0.01234, 0.0123)]
)
def test_three_digits_are_shown(value: float | None, shown: float | None) -> None:
    assert short(value) == shown


def test_at_least_is_the_other_way_round() -> None:
    assert Least("x", 15.0, 15.0).met and not Least("x", 14.9, 15.0).met
    assert "at least 15.00  MISSED" in str(Least("x", 14.9, 15.0))
    assert Target("x", 14.9, 15.0).met
