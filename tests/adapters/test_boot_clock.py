"""Does time begin where it should?"""

import time

from noded.adapters.boot_clock import BootClock


def test_it_begins_at_the_wall_clock() -> None:
    assert abs(BootClock().now() - time.time()) < 1.0


def test_a_wall_clock_that_was_set_back_does_not_turn_time_back() -> None:
    ahead = time.time() + 3600
    clock = BootClock(ahead)
    assert ahead <= clock.now() < ahead + 1.0


def test_a_floor_in_the_past_changes_nothing() -> None:
    assert abs(BootClock(5.0).now() - time.time()) < 1.0
