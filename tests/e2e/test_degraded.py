"""What works for a user without rights, and is what does not work told?

Judges a story that began with the first end-to-end test.
"""

import json
from typing import Any

import pytest

from tests.e2e.background import Story
from tests.e2e.rightless import LONGEST, Rightless

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def found(beside: dict[str, Story]) -> dict[str, Any]:
    story = beside["degraded"]
    assert isinstance(story, Rightless)
    story.ends(LONGEST + 30.0)
    told: dict[str, Any] = json.loads(story.printed)
    assert told["uid"] == story.uid
    return told


def test_nodes_are_served_restarted_adopted_and_rolled_out(found: dict[str, Any]) -> None:
    assert "web 1.0.0 runs" in found["applied"]
    assert found["uids"] == [found["uid"]]
    assert (found["failed"], found["adopted"], found["version"], found["left"]) == (0, True, "1.1.0", [])
    assert found["total"] > 20
    assert found["memory"] > 1_000_000, "memory is read without control groups too"


def test_status_names_what_is_lacking(found: dict[str, Any]) -> None:
    assert any("not root" in text for text in found["degraded"])
    assert any("cgroup" in text for text in found["degraded"])
    (line,) = (line for line in found["status"].splitlines() if line.startswith("this host: "))
    for text in found["degraded"]:
        assert text.partition(":")[0] in line


def test_a_node_that_wants_another_user_is_told_why_it_cannot_run(found: dict[str, Any]) -> None:
    assert "nobody" in found["other_user"]
