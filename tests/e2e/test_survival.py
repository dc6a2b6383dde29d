"""Do nodes and requests live on when a program of ours dies at any moment?"""

import contextlib
import http.client
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.follow import Follower, Node, ready, stable, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import of_node, processes
from tests.e2e.programs import PLAIN_HTTP, SLEEPS, WEB, lay
from tests.e2e.traffic import Traffic

pytestmark = pytest.mark.e2e
NONE = '[health]\nreadiness = "none"\n'
HTTP = '[health]\nreadiness = "http"\n'
ROUNDS = 12
SPARES = {"backed": 1, "alone": 0, "plain": 0, "sleeper": 0}


@pytest.fixture(scope="module")
def nodes(host: Host, follower: Follower) -> tuple[str, ...]:
    """Four kinds of node, all up."""
    apply = ("apply", "--no-wait")
    host.nodectl(*apply, str(lay(host, "backed", port=1, head="spares = 1")))
    host.nodectl(*apply, str(lay(host, "alone", port=2)))
    run = ("python3", "main.py", "{listen}")
    host.nodectl(*apply, str(lay(host, "plain", program=PLAIN_HTTP, run=run, port=3, tables=HTTP)))
    host.nodectl(*apply, str(lay(host, "sleeper", program=SLEEPS, tables=NONE)))
    all_whole(follower)
    return tuple(SPARES)


def all_whole(follower: Follower) -> dict[str, Node]:
    wanted = {name: whole(spares) for name, spares in SPARES.items()}
    return follower.until_all(wanted, "every instance ready, and no other", 40)


def agreed(host: Host, follower: Follower) -> dict[str, int]:
    """The main process of each instance, on which noded, the launcher and the kernel must agree."""
    told = {one["id"]: one["pid"] for node in all_whole(follower).values() for one in node["instances"]}

    def agree() -> bool:
        listed = {one["instance"]: one["pid"] for one in host.launched() if one["running"]}
        seen = {
            instance: pids
            for instance, pids in processes(host).items()
            if instance.partition(".")[0] in SPARES
        }
        listed = {instance: pid for instance, pid in listed.items() if instance.partition(".")[0] in SPARES}
        return listed == told and seen == {instance: {pid} for instance, pid in told.items()}

    wait_for(agree, f"launcher and kernel agreeing with {told}", 20, 0.2)
    return told


@pytest.fixture
def dice(figures: dict[str, str]) -> random.Random:
    seed = int(os.environ.get("NODED_TEST_SEED", time.time_ns() % 1_000_000))
    figures["random moments"] = f"NODED_TEST_SEED={seed} brings them again"
    return random.Random(seed)


@contextmanager
def served(traffic: Callable[..., Traffic], *ports: int) -> Iterator[None]:
    """Requests to the ports inside the block; none may fail."""
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(traffic(port, 20.0)) for port in ports]
        yield
        for load in loads:
            load.goes_on()
    for load in loads:
        assert (load.tally()["failed"], load.faults()) == (0, [])


def test_noded_is_killed_at_random_moments_and_nothing_else_happens(
    host: Host,
    follower: Follower,
    nodes: tuple[str, ...],
    traffic: Callable[..., Traffic],
    dice: random.Random,
) -> None:
    before = agreed(host, follower)
    with served(traffic, 1, 2, 3):
        for number in range(ROUNDS):
            if number % 2:
                host.begin_noded()  # It may be killed before it answers.
                time.sleep(dice.uniform(0.1, 1.0))
            else:
                time.sleep(dice.uniform(0.0, 0.3))
            host.kill("noded")
            assert {pid for pids in processes(host).values() for pid in pids} == set(before.values())
            if number % 2:
                host.start_noded()
        assert agreed(host, follower) == before
    assert not any(node["restarts"] for node in all_whole(follower).values())


def test_noded_is_killed_in_the_middle_of_what_it_does(
    host: Host,
    follower: Follower,
    nodes: tuple[str, ...],
    traffic: Callable[..., Traffic],
    dice: random.Random,
) -> None:
    with served(traffic, 1, 2, 3):
        for _ in range(3):
            for name in dice.sample(("backed", "alone", "plain"), 2):
                host.nodectl("restart", "--no-wait", name)
            os.kill(stable(follower.now("sleeper"))[0]["pid"], signal.SIGKILL)
            time.sleep(dice.uniform(0.0, 0.6))
            host.kill("noded")
            host.start_noded()
            agreed(host, follower)


@pytest.mark.parametrize("readiness", ["none", "sdk"])
def test_a_start_under_way_when_noded_is_killed_is_taken_over(
    host: Host, follower: Follower, readiness: str
) -> None:
    name = f"slow-{readiness}"
    program = SLEEPS if readiness == "none" else WEB
    port = 4 if readiness == "sdk" else 0
    tables = f'[health]\nreadiness = "{readiness}"\n'
    launcher = host.running["launcher"]
    launcher.send_signal(signal.SIGSTOP)
    try:
        host.nodectl("apply", "--no-wait", str(lay(host, name, program=program, port=port, tables=tables)))
        wait_for(lambda: f"StartInstance node={name}" in host.log("noded"), "the order to start")
        host.kill("noded")
    finally:
        launcher.send_signal(signal.SIGCONT)
    host.start_noded()
    node = follower.until(name, whole(), "its instance", 15)
    wait_for(lambda: of_node(host, name) == {stable(node)[0]["pid"]}, "one process and no other", 10)


LEAVES_A_CHILD = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        while True:
            time.sleep(60)
    os._exit(0)
os.wait()
while True:
    time.sleep(60)
"""


@contextmanager
def both_killed_before_it_is_done(host: Host, decided: str) -> Iterator[None]:
    """What noded decides inside the block is journaled, and no launcher hears of it."""
    launcher = host.running["launcher"]
    launcher.send_signal(signal.SIGSTOP)
    known = host.log("noded").count(decided)
    yield
    wait_for(lambda: host.log("noded").count(decided) > known, decided, 20, 0.01)
    host.kill("noded")
    host.kill("launcher")
    host.start_launcher()
    host.start_noded()


def test_a_stop_that_was_decided_and_not_done_is_done_by_the_next_noded(
    host: Host, follower: Follower
) -> None:
    host.nodectl("apply", str(lay(host, "halts", program=LEAVES_A_CHILD, tables=NONE)))
    with both_killed_before_it_is_done(host, "StopInstance node=halts"):
        host.nodectl("stop", "--no-wait", "halts")
    follower.until("halts", lambda n: n["condition"] == "stopped" and not n["instances"], "its stop", 15)
    assert not of_node(host, "halts")
    assert "KillInstance" not in host.nodectl("explain", "halts").stdout, "it was asked, and had its time"


def test_an_end_that_was_not_cleared_up_is_cleared_up_by_the_next_noded(
    host: Host, follower: Follower
) -> None:
    host.nodectl("apply", str(lay(host, "leaves", program=LEAVES_A_CHILD, tables=NONE)))
    main = stable(follower.now("leaves"))[0]["pid"]
    wait_for(lambda: len(of_node(host, "leaves")) == 2, "its child")
    left = of_node(host, "leaves") - {main}
    with both_killed_before_it_is_done(host, "RemoveInstance node=leaves"):
        os.kill(main, signal.SIGKILL)
    follower.until("leaves", whole(), "its successor", 15)
    wait_for(lambda: not left & of_node(host, "leaves"), "the end of what the first one left", 15)
    assert len(of_node(host, "leaves")) == 2


def test_the_launcher_is_killed_and_nodes_live_on(
    host: Host, follower: Follower, nodes: tuple[str, ...], traffic: Callable[..., Traffic]
) -> None:
    host.nodectl("restart", "sleeper")  # Earlier tests killed it: no restart delay is left of that.
    before = agreed(host, follower)
    with served(traffic, 1, 2):
        host.kill("launcher")
        wait_for(lambda: not follower.host_state()["launcher_up"], "noded noticing", 20)
        assert "noded-launcher is down" in host.nodectl("status").stdout
        assert {pid for pids in processes(host).values() for pid in pids} >= set(before.values())
        host.start_launcher()
        wait_for(lambda: follower.host_state()["launcher_up"], "noded finding it without an order", 10)
        host.kill("launcher")
        victim = stable(follower.now("sleeper"))[0]
        os.kill(victim["pid"], signal.SIGKILL)
        wait_for(lambda: not of_node(host, "sleeper"), "its end")
        host.start_launcher()
        wait_for(lambda: follower.host_state()["launcher_up"], "noded coming back to it", 20)
        after = agreed(host, follower)
    assert {name: pid for name, pid in after.items() if not name.startswith("sleeper")} == {
        name: pid for name, pid in before.items() if not name.startswith("sleeper")
    }
    assert stable(follower.now("sleeper"))[0]["id"] != victim["id"]

    adopted = stable(follower.now("plain"))[0]
    os.kill(adopted["pid"], signal.SIGKILL)
    follower.until(
        "plain",
        lambda n: whole()(n) and adopted["id"] not in [one["id"] for one in n["instances"]],
        "a new instance",
    )
    assert f"{adopted['id']} exited: unknown" in host.nodectl("explain", "plain").stdout
    host.nodectl("restart", "alone")


def test_the_proxy_is_killed_and_routes_come_back(
    host: Host, follower: Follower, nodes: tuple[str, ...], figures: dict[str, str]
) -> None:
    tables = '[rollout]\nsteps = [50, 100]\ndwell = "10m"\n'
    host.nodectl("apply", str(lay(host, "backed", "1.1.0", port=1, head="spares = 1", tables=tables)))
    host.kill("proxy")
    wait_for(lambda: not follower.host_state()["proxy_up"], "noded noticing", 20)
    assert "the proxy is down" in host.nodectl("status").stdout
    host.start_proxy()
    began = time.monotonic()
    for port in (1, 2, 3):
        wait_for(lambda port=port: get(host, port), f"an answer of port {port}", 20, 0.02)
    took = time.monotonic() - began
    answers = [get(host, 1) for _ in range(40)]
    assert all(answers), "served again, and for good"
    assert any('"1.1.0"' in answer for answer in answers), "the canary has its share again"
    assert any('"1.0.0"' in answer for answer in answers)
    node = follower.now("backed")
    assert (node["rollout"]["phase"], len(ready(node, "canary"))) == ("step", 1)
    figures["proxy"] = f"answers again {took:.2f} s after its restart, at most 2 wanted"
    assert took <= 2.0, f"routes came back after {took:.2f} s"
    host.nodectl("rollout", "abort", "backed")


def get(host: Host, port: int) -> str:
    line = http.client.HTTPConnection("127.0.0.1", host.first_port + port - 1, timeout=5)
    try:
        line.request("GET", "/")
        answer = line.getresponse()
        text = answer.read().decode()
        return text if answer.status == 200 else ""
    except OSError:
        return ""
    finally:
        line.close()


def test_a_clean_stop_and_a_kill_leave_the_same_state(
    host: Host, follower: Follower, nodes: tuple[str, ...]
) -> None:
    before = described(host, follower)
    host.stop("noded")
    host.start_noded()
    assert described(host, follower) == before
    host.kill("noded")
    host.start_noded()
    assert described(host, follower) == before


def described(host: Host, follower: Follower) -> dict[str, Any]:
    """All that noded knows, without what changes by itself from second to second."""
    all_whole(follower)
    moving = {"memory", "cpu_share", "loop_lag", "requests", "bad", "fds", "threads"}
    return {
        node["name"]: {
            **{key: value for key, value in node.items() if key != "instances"},
            "instances": [
                {key: value for key, value in one.items() if key not in moving} for one in node["instances"]
            ],
        }
        for node in follower.nodes()
    }
