"""How much memory does noded itself hold after a minute of work?"""

import time

import pytest

from tests.e2e.background import Quiet, Story
from tests.e2e.ground import wait_for

pytestmark = pytest.mark.e2e
A_MINUTE = 60.0
MOST = 60_000_000


def test_noded_stays_small(beside: dict[str, Story], figures: dict[str, str]) -> None:
    story = beside["memory"]
    assert isinstance(story, Quiet)
    story.ready()
    wait_for(lambda: time.monotonic() > story.began + A_MINUTE, "a minute of work", 90.0, 0.2)
    held = story.host.memory_of_noded()
    tally = story.traffic.tally()
    minutes = (time.monotonic() - story.began) / 60
    figures["noded"] = f"{held / 1e6:.1f} MB resident after {minutes:.1f} min with one node"
    assert (tally["failed"], story.traffic.faults()) == (0, [])
    assert tally["total"] > 1000
    assert held <= MOST, figures["noded"]
