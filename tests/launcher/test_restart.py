"""Do nodes live on when the launcher goes, and does the next launcher find them all?"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.lab import DEADLINE, MODES, Lab, alive, is_root, lab, until

CHATTER = "while :; do echo tick; sleep 0.02; done"


@pytest.fixture(params=MODES)
def room(request: pytest.FixtureRequest) -> Iterator[Lab]:
    yield from lab(cgroups=request.param)


@pytest.mark.parametrize("way", ["kill", "terminate"])
def test_nodes_go_on_and_are_found_again(room: Lab, way: str) -> None:
    client = room.client()
    orders = [room.order(f"stay{number}.{number}", "sh", "-c", CHATTER) for number in range(5)]
    started = {order["instance"]: client.do("start", **order) for order in orders}
    assert room.end(way) == (0 if way == "terminate" else -9)
    assert os.path.exists(room.socket) == (way == "kill")
    before = len(room.output("stay0.0"))
    until(lambda: len(room.output("stay0.0")) > before, "output while no launcher is there")
    client = room.start().client()
    found = {entry["instance"]: entry for entry in client.do("list")["instances"]}
    assert set(found) == set(started)
    for instance, first in started.items():
        entry = found[instance]
        assert {key: entry[key] for key in ("pid", "start_time", "uid", "cgroup")} == {
            key: first[key] for key in ("pid", "start_time", "uid", "cgroup")
        }
        assert (entry["running"], entry["exit"], entry["node"]) == (True, None, instance.partition(".")[0])
    kind, _ = client.refused("start", **orders[0])
    assert kind == "conflict"


def test_end_of_an_adopted_process_is_told_as_unknown(room: Lab) -> None:
    client = room.client()
    client.do("start", **room.order("stay.1", "sleep", "1000"))
    room.end()
    client = room.start().client()
    client.do("signal", instance="stay.1", signal="TERM")
    event = client.exited("stay.1")
    assert (event["code"], event["signal"], event["unknown"]) == (None, None, True)
    left = client.do("status", instance="stay.1")["exit"]
    assert left == {"code": None, "signal": None, "unknown": True, "oom": False}


def test_what_is_left_of_a_tree_is_found_and_killed(room: Lab) -> None:
    client = room.client()
    client.do("start", **room.order("left.1", "sh", "-c", "sleep 1000 & echo $!; wait"))
    inner = int(until(lambda: room.output("left.1"), "the inner pid"))
    main = client.do("status", instance="left.1")["pid"]
    room.end()
    os.kill(main, 9)
    until(lambda: not alive(main), "the main process to go")
    client = room.start().client()
    status = client.do("status", instance="left.1")
    assert (status["running"], status["processes"]) == (False, 1)
    assert status["exit"]["unknown"]
    client.do("kill", instance="left.1")
    assert not alive(inner)
    client.do("remove", instance="left.1")


def test_dynamic_users_are_remembered_from_the_processes(room: Lab) -> None:
    room.end()
    room.settings["dynamic"] = [64200, 64201]
    client = room.start().client()
    # Both uids are given to nodes that stay; names that hash to the same uid must not swap them later.
    uids = {
        node: client.do("start", **room.order(f"{node}.1", "sleep", "1000"))["uid"] for node in ("a", "b")
    }
    room.end()
    client = room.start().client()
    again = {
        node: client.do("start", **room.order(f"{node}.2", "sleep", "1000"))["uid"] for node in ("b", "a")
    }
    assert again == uids
    if is_root:
        assert len(set(uids.values())) == 2
        kind, text = client.refused("start", **room.order("c.1", "sleep", "1000"))
        assert (kind, "all 2 uids from 64200 to 64201 are in use" in text) == ("unavailable", True)


def test_one_socket_has_one_launcher(room: Lab) -> None:
    command = [*room.command, "--config", str(room.home / "launcher.toml")]
    second = subprocess.run(
        command, env=room.environment, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert second.returncode == 1
    assert second.stderr == f"another launcher serves {room.socket}\n"
    assert room.client().do("hello")


def test_launchers_side_by_side_leave_each_other_alone(room: Lab) -> None:
    client = room.client()
    client.do("start", **room.order("mine.1", "sleep", "1000"))
    other = Lab(cgroups=room.settings["cgroups"])
    try:
        neighbour = other.start().client()
        assert neighbour.do("list")["instances"] == []
        assert neighbour.refused("kill", instance="mine.1")[0] == "not_found"
        neighbour.do("start", **other.order("mine.1", "sleep", "1000"))
        neighbour.do("kill", instance="mine.1")
    finally:
        other.close()
    assert client.do("status", instance="mine.1")["running"]


def test_launcher_without_a_place_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    made = Lab()
    try:
        made.settings["run"] = str(tmp_path / "file/i")
        with pytest.raises(AssertionError, match="launcher cannot run: Not a directory"):
            made.start()
    finally:
        made.process = None
        made.close()


def test_nothing_stays_of_a_launcher_without_instances(room: Lab) -> None:
    client = room.client()
    client.do("start", **room.order("last.1", "true"))
    client.exited("last.1")
    client.do("remove", instance="last.1")
    assert bool(room.groups()) == (room.settings["cgroups"] != "none")
    assert room.end("terminate") == 0
    assert room.groups() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="dynamic users need root")
def test_a_stopped_nodes_uid_is_never_given_to_another(room: Lab) -> None:
    """Its data folder is its own: two uids, three names, and a launcher that remembers nothing."""
    room.end()
    room.settings["dynamic"] = [64200, 64201]
    first = room.start().client()
    owners = {}
    for node in ("alpha", "beta"):
        order = room.order(f"{node}.1", "/bin/sleep", "1000", data=True)
        owners[node] = first.do("start", **order)["uid"]
        first.do("kill", instance=f"{node}.1")
        first.do("remove", instance=f"{node}.1")
    room.end()
    again = room.start().client()
    kind, text = again.refused("start", **room.order("gamma.1", "/bin/sleep", "1000", data=True))
    assert (kind, "all 2 uids" in text) == ("unavailable", True)
    for node in ("beta", "alpha"):
        order = room.order(f"{node}.2", "/bin/sleep", "1000", data=True)
        assert again.do("start", **order)["uid"] == owners[node]
