"""Endless growth is found in time; what settles is never found."""

from noded.model.trend import Trend
from noded.policy.trend import settle, slope_over, step

MB = 1_000_000


def test_a_steady_leak_is_found_and_a_constant_never() -> None:
    leaking, constant, found = Trend(), Trend(), None
    for second in range(120):
        leaking, growth = step(leaking, float(second), 35 * MB + second * MB, 268 * MB)
        found = found or growth
        constant, nothing = step(constant, float(second), 35 * MB, 268 * MB)
        assert nothing is None
    assert found is not None
    assert abs(found.slope - MB) < 1.0
    assert slope_over(leaking, 30.0) == MB
    assert settle(MB, leaking, 60.0) == "resumes"
    assert settle(MB, constant, 60.0) == "holds"
