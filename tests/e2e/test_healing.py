"""Is memory that grows without end found, and is done about it what the node allows and nothing else?

Judges a host that has been running since the first end-to-end test: see background.py.
"""

import os
import signal
import time
from typing import Any

import pytest

from tests.e2e.background import Leaks, Story
from tests.e2e.follow import Follower, Node, stable, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host

pytestmark = pytest.mark.e2e
FOUND_WITHIN = 120.0
"""Seconds after the beginning; 36 on a machine that has nothing else to do."""


@pytest.fixture(scope="module")
def leaks(beside: dict[str, Story]) -> Leaks:
    story = beside["healing"]
    assert isinstance(story, Leaks)
    story.ready()
    return story


@pytest.fixture(scope="module")
def host(leaks: Leaks) -> Host:
    return leaks.host


@pytest.fixture(scope="module")
def follower(leaks: Leaks) -> Follower:
    assert leaks.follower is not None
    return leaks.follower


def left(leaks: Leaks, seconds: float) -> float:
    """Of the time a story has since its beginning; at least a little."""
    return max(20.0, leaks.began + seconds - time.monotonic())


def incident(node: Node) -> dict[str, Any]:
    return node.get("incident") or (node.get("past_incidents") or [{}])[0]


def rungs(node: Node) -> list[tuple[str, str]]:
    return [(rung["rung"], rung["verdict"]) for rung in incident(node).get("rungs", ())]


def test_advice_is_all_that_a_node_gets_by_default(leaks: Leaks, host: Host, follower: Follower) -> None:
    node = follower.until(
        "advises",
        lambda n: incident(n).get("state") == "needs a person",
        "the end of the advice",
        left(leaks, FOUND_WITHIN),
    )
    assert rungs(node) == [
        ("collect", "advised"),
        ("shrink", "advised"),
        ("replace", "advised"),
        ("regenerate", "skipped"),
    ]
    assert "no step is left" in incident(node)["outcome"]
    story = host.nodectl("explain", "advises").stdout
    for order in ("CollectGarbage", "ShrinkCaches", "Regenerate "):
        assert order not in story
    page = host.nodectl("incidents", "advises", incident(node)["id"]).stdout
    assert "nodectl restart advises" in page


def test_evidence_names_the_line_that_leaks(leaks: Leaks, follower: Follower) -> None:
    node = follower.until(
        "advises", lambda n: incident(n).get("sites"), "evidence", left(leaks, FOUND_WITHIN)
    )
    first = incident(node)["sites"][0]
    assert (first["file"], first["function"]) == ("main.py", "page")


def test_a_step_waits_for_approval_and_goes_on_with_it(leaks: Leaks, host: Host, follower: Follower) -> None:
    leaks.reaches("the approval", lambda: leaks.approved, left(leaks, FOUND_WITHIN))
    assert rungs(leaks.waiting) == []
    assert incident(leaks.waiting)["outcome"] == "collect waits for approval"
    assert "CollectGarbage" not in leaks.told_before
    assert "approved: collect" in leaks.approved
    wait_for(lambda: "CollectGarbage" in host.nodectl("explain", "approves").stdout, "the step", 20)
    none = host.nodectl("incidents", "approve", "advises", check=False)
    assert (none.returncode, "nothing of advises waits for approval" in none.stderr) == (1, True)


def test_a_paused_node_is_not_healed_and_still_restarted(
    leaks: Leaks, host: Host, follower: Follower
) -> None:
    follower.until("advises", incident, "what its brother shows", left(leaks, FOUND_WITHIN))
    node = follower.now("rests")
    victim = stable(follower.until("rests", lambda n: stable(n) and whole()(n), "its instance"))[0]
    os.kill(victim["pid"], signal.SIGKILL)
    node = follower.until("rests", lambda n: n["restarts"] > node["restarts"] and whole()(n), "a restart", 60)
    assert victim["id"] not in [one["id"] for one in node["instances"]]
    assert (rungs(node), node["paused"]) == ([], True)
    story = host.nodectl("explain", "rests").stdout
    for order in ("BeginProfile", "CollectGarbage", "ShrinkCaches", "Regenerate "):
        assert order not in story
    assert "paused" in host.nodectl("status", "rests").stdout


def test_what_eats_its_limit_is_said_to_be_out_of_memory(
    leaks: Leaks, host: Host, follower: Follower
) -> None:
    if follower.host_state()["degraded"]:
        pytest.skip("no memory limit without control groups")
    node = follower.until("advises", lambda n: n["restarts"] > 0, "the limit", left(leaks, 200.0))
    assert node["restarts"] > 0
    assert "advises.1 exited: out of memory" in host.nodectl("explain", "advises").stdout


def test_a_smaller_cache_holds_and_the_incident_is_resolved_by_it(
    leaks: Leaks, host: Host, follower: Follower
) -> None:
    node = follower.until(
        "shrinks", lambda n: ("shrink", "held") in rungs(n), "a shrink that holds", left(leaks, 150.0)
    )
    assert rungs(node)[0] == ("collect", "did not hold")
    node = follower.until(
        "shrinks", lambda n: n.get("past_incidents"), "the end of the incident", left(leaks, 330.0)
    )
    closed = node["past_incidents"][0]
    assert closed["state"] == "resolved"
    assert closed["outcome"].startswith("shrink held: ")
    shrink = closed["rungs"][-1]
    assert (shrink["rung"], shrink["verdict"], shrink["freed"] > 10_000_000) == ("shrink", "held", True)
    assert node["restarts"] == 0
    assert stable(node)[0]["memory"] < 256 * 1024 * 1024
