"""Is what many measurements come to computed rightly, and is a missed target told?"""

import json
import random

import pytest

from tests.bench.figures import Target, conclude, percentile, spread


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.5, 7.0),
        ([7.0], 0.99, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([float(n) for n in range(1, 101)], 1.0, 100.0),
        ([float(n) for n in range(1, 201)], 0.99, 198.0),
        ([float(n) for n in range(1, 202)], 0.99, 199.0),
        ([float(n) for n in range(1, 31)], 0.99, 30.0),
        ([1.0, 1.0, 50.0], 0.67, 50.0),
    ],
)
def test_the_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_at_least_the_share_lies_at_or_below_and_it_is_the_least_such_value() -> None:
    dice = random.Random(5)
    for _ in range(300):
        values = [float(dice.randint(0, 20)) for _ in range(dice.randint(1, 60))]
        share = dice.randint(1, 100) / 100
        found = percentile(values, share)
        assert found in values
        below = [value for value in values if value < found]
        assert sum(value <= found for value in values) >= share * len(values) - 1e-9
        assert len(below) < share * len(values) - 1e-9 or not below


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1), ([1.0], -0.5)])
def test_what_cannot_be_told_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        percentile(values, share)


def test_both_are_told_to_a_tenth() -> None:
    assert spread([1.26, 2.24, 9.99]) == {"p50": 2.2, "p99": 10.0}


def test_the_report_is_the_last_line_and_all_targets_must_be_met(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = Target("one, ms", 10.0, 10.0), Target("another, ms", 10.01, 10.0)
    assert conclude({"a": 1}, (good,)) == 0
    assert conclude({"a": 2}, (good, bad), figure=False) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(lines[number]) for number in (1, 5)] == [{"a": 1}, {"a": 2}]
    assert "MISSED" in lines[3]
    assert "MISSED" not in lines[2]
    assert "no figure" in lines[4]
