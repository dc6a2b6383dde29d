"""Is a rollout safe while noded is dead? Judges a story that began with the first end-to-end test."""

import pytest

from tests.e2e.background import Story
from tests.e2e.orphans import Orphans

pytestmark = pytest.mark.e2e
LEASE = 16.0
"""Seconds after which a canary nobody renews has no share: 15, and up to one for whole seconds."""
MOST_USER_ERRORS = 6


@pytest.fixture(scope="module")
def orphans(beside: dict[str, Story]) -> Orphans:
    story = beside["orphans"]
    assert isinstance(story, Orphans)
    story.ends(200.0)
    return story


def test_a_share_that_nobody_renews_ends(orphans: Orphans, figures: dict[str, str]) -> None:
    figures["share"] = f"ended {orphans.expired_after:.1f} s after noded died, at most {LEASE:.0f} wanted"
    assert 0 < orphans.expired_after <= LEASE


def test_the_proxy_cuts_a_canary_that_fails(orphans: Orphans) -> None:
    while_dead, at_the_end = orphans.errors
    assert 1 <= while_dead <= MOST_USER_ERRORS
    assert at_the_end == while_dead, "nobody was sent to it again"
    assert orphans.fused["phase"] == "rolled back"
    assert "failed requests" in orphans.fused["reason"]


def test_nothing_else_was_lost_and_the_rollout_went_on(orphans: Orphans) -> None:
    assert (orphans.failed, orphans.faults) == (0, ())
    assert orphans.lived_on
    assert (orphans.leased["phase"], orphans.leased["to_version"]) == ("promoted", "1.1.0")
