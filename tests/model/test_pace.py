"""Is what a version did of late told, and what it did long ago forgotten?"""

import pytest

from noded.model.pace import SPAN, Pace
from noded.model.signals import Answers

EDGES = (0.001, 0.01, 0.1)


def answers(*within: int, total: int = 0, edges: tuple[float, ...] = EDGES) -> Answers:
    return Answers("catalog.1", total or within[-1], 0, edges, within)


def steady(rate: int, seconds: float, pace: Pace | None = None, begun: float = 100.0) -> Pace:
    pace = pace or Pace()
    for n in range(round(seconds * 5) + 1):
        pace = pace.adding(begun + n / 5, rate // 5 if n else 0)
    return pace


def test_nothing_was_told_yet() -> None:
    assert (Pace().rate(100.0), Pace().quantile(0.5)) == (0.0, 0.0)
    assert Pace().adding(100.0, 50).rate(100.5) == 0.0


@pytest.mark.parametrize("seconds", [1.0, 4.0, 5.0, 9.8, 60.0])
def test_a_steady_rate(seconds: float) -> None:
    assert steady(20, seconds).rate(100.0 + seconds) == pytest.approx(20, rel=0.05)


def test_a_rate_that_changes_is_known_after_two_spans() -> None:
    pace = steady(20, 60)
    pace = steady(100, 2 * SPAN + 1, pace, 160.2)
    assert pace.rate(160.2 + 2 * SPAN + 1) == pytest.approx(100, rel=0.05)
    assert len(pace.spans) == 2


def test_without_news_it_slows_down_and_long_ago_is_forgotten() -> None:
    pace = steady(20, 10)
    assert pace.rate(130.0) < 10
    assert pace.adding(200.0, 0).rate(203.0) == 0.0


def test_quantiles_lie_between_the_edges() -> None:
    pace = Pace().adding(100.0, 0, answers(0, 90, 100))
    assert pace.quantile(0.5) == pytest.approx(0.006)
    assert pace.quantile(0.9) == pytest.approx(0.01)
    assert pace.quantile(0.99) == pytest.approx(0.091)
    assert Pace().adding(100.0, 0, answers(100, 100, 100)).quantile(0.5) == pytest.approx(0.0005)


def test_what_took_longer_than_the_last_edge() -> None:
    assert Pace().adding(100.0, 0, answers(0, 0, 10, total=100)).quantile(0.5) == EDGES[-1]


def test_quantiles_are_of_the_last_two_spans() -> None:
    pace = Pace().adding(100.0, 0, answers(0, 100, 100)).adding(106.0, 0, answers(0, 0, 100))
    assert pace.quantile(0.5) == pytest.approx(0.01)
    assert pace.adding(112.0, 0, answers(0, 0, 1)).quantile(0.4) > 0.01


def test_other_edges_begin_anew() -> None:
    pace = Pace().adding(100.0, 5, answers(0, 100, 100)).adding(106.0, 5)
    other = pace.adding(107.0, 5, answers(10, 10, edges=(1.0, 2.0)))
    assert other.quantile(0.99) == pytest.approx(0.99)
    assert other.rate(107.0) == pytest.approx(10 / 7)


def test_a_program_that_tells_no_times() -> None:
    pace = Pace().adding(100.0, 5, Answers("catalog.1", 5))
    assert (pace.edges, pace.quantile(0.5)) == ((), 0.0)


def test_what_came_in_a_gap_is_spread_over_it() -> None:
    pace = steady(20, 8).adding(118.0, 200)
    assert pace.rate(118.0) == pytest.approx(20)
    assert steady(20, 6, pace, 118.2).rate(124.2) == pytest.approx(20, rel=0.1)
