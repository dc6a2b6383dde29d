"""What must hold for every clock?"""

from collections.abc import Callable

import pytest

from noded.adapters.boot_clock import BootClock
from noded.ports import Clock
from tests.fakes.clock import FakeClock


@pytest.mark.parametrize("make", [BootClock, FakeClock])
def test_it_never_goes_back(make: Callable[[], Clock]) -> None:
    clock = make()
    times = []
    for _ in range(1000):
        times.append(clock.now())
        if isinstance(clock, FakeClock):
            clock.advance(0.001)
    assert times == sorted(times)
    assert times[-1] > times[0]


def test_the_fake_refuses_to_go_back() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        FakeClock().advance(-1.0)
