"""What can a launcher do that is not root? Everything for its own user, and it says what it cannot."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.lab import NOBODY, Client, Lab, alive, is_root, lab, until

DAEMON = (
    "setsid sh -c 'sleep 1000 & echo $! >>{path}; wait' & setsid sh -c 'sleep 1000 & echo $! >>{path}' & wait"
)


@pytest.fixture(scope="module")
def room() -> Iterator[Lab]:
    yield from lab(uid=NOBODY if is_root else None, group=0, peers=[os.geteuid()])


@pytest.fixture
def client(room: Lab) -> Iterator[Client]:
    made = room.client()
    yield made
    made.close()


def own(room: Lab) -> int:
    return os.geteuid() if room.uid is None else room.uid


def test_it_says_what_it_cannot(room: Lab, client: Client) -> None:
    told = client.do("hello")
    assert told["uid"] == own(room)
    notes = "\n".join(told["degraded"])
    assert f"users: not root, every node runs as uid {own(room)}" in notes
    if is_root:
        assert "group 0: not a member" in notes
        assert told["cgroups"] == "none"
        assert "memory limits: " in notes
        assert "Permission denied" in notes
        assert "no limits, no whole-tree kill: no cgroup can be used" in notes
    assert all(f"degraded: {note}" in room.log for note in told["degraded"])


def test_dynamic_means_its_own_user(room: Lab, client: Client) -> None:
    order = room.order("own.1", "sleep", "1000", data=True, limits={"memory": 1 << 30, "pids": 9})
    result = client.do("start", **order)
    assert result["uid"] == own(room)
    assert Path(f"/proc/{result['pid']}").stat().st_uid == own(room)
    assert os.stat(result["run"]).st_mode & 0o7777 == 0o2770
    assert os.stat(room.home / "data/own").st_uid == own(room)
    if is_root:
        assert result["degraded"] == [
            "memory limit not applied: no memory controller (none)",
            "pids limit not applied: no pids controller (none)",
        ]
        assert set(result["cgroup"].values()) == {""}


@pytest.mark.parametrize("user", ["root", "0", "daemon", "1"])
def test_other_users_are_refused(room: Lab, client: Client, user: str) -> None:
    kind, text = client.refused("start", **room.order("other.1", "sleep", "1", user=user))
    assert kind == "refused"
    assert "never run as root" in text or "the launcher is not root" in text


def test_own_user_by_number(room: Lab, client: Client) -> None:
    result = client.do("start", **room.order("number.1", "sleep", "1000", user=str(own(room))))
    assert result["uid"] == own(room)


def test_tree_is_found_by_its_mark_and_killed(room: Lab, client: Client) -> None:
    path = room.home / "i/tree.1/pids"
    client.do("start", **room.order("tree.1", "sh", "-c", DAEMON.format(path=path)))
    until(lambda: path.exists() and len(path.read_text().split()) == 2, "both daemons")
    pids = [int(word) for word in path.read_text().split()]
    room.end()
    again = room.start().client()
    assert again.do("status", instance="tree.1")["running"]
    again.do("kill", instance="tree.1")
    assert not any(alive(pid) for pid in pids)
    again.do("remove", instance="tree.1")
