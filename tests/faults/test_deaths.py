"""noded and its launcher die at random moments of busy times: is every node there, once, and nothing else?"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.follow import Condition, Follower, Node, ready, stable, whole
from tests.e2e.ground import ROOT, connects, wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import of_node, processes
from tests.e2e.programs import SLEEPS, lay
from tests.e2e.traffic import Traffic

pytestmark = pytest.mark.e2e
QUICK = 20
LONG = int(os.environ.get("NODED_SOAK_ROUNDS", "200"))
NONE = '[health]\nreadiness = "none"\n'
PLAN = '[rollout]\nsteps = [50, 100]\ndwell = "200ms"\nsoak = "500ms"\n'
SERVING = {"web": 1, "shop": 2}
QUIET = tuple(f"quiet{number}" for number in range(1, 19))
SETTLED_EVERY = 10


class Busy:
    """Twenty nodes: two that serve with a spare, eighteen that only run."""

    def __init__(self, host: Host, follower: Follower, dice: random.Random) -> None:
        self.host, self.follower, self.dice = host, follower, dice
        self.versions = dict.fromkeys((*SERVING, *QUIET), 0)
        self.stopped: set[str] = set()
        self.done: list[str] = []
        command = [host.python, "-m", "tests.faults.orders", str(host.control)]
        env = {**host.env(), "PYTHONPATH": f"{host.env()['PYTHONPATH']}:{ROOT}"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.clerk = subprocess.Popen(command, env=env, **pipes)  # type: ignore[call-overload]
        self.asked = 0

    def folder(self, name: str) -> Path:
        self.versions[name] += 1
        version = f"1.0.{self.versions[name]}"
        if name in SERVING:
            return lay(self.host, name, version, port=SERVING[name], head="spares = 1", tables=PLAN)
        return lay(self.host, name, version, SLEEPS, tables=NONE)

    def order(self, **order: str) -> None:
        """It goes on beside the test: noded may die while it is asked, or refuse it; neither matters."""
        self.done.append(" ".join(order.values()))
        self.clerk.stdin.write(json.dumps(order) + "\n")
        self.asked += 1

    def answered(self) -> None:
        while self.asked:
            answer = json.loads(self.clerk.stdout.readline())
            self.done.append(f"{answer.get('verb', 'apply')}: {answer['said'][:80]}")
            self.asked -= 1

    def close(self) -> None:
        self.clerk.stdin.close()
        self.clerk.wait(60)
        self.clerk.stdout.close()

    def strike(self) -> None:
        name = self.dice.choice((*SERVING, *self.dice.sample(QUIET, 3)))
        kind = self.dice.choice(("apply", "restart", "kill", "finish" if name in SERVING else "stop"))
        if kind == "apply":
            self.order(folder=str(self.folder(name)))
        elif kind == "restart":
            self.order(verb="restart", node=name)
        elif kind == "finish":
            self.order(verb=self.dice.choice(("promote", "abort")), node=name)
        elif kind == "stop":
            verb = "start" if name in self.stopped else "stop"
            self.stopped ^= {name}
            self.order(verb=verb, node=name)
        else:
            self.kill(name)

    def kill(self, name: str) -> None:
        """Of a node that serves, only what its spare can stand in for at this moment."""
        node = self.follower.now(name)
        if name in SERVING and (not covered(node) or node["rollout"]):
            return
        there = of_node(self.host, name)  # a picture may be old, and shows 0 before a start is through
        for victim in stable(node):
            if victim["pid"] in there:
                self.done.append(f"kill {victim['id']}")
                with suppress(ProcessLookupError):
                    os.kill(victim["pid"], signal.SIGKILL)

    def round(self) -> None:
        if self.dice.random() < 0.75:
            # Else it dies while it comes up, and what was ordered waits for the next one.
            wait_for(lambda: connects(self.host.control), "noded's socket", 20)
        for _ in range(self.dice.randint(1, 3)):
            self.strike()
        time.sleep(self.dice.uniform(0.0, 1.0))
        self.done.append("noded dies")
        self.host.kill("noded")
        if self.dice.random() < 0.2:
            self.done.append("the launcher dies")
            self.host.kill("launcher")
            self.host.start_launcher()
        self.host.begin_noded()
        if self.dice.random() < 0.2:
            time.sleep(self.dice.uniform(0.1, 0.6))
            self.host.kill("noded")
            self.host.begin_noded()

    def settled(self) -> None:
        """Nothing is under way, and noded, the launcher and the kernel agree on what runs."""
        self.answered()
        self.host.check("noded")
        nodes = {node["name"]: node for node in self.follower.nodes()}
        for name in QUIET:
            if name in self.stopped or not ready(nodes.get(name, {})):
                self.order(verb="start", node=name)  # no restart delay is left either
        self.stopped.clear()
        for name in SERVING:
            if nodes.get(name, {}).get("rollout"):
                # By itself it would wait for its five hundred requests.
                self.order(verb=self.dice.choice(("finish", "abort")), node=name)
        self.answered()
        wanted = {name: at_rest(name in SERVING) for name in self.versions}
        nodes = self.follower.until_all(wanted, f"rest after {self.done}", 90)
        told = {one["id"]: one["pid"] for node in nodes.values() for one in node["instances"]}

        def agree() -> bool:
            listed = {one["instance"]: one["pid"] for one in self.host.launched()}
            return listed == told and processes(self.host) == {name: {pid} for name, pid in told.items()}

        wait_for(agree, f"one picture of what runs after {self.done}: noded has {told}", 30, 0.2)
        self.done.clear()


def covered(node: Node) -> bool:
    """A second spare may stand by for a while after crashes."""
    return len(ready(node)) == 1 and len(ready(node, "spare")) >= 1


def at_rest(serves: bool) -> Condition:
    is_whole = covered if serves else whole()

    def resting(node: Node) -> bool:
        instances = node.get("instances", ())
        versions = {one["version"] for one in instances}
        phases = {one["phase"] for one in instances}
        return (
            is_whole(node) and not node["rollout"] and versions == {node["version"]} and phases == {"ready"}
        )

    return resting


@pytest.fixture(scope="module")
def dice(told: dict[str, str]) -> random.Random:
    seed = int(os.environ.get("NODED_TEST_SEED", time.time_ns() % 1_000_000))
    told["deaths"] = f"NODED_TEST_SEED={seed} brings the same moments again"
    return random.Random(seed)


@pytest.fixture(scope="module")
def busy(host: Host, follower: Follower, dice: random.Random) -> Iterator[Busy]:
    made = Busy(host, follower, dice)
    for name in made.versions:
        made.order(folder=str(made.folder(name)))
    made.settled()
    yield made
    made.close()


@pytest.fixture
def served(busy: Busy, tmp_path: Path) -> Iterator[None]:
    """Requests to both nodes that serve; none may fail, whatever dies."""
    loads = [
        Traffic(tmp_path / f"load-{port}.jsonl", busy.host.first_port + port - 1, 20.0)
        for port in SERVING.values()
    ]
    with loads[0], loads[1]:
        yield
        for load in loads:
            load.goes_on()
    assert [(load.tally()["failed"], load.faults()) for load in loads] == [(0, []), (0, [])]


def rounds(busy: Busy, count: int) -> None:
    for number in range(1, count + 1):
        busy.round()
        if number % SETTLED_EVERY == 0 or number == count:
            busy.settled()


@pytest.mark.usefixtures("served")
def test_noded_dies_at_random_while_twenty_nodes_run(busy: Busy) -> None:
    rounds(busy, QUICK)


@pytest.mark.soak
@pytest.mark.usefixtures("served")
def test_noded_dies_at_random_for_long(busy: Busy) -> None:
    rounds(busy, LONG)


def test_the_launcher_dies_in_the_middle_of_a_start(busy: Busy) -> None:
    host, follower = busy.host, busy.follower
    names = QUIET[:4]
    for moment in (0.0, 0.01):
        launcher = host.running["launcher"]
        launcher.send_signal(signal.SIGSTOP)
        for name in names:
            busy.order(verb="restart", node=name)
        busy.answered()
        launcher.send_signal(signal.SIGCONT)
        time.sleep(moment)
        host.kill("launcher")
        host.start_launcher()
        follower.until_all({name: whole() for name in names}, "all of them", 60)
    busy.settled()
    assert all(len(of_node(host, name)) == 1 for name in names)
