"""Is a rollout safe while noded is dead? Judges a story that began with the first end-to-end test."""

import pytest

from tests.e2e.background import Story
from tests.e2e.orphans import Orphans

pytestmark = pytest.mark.e2e
LEASE = 15.0
"""Seconds after which a canary nobody renews has no share: 14, and what the last word takes."""
FUSE = 3
ENOUGH = 12
"""At half of the traffic ten failures speak against the canary (docs/guides/how-rollouts-decide.md): noded
puts the fuse back until there are so many."""


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
    assert while_dead == FUSE, "what may not be asked again"
    assert at_the_end <= ENOUGH
    assert orphans.fused["phase"] == "rolled back"
    assert orphans.fused["reason"].startswith("the canary is worse")


def test_nothing_else_was_lost_and_the_rollout_went_on(orphans: Orphans) -> None:
    assert (orphans.failed, orphans.faults) == (0, ())
    assert orphans.lived_on
    assert (orphans.leased["phase"], orphans.leased["to_version"]) == ("promoted", "1.1.0")
