"""How do processes end, how is a whole tree ended, and what is known afterwards? In every mode of groups."""

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.lab import DEADLINE, MODES, PYTHON, Client, Lab, alive, lab, until

NUMBERS = itertools.count(1)
# A daemon of the old kind: a session of its own, the parent gone, the terminal's signals out of reach.
DAEMON = "setsid sh -c 'sleep 1000 & echo $! >&3; sleep 1000 & echo $! >&3' 3>{path} & sleep 1000"
# It also loses its environment, so that only groups or its session can tell whose it is.
BARE = "env -i sleep 1000 & echo $! >{path}; wait"


def fresh() -> str:
    return f"ender.{next(NUMBERS)}"


@pytest.fixture(scope="module", params=MODES)
def room(request: pytest.FixtureRequest) -> Iterator[Lab]:
    yield from lab(cgroups=request.param)


@pytest.fixture
def client(room: Lab) -> Iterator[Client]:
    made = room.client()
    yield made
    made.close()


def pids_of(path: Path, count: int) -> list[int]:
    until(lambda: path.exists() and len(path.read_text().split()) == count, f"{count} pids in {path}")
    return [int(word) for word in path.read_text().split()]


def test_mode_is_the_wanted_one(room: Lab, client: Client) -> None:
    told = client.do("hello")
    assert told["version"] == 1
    assert told["uid"] == os.geteuid()
    assert told["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert told["cgroups"] == room.settings["cgroups"]
    assert {"start", "run", "freeze", "thaw", "unlisten"} <= set(told["orders"])
    assert bool(told["degraded"]) == (room.settings["cgroups"] == "none")


@pytest.mark.parametrize(
    ("script", "code", "number"), [("exit 3", 3, None), ("true", 0, None), ("kill -9 $$", None, 9)]
)
def test_exit_is_told_and_kept(
    room: Lab, client: Client, script: str, code: int | None, number: int | None
) -> None:
    instance = fresh()
    listener = room.client()
    pid = client.do("start", **room.order(instance, "sh", "-c", script))["pid"]
    told = {
        "instance": instance,
        "pid": pid,
        "code": code,
        "signal": number,
        "unknown": False,
        "oom": False,
        "oom_kills": 0,
    }
    assert client.exited(instance) == {"event": "exited", **told}
    assert listener.exited(instance) == {"event": "exited", **told}
    status = client.do("status", instance=instance)
    assert status["exit"] == {"code": code, "signal": number, "unknown": False, "oom": False}
    assert (status["running"], status["processes"]) == (False, 0)


def test_signal_reaches_the_main_process(room: Lab, client: Client) -> None:
    instance = fresh()
    script = "trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    client.do("start", **room.order(instance, "sh", "-c", script))
    until(lambda: "ready" in room.output(instance), "the trap")
    client.do("signal", instance=instance, signal="TERM")
    assert client.exited(instance)["code"] == 7
    kind, text = client.refused("signal", instance=instance, signal="TERM")
    assert (kind, text) == ("conflict", f"cannot signal {instance}: it is not running")


def test_whole_tree_is_killed(room: Lab, client: Client) -> None:
    instance = fresh()
    path = Path(client.do("start", **room.order(instance, "true"))["run"]) / "pids"
    client.exited(instance)
    client.do("start", **room.order(instance, "sh", "-c", DAEMON.format(path=path)))
    inner = pids_of(path, 2)
    assert client.do("status", instance=instance)["processes"] >= 4
    assert client.do("kill", instance=instance, timeout=5)["processes"] == 0
    assert not any(alive(pid) for pid in inner)
    assert client.exited(instance)["signal"] == 9


def test_tree_outlives_its_main_process_and_is_killed_then(room: Lab, client: Client) -> None:
    instance = fresh()
    client.do("start", **room.order(instance, "sh", "-c", "sleep 1000 & exit 0"))
    assert client.exited(instance)["code"] == 0
    status = client.do("status", instance=instance)
    assert (status["running"], status["processes"]) == (False, 1)
    assert client.refused("start", **room.order(instance, "true"))[0] == "conflict"
    assert client.refused("remove", instance=instance)[0] == "conflict"
    assert client.do("kill", instance=instance)["processes"] == 0
    client.do("start", **room.order(instance, "true"))


def test_child_without_environment_is_killed_too(room: Lab, client: Client) -> None:
    instance = fresh()
    path = room.home / "i" / instance / "pid"
    client.do("start", **room.order(instance, "sh", "-c", BARE.format(path=path)))
    (inner,) = pids_of(path, 1)
    client.do("kill", instance=instance)
    assert not alive(inner)


def test_kill_of_what_has_ended_is_no_mistake(room: Lab, client: Client) -> None:
    instance = fresh()
    client.do("start", **room.order(instance, "true"))
    client.exited(instance)
    assert client.do("kill", instance=instance)["exit"]["code"] == 0


def test_stopped_processes_can_be_killed(room: Lab, client: Client) -> None:
    instance = fresh()
    pid = client.do("start", **room.order(instance, "sleep", "1000"))["pid"]
    client.do("signal", instance=instance, signal="STOP")
    until(lambda: ") T " in Path(f"/proc/{pid}/stat").read_text(), "the process to stop")
    client.do("kill", instance=instance)
    assert not alive(pid)


def test_kill_without_time_names_who_is_left(room: Lab, client: Client) -> None:
    instance = fresh()
    pid = client.do("start", **room.order(instance, "sleep", "1000"))["pid"]
    kind, text = client.refused("kill", instance=instance, timeout=0)
    assert kind == "timed_out"
    assert f"after 0 s there still live pids {pid}" in text
    client.exited(instance)


def test_removed_leaves_nothing(room: Lab, client: Client) -> None:
    instance = fresh()
    result = client.do("start", **room.order(instance, "sleep", "1000"))
    (Path(result["run"]) / "http.sock").touch()
    (Path(result["run"]) / "inner/deep").mkdir(parents=True)
    assert client.refused("remove", instance=instance)[0] == "conflict"
    client.do("kill", instance=instance)
    client.do("remove", instance=instance)
    assert not os.path.exists(result["run"])
    assert not any(path and os.path.exists(path) for path in result["cgroup"].values())
    assert os.path.exists(result["log"])
    for op in ("status", "remove", "inspect", "kill"):
        assert client.refused(op, instance=instance) == (
            "not_found",
            f"cannot {op} {instance}: no instance {instance} is known here",
        )


def test_traces_of_an_unknown_instance_can_be_removed(room: Lab, client: Client) -> None:
    (room.home / "i/stranger.1").mkdir()
    client.do("remove", instance="stranger.1")
    assert not (room.home / "i/stranger.1").exists()


def test_inspect_adds_up_the_tree(room: Lab, client: Client) -> None:
    instance = fresh()
    client.do("start", **room.order(instance, "sh", "-c", "sleep 1000 & sleep 1000 & wait"))
    until(lambda: client.do("status", instance=instance)["processes"] == 3, "three processes")
    until(
        lambda: all(
            Path(f"/proc/{pid}/comm").read_text() != "sh\n"
            for pid in sorted(client.do("inspect", instance=instance)["pids"])[1:]
        ),
        "both to be sleep",
    )
    told = client.do("inspect", instance=instance)
    assert (len(told["pids"]), told["threads"]) == (3, 3)
    assert 0 < told["pss"] <= told["rss"] < 100 << 20
    log = str(room.home / "logs/ender" / f"{instance}.log")
    assert [entry["fd"] for entry in told["fds"] if entry["target"] == log] == [1, 2] * 3


def test_what_it_does_and_waits_for(room: Lab, client: Client) -> None:
    instance = fresh()
    threads = (
        "import threading, time; [threading.Thread(target=time.sleep, args=(1000,)).start() for _ in 'ab']"
    )
    pid = client.do("start", **room.order(instance, PYTHON, "-SIEc", threads))["pid"]

    def asleep() -> bool:
        waits = client.do("inspect", instance=instance)["wchans"]
        return len(waits) == 3 and all(wait["state"] == "S" and wait["wchan"] for wait in waits)

    until(asleep, "three threads to sleep")
    for op in ("status", "inspect"):
        told = client.do(op, instance=instance)
        assert told["events"] == {"high": 0, "max": 0, "oom": 0, "oom_kill": 0}
        assert set(told["pressure"]) == {"cpu", "memory", "io"}
        measured = [value for value in told["pressure"].values() if value is not None]
        assert all(0 <= value <= 1 for value in measured)
        assert told["states"] == {str(pid): "S"}
        assert told["waited"] is None or told["waited"] >= 0
    waits = client.do("inspect", instance=instance)["wchans"]
    assert {wait["pid"] for wait in waits} == {pid}
    assert sorted(wait["tid"] for wait in waits) == sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    client.do("signal", instance=instance, signal="STOP")
    until(lambda: client.do("status", instance=instance)["states"] == {str(pid): "T"}, "it to be stopped")
    client.do("kill", instance=instance)
    ended = client.do("status", instance=instance)
    assert (ended["states"], ended["waited"]) == ({}, None)


def test_list_holds_everyone(room: Lab, client: Client) -> None:
    running, ended = fresh(), fresh()
    client.do("start", **room.order(running, "sleep", "1000"))
    client.do("start", **room.order(ended, "true"))
    client.exited(ended)
    found = {entry["instance"]: entry for entry in client.do("list")["instances"]}
    assert found[running]["running"]
    assert found[running]["node"] == "ender"
    assert found[ended]["exit"]["code"] == 0
    assert (found[running]["cgroup"]["unified"] != "") == (room.settings["cgroups"] in ("hybrid", "v2"))


def test_loop_serves_others_while_one_kill_waits(room: Lab, client: Client) -> None:
    instances = [fresh() for _ in range(20)]
    for instance in instances:
        client.do("start", **room.order(instance, "sleep", "1000"))
    numbers = [client.send("kill", instance=instance) for instance in instances]
    other = room.client()
    began = time.monotonic()
    other.do("hello")
    assert time.monotonic() - began < DEADLINE / 2
    assert all(client.reply(number)["ok"] for number in numbers)
