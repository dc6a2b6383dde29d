"""Is lack of memory told from the kernel's counters, and only from them?"""

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.cgroups import Cgroups
from launcher.loop import Loop
from launcher.ooms import Ooms
from launcher.orders import Limits
from tests.launcher.lab import DEADLINE, MODES, PYTHON, Client, Lab, lab, needs_limits, until

NUMBERS = itertools.count(1)
LIMITS = {"memory": 40 << 20}
EAT = "x = bytearray(200 << 20)"
# The child eats, the parent looks on.
CHILD = f"""
import os, time
pid = os.fork()
if pid == 0:
    open("/proc/self/oom_score_adj", "w").write("1000")
    {EAT}
os.waitpid(pid, 0)
print("child is gone", flush=True)
time.sleep(1000)
"""
WITH_LIMITS = [mode for mode in MODES if mode != "none"]


@pytest.fixture(scope="module", params=WITH_LIMITS or ["none"])
def room(request: pytest.FixtureRequest) -> Iterator[Lab]:
    yield from lab(cgroups=request.param)


@pytest.fixture
def client(room: Lab) -> Iterator[Client]:
    made = room.client()
    yield made
    made.close()


def fresh() -> str:
    return f"greedy.{next(NUMBERS)}"


def event_of(client: Client, kind: str, instance: str) -> dict[str, object]:
    while True:
        for event in client.events:
            if (event["event"], event["instance"]) == (kind, instance):
                client.events.remove(event)
                return event
        client._take(client.line())


@needs_limits
def test_main_process_that_eats_too_much(room: Lab, client: Client) -> None:
    instance = fresh()
    client.do("start", **room.order(instance, PYTHON, "-SIEc", EAT, limits=LIMITS))
    event = event_of(client, "exited", instance)
    assert (event["signal"], event["oom"]) == (9, True)
    status = client.do("status", instance=instance)
    assert status["exit"]["oom"]
    assert status["events"]["oom_kill"] >= 1


@needs_limits
def test_killed_by_hand_is_not_out_of_memory(room: Lab, client: Client) -> None:
    instance = fresh()
    pid = client.do("start", **room.order(instance, "sleep", "1000", limits=LIMITS))["pid"]
    os.kill(pid, 9)
    event = event_of(client, "exited", instance)
    assert (event["signal"], event["oom"], event["oom_kills"]) == (9, False, 0)


@pytest.fixture
def limits(room: Lab) -> Iterator[dict[str, int]]:
    """Such that the kernel takes one process: with a limit of its own, a group of v2 dies as a whole."""
    if room.settings["cgroups"] != "v2":
        yield LIMITS
        return
    above = Path("/sys/fs/cgroup", room.subtree, "memory.max")
    above.write_text(str(LIMITS["memory"]))
    yield {}
    above.write_text("max")


@needs_limits
def test_a_group_of_v2_dies_as_a_whole(room: Lab, client: Client) -> None:
    if room.settings["cgroups"] != "v2":
        pytest.skip("v1 takes one process")
    instance = fresh()
    client.do("start", **room.order(instance, PYTHON, "-SIEc", CHILD, limits=LIMITS))
    event = event_of(client, "exited", instance)
    assert (event["signal"], event["oom"]) == (9, True)
    assert room.output(instance) == ""


@needs_limits
def test_a_child_that_was_killed_is_told_while_the_main_process_lives(
    room: Lab, client: Client, limits: dict[str, int]
) -> None:
    instance = fresh()
    client.do("start", **room.order(instance, PYTHON, "-SIEc", CHILD, limits=limits))
    until(lambda: room.output(instance), "the child to be killed")
    event = event_of(client, "oom", instance)
    assert event["kills"] == 1
    status = client.do("status", instance=instance)
    assert (status["running"], status["oom_kills"], status["events"]["oom_kill"]) == (True, 1, 1)
    # What ends it later by order is not lack of memory, whatever the counter says.
    client.do("kill", instance=instance)
    end = event_of(client, "exited", instance)
    assert (end["signal"], end["oom"], end["oom_kills"]) == (9, False, 1)


@needs_limits
def test_a_new_launcher_tells_only_what_is_new(room: Lab, limits: dict[str, int]) -> None:
    client = room.client()
    instance = fresh()
    pid = client.do("start", **room.order(instance, PYTHON, "-SIEc", CHILD, limits=limits))["pid"]
    event_of(client, "oom", instance)
    room.end()
    client = room.start().client()
    assert client.do("status", instance=instance)["oom_kills"] == 1
    os.kill(pid, 9)
    event = event_of(client, "exited", instance)
    assert (event["unknown"], event["oom"]) == (True, False)
    assert not [each for each in client.events if each["event"] == "oom"]


@needs_limits
def test_a_new_launcher_hears_of_the_end_of_memory_too(room: Lab) -> None:
    client = room.client()
    instance = fresh()
    wait = f"import os, time\nwhile not os.path.exists('{room.home}/go'): time.sleep(0.01)\n{EAT}"
    client.do("start", **room.order(instance, PYTHON, "-SIEc", wait, limits=LIMITS))
    room.end()
    client = room.start().client()
    (room.home / "go").touch()
    event = event_of(client, "exited", instance)
    (room.home / "go").unlink()
    assert (event["unknown"], event["oom"]) == (True, True)


def turned(loop: Loop, seconds: float) -> None:
    loop.after(seconds, loop.stop)
    loop.run()
    loop._stopping = False


def test_each_change_of_the_file_is_heard_on_v2(tmp_path: Path) -> None:
    """With plain files: inotify tells of them as of the kernel's."""
    heard: list[str] = []
    loop = Loop()
    groups = Cgroups("v2", dict.fromkeys(("unified", "memory"), str(tmp_path)))
    ooms = Ooms(loop, groups, heard.append)
    for name in ("a.1", "a.2"):
        groups.make(name, Limits())
        (tmp_path / name / "memory.events").write_text("oom_kill 0\n")
        ooms.watch(name)
    (tmp_path / "a.1/memory.events").write_text("oom_kill 1\n")
    turned(loop, 0.4)
    assert heard == ["a.1"]
    ooms.forget("a.1")
    (tmp_path / "a.1/memory.events").write_text("oom_kill 2\n")
    (tmp_path / "a.2/memory.events").write_text("oom_kill 2\n")
    turned(loop, 0.4)
    assert heard[1:] == ["a.2"]


def test_a_busy_file_costs_one_look_in_a_while(tmp_path: Path) -> None:
    """memory.high is met a hundred times in a second."""
    heard: list[str] = []
    loop = Loop()
    groups = Cgroups("v2", dict.fromkeys(("unified", "memory"), str(tmp_path)))
    ooms = Ooms(loop, groups, heard.append)
    groups.make("a.1", Limits())
    events = tmp_path / "a.1/memory.events"
    events.write_text("high 0\n")
    ooms.watch("a.1")
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        events.write_text("high 1\n")
        turned(loop, 0.005)
    assert len(heard) == 1


def test_where_the_kernel_tells_nothing_one_looks(tmp_path: Path) -> None:
    heard: list[str] = []
    loop = Loop()
    groups = Cgroups("v1", {"memory": str(tmp_path)})
    ooms = Ooms(loop, groups, heard.append)
    groups.make("a.1", Limits())
    for name in ("a.1", "a.2"):
        ooms.watch(name)
    ooms.forget("a.2")
    deadline = time.monotonic() + DEADLINE
    while not heard and time.monotonic() < deadline:
        turned(loop, 0.1)
    assert heard == ["a.1"]
    ooms.forget("a.1")
    Ooms(loop, Cgroups("none", {}), heard.append).watch("a.1")
    turned(loop, 1.2)
    assert heard == ["a.1"]
