"""Can a tree be made to stand still and go on, and is what forks without end killed on every kind of host?"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.lab import MODES, PYTHON, Client, Lab, alive, lab, until

NUMBERS = itertools.count(1)
CHATTER = "while :; do echo tick; sleep 0.01; done"
# What is killed one by one is outrun. Those that have ended count until somebody waits for them, so there may
# be no room for the next for a moment. It stops by itself.
BOMB = """
import os, time
end = time.monotonic() + 20
while time.monotonic() < end:
    try:
        if os.fork():
            os._exit(0)
    except OSError:
        time.sleep(0.001)
"""
FREEZING = [mode for mode in MODES if mode != "none"]


@pytest.fixture(scope="module", params=MODES)
def room(request: pytest.FixtureRequest) -> Iterator[Lab]:
    yield from lab(cgroups=request.param)


@pytest.fixture
def client(room: Lab) -> Iterator[Client]:
    made = room.client()
    yield made
    made.close()


def fresh() -> str:
    return f"frozen.{next(NUMBERS)}"


def test_a_frozen_tree_stands_still_until_it_is_thawed(room: Lab, client: Client) -> None:
    instance = fresh()
    client.do("start", **room.order(instance, "sh", "-c", f"({CHATTER}) & {CHATTER}"))
    until(lambda: room.output(instance), "output")
    if room.settings["cgroups"] == "none":
        assert client.refused("freeze", instance=instance) == (
            "refused",
            f"cannot freeze {instance}: there is no control group that can be frozen (none)",
        )
        return
    for _ in range(2):
        assert client.do("freeze", instance=instance) == {"frozen": True}
    before = room.output(instance)
    status = client.do("status", instance=instance)
    assert status["running"]
    # Both shells; each may stand between two of its sleeps.
    assert len(status["states"]) == status["processes"] >= 2
    for _ in range(2):
        assert room.output(instance) == before
        assert client.do("thaw", instance=instance) == {"frozen": False}
        until(lambda known=before: room.output(instance) != known, "output again")
        client.do("freeze", instance=instance)
        before = room.output(instance)


def test_one_that_forks_all_the_time_is_frozen_whenever_it_is_wanted(room: Lab, client: Client) -> None:
    """On v1 a shell in the middle of vfork(2) was missed once in fifty times, and never came to stand."""
    if room.settings["cgroups"] == "none":
        pytest.skip("nothing can be frozen")
    instance = fresh()
    client.do("start", **room.order(instance, "sh", "-c", f"({CHATTER}) & ({CHATTER}) & {CHATTER}"))
    until(lambda: room.output(instance), "output")
    for _ in range(100):
        assert client.do("freeze", instance=instance) == {"frozen": True}
        assert client.do("thaw", instance=instance) == {"frozen": False}


def test_a_frozen_tree_can_be_killed(room: Lab, client: Client) -> None:
    if room.settings["cgroups"] == "none":
        pytest.skip("nothing can be frozen")
    instance = fresh()
    pid = client.do("start", **room.order(instance, "sh", "-c", "sleep 1000 & sleep 1000"))["pid"]
    until(lambda: client.do("status", instance=instance)["processes"] >= 2, "the tree")
    client.do("freeze", instance=instance)
    assert client.do("kill", instance=instance)["processes"] == 0
    assert not alive(pid)
    client.do("start", **room.order(instance, "true"))
    assert client.exited(instance)["signal"] == 9
    assert client.exited(instance)["code"] == 0


@pytest.mark.parametrize("op", ["freeze", "thaw"])
def test_what_is_not_there_cannot_be_frozen(room: Lab, client: Client, op: str) -> None:
    assert client.refused(op, instance="frozen.99999")[0] == "not_found"
    assert "instance: missing" in client.refused(op)[1]


def test_what_has_ended_is_frozen_at_once(room: Lab, client: Client) -> None:
    if room.settings["cgroups"] == "none":
        pytest.skip("nothing can be frozen")
    instance = fresh()
    client.do("start", **room.order(instance, "true"))
    client.exited(instance)
    assert client.do("freeze", instance=instance) == {"frozen": True}
    assert client.do("thaw", instance=instance) == {"frozen": False}


def test_what_always_has_a_new_pid_is_killed(room: Lab, client: Client) -> None:
    """Each process lives for less than it takes to look at it."""
    if room.settings["cgroups"] == "none":
        pytest.skip("nothing but a group can hold it")
    instance = fresh()
    result = client.do("start", **room.order(instance, PYTHON, "-SIEc", BOMB, limits={"pids": 50}))
    client.exited(instance)
    group = Path(next(place for place in result["cgroup"].values() if place), "cgroup.procs")
    for _ in range(3):
        seen = group.read_text()
        until(lambda seen=seen: group.read_text() != seen, "another process")
    assert client.do("kill", instance=instance, timeout=10)["processes"] == 0
    assert group.read_text() == ""
    client.do("remove", instance=instance)


def test_a_group_that_was_taken_away(room: Lab, client: Client) -> None:
    if room.settings["cgroups"] == "none":
        pytest.skip("there are no groups")
    instance = fresh()
    groups = client.do("start", **room.order(instance, "true"))["cgroup"]
    client.exited(instance)
    for place in set(groups.values()) - {""}:
        os.rmdir(place)
    kind, text = client.refused("freeze", instance=instance)
    assert kind in ("unavailable", "refused")
    assert instance in text
    assert client.do("kill", instance=instance)["processes"] == 0
    client.do("start", **room.order(instance, "true"))
    client.exited(instance)


def test_a_subtree_that_was_taken_away_is_made_again(room: Lab) -> None:
    if room.settings["cgroups"] == "none":
        pytest.skip("there are no groups")
    made = Lab(cgroups=room.settings["cgroups"])
    try:
        client = made.start().client()
        for root in made.groups():
            root.rmdir()
        client.do("start", **made.order("again.1", "true", limits={"memory": 64 << 20}))
        assert client.exited("again.1")["code"] == 0
    finally:
        made.close()
