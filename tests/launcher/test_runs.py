"""Is a program run to its end, told with its output, and cleared away whatever it does?"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.lab import MODES, Client, Lab, alive, is_root, lab, needs_limits, until

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module", params=MODES)
def room(request: pytest.FixtureRequest) -> Iterator[Lab]:
    yield from lab(cgroups=request.param)


@pytest.fixture
def client(room: Lab) -> Iterator[Client]:
    made = room.client()
    yield made
    made.close()


def fresh() -> str:
    return f"runner.{next(NUMBERS)}"


def order(room: Lab, script: str, **more: Any) -> dict[str, Any]:
    return room.order(fresh(), "sh", "-c", script, **{"timeout": 20, **more})


def begun(client: Client, instance: str) -> bool:
    """The program itself runs, not only what becomes it."""
    status = client.ask("status", instance=instance)
    if not status["ok"]:
        return False
    try:
        return Path(f"/proc/{status['result']['pid']}/comm").read_text() in ("sh\n", "sleep\n")
    except OSError:
        return False


def nothing_left(room: Lab, client: Client, instance: str) -> None:
    assert client.refused("status", instance=instance)[0] == "not_found"
    assert not (room.home / "i" / instance).exists()
    assert not any((root / instance).exists() for root in room.groups())


def test_end_and_output_are_told_and_nothing_is_left(room: Lab, client: Client) -> None:
    given = order(room, "echo out; echo err >/dev/stderr; pwd; exit 3", cwd="/usr")
    told = client.do("run", **given)
    assert told["exit"] == {"code": 3, "signal": None, "unknown": False, "oom": False}
    assert (told["output"], told["truncated"], told["timed_out"]) == ("out\nerr\n/usr\n", False, False)
    assert 0 < told["seconds"] < 20
    nothing_left(room, client, given["instance"])
    assert room.output(given["instance"]) == ""
    assert client.events == []


def test_the_last_of_much_output_is_kept(room: Lab, client: Client) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; printf '\\377 end'"
    told = client.do("run", **order(room, script, output=50))
    assert told["truncated"]
    assert told["output"].endswith("line 19999\n\ufffd end")
    assert len(told["output"]) <= 50
    assert client.do("run", **order(room, "echo x", output=0))["output"] == ""


def test_the_whole_tree_ends_at_the_timeout(room: Lab, client: Client) -> None:
    given = order(room, "trap '' TERM; setsid sleep 1000 & echo $!; sleep 1000", timeout=0.5)
    told = client.do("run", **given)
    assert (told["timed_out"], told["exit"]["signal"]) == (True, 9)
    assert 0.5 <= told["seconds"] < 10
    assert not alive(int(told["output"]))
    nothing_left(room, client, given["instance"])


def test_what_the_main_process_leaves_behind_ends_with_it(room: Lab, client: Client) -> None:
    given = order(room, "sleep 1000 & echo $!")
    told = client.do("run", **given)
    assert (told["timed_out"], told["exit"]["code"]) == (False, 0)
    assert told["seconds"] < 10
    assert not alive(int(told["output"]))
    nothing_left(room, client, given["instance"])


def test_a_program_that_cannot_be_started(room: Lab, client: Client) -> None:
    given = order(room, "")
    given["argv"] = ["no-such-program"]
    assert client.refused("run", **given)[0] == "not_found"
    nothing_left(room, client, given["instance"])
    assert client.do("run", **order(room, "exit 0"))["exit"]["code"] == 0


def test_it_ends_with_the_one_who_waits_for_it(room: Lab, client: Client, host: str) -> None:
    leaver, pids = room.client(), room.home / "data/runner/left"
    given = order(room, 'sleep 1000 & echo $$ $! >>"$NODED_DATA/left"; wait', data=True)
    leaver.send("run", **given)
    # Only what has groups of its own makes the data folder.
    until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "the first run to begin")
    leaver.send("run", **inside(room, host, 'echo $$ >>"$NODED_DATA/left"; sleep 1000', data=True))
    other = client.send("run", **order(room, "sleep 0.5; echo mine"))
    until(lambda: pids.exists() and len(pids.read_text().split()) == 3, "both runs to begin")
    living = [int(word) for word in pids.read_text().split()]
    pids.unlink()
    leaver.close()
    until(lambda: not any(alive(pid) for pid in living), "both runs to end")
    until(lambda: not client.ask("status", instance=given["instance"])["ok"], "the run to be cleared away")
    nothing_left(room, client, given["instance"])
    assert client.do("status", instance=host)["running"]
    assert client.reply(other)["result"]["output"] == "mine\n"


def test_the_next_one_begins_after_it(room: Lab, client: Client) -> None:
    """A connection that ends and another that asks the same at once, as of a noded that is restarted."""
    trace, script = room.home / "data/runner/trace", 'echo $$ >>"$NODED_DATA/trace"; sleep 1000'
    for count in range(1, 4):
        leaver = room.client()
        leaver.send("run", **order(room, script, data=True))
        until(lambda n=count: trace.exists() and len(trace.read_text().split()) == n, "the run to begin")
        last = int(trace.read_text().split()[-1])
        leaver.close()
        told = client.do("run", **order(room, f"kill -0 {last} 2>/dev/null && echo beside; true"))
        assert told["output"] == ""
    trace.unlink()


def test_one_who_leaves_at_once(room: Lab, client: Client) -> None:
    names = []
    for _ in range(3):
        leaver = room.client()
        for _ in range(2):
            given = order(room, "sleep 1000")
            names.append(given["instance"])
            leaver.send("run", **given)
        leaver.close()
    client.do("run", **order(room, "true"))
    for name in names:
        until(lambda name=name: not client.ask("status", instance=name)["ok"], "it to be cleared away")


def test_a_run_is_no_instance(room: Lab, client: Client) -> None:
    given = order(room, "sleep 1000")
    number = client.send("run", **given)
    other = room.client()
    until(lambda: begun(other, given["instance"]), "the run to begin")
    assert given["instance"] not in [entry["instance"] for entry in other.do("list")["instances"]]
    assert other.refused("run", **given)[0] == "conflict"
    assert other.refused("start", **{key: given[key] for key in given if key != "timeout"})[0] == "conflict"
    other.do("kill", instance=given["instance"])
    told = client.reply(number)["result"]
    assert (told["exit"]["signal"], told["timed_out"]) == (9, False)
    nothing_left(room, client, given["instance"])


def test_so_many_at_once_and_no_more(shared: Lab) -> None:
    room, client = shared, shared.client()
    numbers = [client.send("run", **order(room, "sleep 1000", timeout=600)) for _ in range(25)]
    other = room.client()
    refused = client.reply(numbers[24])
    assert (refused["kind"], refused["error"].partition(": ")[2]) == (
        "unavailable",
        "24 runs are under way already",
    )
    host = fresh()
    other.do("start", **room.order(host, "sleep", "1000"))
    within = [other.send("run", **inside(room, host, "sleep 1000")) for _ in range(9)]
    full = other.reply(within[8])
    assert (full["kind"], "32 runs are under way already" in full["error"]) == ("unavailable", True)
    other.do("kill", instance=host)
    for number in within[:8]:
        other.reply(number)
    other.do("remove", instance=host)
    first = int(refused["error"].split()[2].rstrip(":").partition(".")[2]) - 24
    for number in range(first, first + 24):
        until(lambda name=f"runner.{number}": begun(other, name), "the run to begin")
        other.send("kill", instance=f"runner.{number}")
    replies = [client.reply(number) for number in numbers[:24]]
    assert [reply["result"]["exit"]["signal"] for reply in replies] == [9] * 24
    assert client.do("run", **order(room, "true"))["exit"]["code"] == 0


def test_one_that_is_killed_before_it_began(shared: Lab) -> None:
    """The process is there before the program is: to kill it then must end both orders."""
    room, client, other = shared, shared.client(), shared.client()
    for _ in range(20):
        given = order(room, "sleep 1000")
        number = client.send("run", **given)
        until(lambda name=given["instance"]: other.ask("status", instance=name)["ok"], "the process")
        other.ask("kill", instance=given["instance"], timeout=10)
        reply = client.reply(number)
        assert reply["ok"] or "was killed at the step" in reply["error"], reply
        nothing_left(room, other, given["instance"])


@pytest.fixture
def host(room: Lab, client: Client) -> Iterator[str]:
    """An instance that runs."""
    instance = fresh()
    client.do("start", **room.order(instance, "sleep", "1000", limits={"memory": 64 << 20}))
    yield instance
    client.do("kill", instance=instance)
    client.do("remove", instance=instance)


def inside(room: Lab, host: str, script: str, **more: Any) -> dict[str, Any]:
    given = order(room, script, into=host, **more)
    del given["instance"], given["user"]
    return given


def test_inside_an_instance_it_is_one_of_its_own(room: Lab, client: Client, host: str) -> None:
    status = client.do("status", instance=host)
    told = client.do("run", **inside(room, host, "id -u; echo $NODED_INSTANCE; cat /proc/self/cgroup"))
    uid, name, *groups = told["output"].splitlines()
    assert (int(uid), name) == (status["uid"], host)
    if room.settings["cgroups"] != "none":
        assert any(f"/{host}/x" in line for line in groups)
    after = client.do("status", instance=host)
    assert (after["running"], after["processes"], after["pid"]) == (True, 1, status["pid"])


def test_inside_an_instance_it_is_killed_alone(room: Lab, client: Client, host: str) -> None:
    told = client.do("run", **inside(room, host, "sleep 1000 & echo $!; sleep 1000", timeout=0.3))
    assert told["timed_out"]
    assert not alive(int(told["output"]))
    assert client.do("status", instance=host)["running"]


def test_it_ends_with_its_instance(room: Lab, client: Client) -> None:
    host = fresh()
    client.do("start", **room.order(host, "sleep", "1000"))
    number = client.send("run", **inside(room, host, 'touch "${NODED_ORDERS%/*}/begun"; sleep 1000'))
    other = room.client()
    until((room.home / "i" / host / "begun").exists, "the run to begin")
    other.do("kill", instance=host)
    other.do("remove", instance=host)
    told = client.reply(number)["result"]
    assert (told["exit"]["signal"], told["timed_out"]) == (9, False)
    assert not any((root / host).exists() for root in room.groups())


def test_into_what_does_not_run(room: Lab, client: Client, host: str) -> None:
    assert client.refused("run", **inside(room, "runner.99999", "true"))[0] == "not_found"
    ended = fresh()
    client.do("start", **room.order(ended, "true"))
    client.exited(ended)
    assert client.refused("run", **inside(room, ended, "true")) == (
        "conflict",
        f"cannot run {ended}: {ended} is not running",
    )
    kind, text = client.refused("run", **inside(room, host, "true", node="other"))
    assert (kind, f"into: {host} is not an instance of node other" in text) == ("refused", True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"timeout": 0}, "timeout: 0, expected seconds above 0, at most 3600"),
        ({"timeout": 3601}, "timeout: 3601"),
        ({"timeout": "1"}, "timeout: '1'"),
        ({"output": -1}, "output: -1, expected bytes from 0 to 65536"),
        ({"output": 65537}, "output: 65537"),
        ({"into": "Runner.1"}, "into: 'Runner.1'"),
        ({"into": 7}, "into: 7"),
        ({"instance": "other.1"}, "instance: other.1 is not an instance of node runner"),
        ({"listen": "127.0.0.1:9000"}, "'listen': unknown key"),
        ({"env": {"NODED_INSTANCE": "runner.77"}}, "env.NODED_INSTANCE: expected"),
    ],
)
def test_orders_with_mistakes(room: Lab, client: Client, change: dict[str, Any], text: str) -> None:
    kind, told = client.refused("run", **order(room, "true") | change)
    assert (kind, text in told) == ("refused", True), told


def test_orders_that_lack_something(room: Lab, client: Client) -> None:
    given = order(room, "true")
    for key, text in (("timeout", "timeout: missing"), ("user", "user: missing"), ("instance", "instance: ")):
        kind, told = client.refused("run", **{name: value for name, value in given.items() if name != key})
        assert (kind, text in told) == ("refused", True), told


def test_a_new_launcher_ends_what_nobody_waits_for_any_more(room: Lab) -> None:
    client = room.client()
    host = fresh()
    client.do("start", **room.order(host, "sleep", "1000"))
    path = room.home / "data/runner/pids"
    note = 'sleep 1000 & echo $$ $! >>"$NODED_DATA/pids"; wait'
    client.send("run", **order(room, note, data=True))
    until(lambda: path.exists() and len(path.read_text().split()) == 2, "the first run to begin")
    client.send("run", **inside(room, host, note, data=True))
    until(lambda: path.exists() and len(path.read_text().split()) == 4, "both runs to begin")
    pids = [int(word) for word in path.read_text().split()]
    room.end()
    assert all(alive(pid) for pid in pids)
    client = room.start().client()
    assert [entry["instance"] for entry in client.do("list")["instances"] if entry["running"]] == [host]
    if room.settings["cgroups"] != "none":
        until(lambda: not any(alive(pid) for pid in pids), "both runs to end")
        until(lambda: client.do("status", instance=host)["processes"] == 1, "only the instance to be left")
    client.do("kill", instance=host)
    client.do("remove", instance=host)
    path.unlink()


@needs_limits
def test_limits_hold_and_out_of_memory_is_told(room: Lab, client: Client) -> None:
    if room.settings["cgroups"] == "none":
        pytest.skip("no limits without groups")
    given = order(room, "", limits={"memory": 40 << 20})
    given["argv"] = ["python3", "-SIEc", "x = bytearray(200 << 20)"]
    told = client.do("run", **given)
    assert (told["exit"]["signal"], told["exit"]["oom"]) == (9, True)
    assert told["oom_kills"] >= 1


@pytest.mark.skipif(not is_root, reason="a uid of its own needs root")
def test_it_runs_as_the_nodes_user(room: Lab, client: Client) -> None:
    instance = fresh()
    uid = client.do("start", **room.order(instance, "sleep", "1000"))["uid"]
    assert client.do("run", **order(room, "id -u"))["output"] == f"{uid}\n"
    client.do("kill", instance=instance)


def test_others_are_served_while_one_runs(room: Lab, client: Client) -> None:
    given = order(room, "sleep 1000", timeout=600)
    number = client.send("run", **given)
    other = room.client()
    assert other.do("hello")
    until(lambda: begun(other, given["instance"]), "the run to begin")
    other.do("kill", instance=given["instance"])
    assert client.reply(number)["result"]["exit"]["signal"] == 9


def test_no_descriptor_is_left_behind(room: Lab, client: Client) -> None:
    assert room.process is not None
    place = Path(f"/proc/{room.process.pid}/fd")
    client.do("run", **order(room, "true"))
    before = len(os.listdir(place))
    for script in ("true", "sleep 1000 &", "exit 3"):
        client.do("run", **order(room, script))
    client.refused("run", **order(room, "true") | {"argv": ["no-such-program"]})
    assert len(os.listdir(place)) == before
