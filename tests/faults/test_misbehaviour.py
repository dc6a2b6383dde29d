"""What if a node does what no node should? It ends with all it began, and its neighbours notice nothing."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.follow import Follower, stable, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import alive, of_node
from tests.e2e.programs import SLEEPS, lay
from tests.e2e.traffic import Traffic

pytestmark = pytest.mark.e2e
NONE = '[health]\nreadiness = "none"\n'


@pytest.fixture(scope="module", autouse=True)
def neighbour(host: Host, follower: Follower, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Somebody is served all the time, and nobody of its own accord is restarted."""
    host.nodectl("apply", str(lay(host, "web", port=1)))
    before = of_node(host, "web")
    load = Traffic(tmp_path_factory.mktemp("load") / "load.jsonl", host.first_port, 20.0)
    with load:
        yield
        load.goes_on()
    assert (load.tally()["failed"], load.faults()) == (0, [])
    assert of_node(host, "web") == before


@pytest.fixture
def begun(host: Host, follower: Follower) -> Iterator[Callable[..., int]]:
    """Applies a node and returns the pid of its instance; the node is removed in the end."""
    names = []

    def begin(name: str, program: str, tables: str = NONE, head: str = "") -> int:
        names.append(name)
        host.nodectl("apply", str(lay(host, name, program=program, tables=tables, head=head)))
        return int(stable(follower.until(name, whole(), "its instance"))[0]["pid"])

    yield begin
    for name in names:
        host.nodectl("remove", "-y", name)
        wait_for(lambda name=name: not of_node(host, name), f"the end of all of {name}", 20)


DEAF = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print("deaf", flush=True)
while True:
    time.sleep(60)
"""


def test_a_node_that_ignores_sigterm_is_killed_after_its_time(
    host: Host, follower: Follower, begun: Callable[..., int]
) -> None:
    pid = begun("deaf", DEAF, head='stop = { signal = "TERM", timeout = "2s" }')
    wait_for(lambda: "deaf" in host.nodectl("logs", "deaf").stdout, "that it hears nothing")
    began = time.monotonic()
    host.nodectl("stop", "deaf")
    wait_for(lambda: not alive(pid), "its end", 15, 0.02)
    took = time.monotonic() - began
    assert 1.9 <= took < 6.0, f"it took {took:.1f} s"
    assert "told to stop" in host.nodectl("explain", "deaf").stdout


DOUBLE_FORK = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.environ.clear()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sleep = "import time; time.sleep(1000)"
        os.execve(sys.executable, [sys.executable, "-c", sleep, "daemon-of-mine"], {})
    os._exit(0)
os.wait()
print("forked", flush=True)
while True:
    time.sleep(60)
"""


def daemons() -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if b"daemon-of-mine" in (entry / "cmdline").read_bytes().split(b"\0") and alive(int(entry.name)):
                found.add(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="without cgroups nothing leads to such a process")
@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_grandchild_in_its_own_session_without_environment_ends_with_its_instance(
    host: Host, follower: Follower, begun: Callable[..., int], how: str
) -> None:
    before = daemons()
    pid = begun(f"forks-{how}", DOUBLE_FORK)
    wait_for(lambda: daemons() - before, "its daemon")
    (daemon,) = daemons() - before
    if how == "stop":
        host.nodectl("stop", f"forks-{how}")
    else:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(daemon), "the end of the daemon", 15)
    if how == "crash":
        wait_for(lambda: len(daemons() - before) == 1, "the daemon of its successor", 15)


CLOSES = """
import os, time
os.closerange(0, 256)
while True:
    time.sleep(0.2)
"""


def test_a_node_that_closes_its_descriptors_is_watched_as_ever(
    host: Host, follower: Follower, begun: Callable[..., int]
) -> None:
    pid = begun("closes", CLOSES)
    os.kill(pid, signal.SIGKILL)
    follower.until("closes", lambda n: whole()(n) and stable(n)[0]["pid"] != pid, "its successor")
    assert "exited: signal 9" in host.nodectl("explain", "closes").stdout


BOMB = """
import os, time
print("bomb", flush=True)
refused = 0
while refused < 200:
    try:
        if os.fork() == 0:
            time.sleep(1000)
    except OSError:
        refused += 1
print("enough", flush=True)
while True:
    time.sleep(60)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs cgroups")
def test_a_fork_bomb_meets_its_limit_and_ends_whole(
    host: Host, follower: Follower, begun: Callable[..., int]
) -> None:
    begun("bomb", BOMB, tables=f"{NONE}\n[resources]\npids = 30\n")
    wait_for(lambda: "enough" in host.nodectl("logs", "bomb").stdout, "its limit", 20)
    assert len(of_node(host, "bomb")) <= 30
    began = time.monotonic()
    host.nodectl("stop", "bomb")
    wait_for(lambda: not of_node(host, "bomb"), "the end of all of it", 15)
    assert time.monotonic() - began < 10


def groups(host: Host, instance: str) -> list[Path]:
    found = next(one for one in host.launched() if one["instance"] == instance)["cgroup"]
    return [Path(path) for path in found.values() if path]  # type: ignore[attr-defined]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs cgroups")
def test_groups_that_vanish_under_an_instance_cost_it_nothing_and_its_successor_gets_new_ones(
    host: Host, follower: Follower, begun: Callable[..., int]
) -> None:
    """Somebody moves the process away and removes its groups: it runs, is stopped, and starts as ever."""
    pid = begun("moved", SLEEPS, tables=f'{NONE}\n[resources]\nmemory = "64M"\n')
    name = stable(follower.now("moved"))[0]["id"]
    for group in groups(host, name):
        assert any(_takes(above, pid) for above in group.parents)
        wait_for(lambda group=group: _removed(group), f"{group} to go", 5)
    time.sleep(2.5)
    assert alive(pid), "nothing is killed for it"
    assert stable(follower.now("moved"))[0]["pid"] == pid
    host.nodectl("restart", "moved")
    follower.until("moved", lambda n: whole()(n) and stable(n)[0]["pid"] != pid, "its successor", 20)
    wait_for(lambda: not alive(pid), "the end of the old one", 10)
    assert all(group.is_dir() for group in groups(host, stable(follower.now("moved"))[0]["id"]))


def _takes(group: Path, pid: int) -> bool:
    try:
        (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        return False
    return True


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@pytest.mark.skipif(os.geteuid() != 0, reason="needs cgroups")
def test_an_instance_whose_whole_group_is_killed_from_outside_is_replaced(
    host: Host, follower: Follower, begun: Callable[..., int]
) -> None:
    begun("killed", DOUBLE_FORK)
    wait_for(lambda: "forked" in host.nodectl("logs", "killed").stdout, "its children")
    old = {pid for group in groups(host, "killed.1") for pid in map(int, _pids(group))}
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    follower.until("killed", lambda n: whole()(n) and stable(n)[0]["pid"] not in old, "its successor", 15)


def _pids(group: Path) -> list[str]:
    return (group / "cgroup.procs").read_text().split()
