"""Does anything get lost when orders and deaths of programs come at random for a long time? `make soak`"""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.follow import Condition, Follower, Node, ready, stable, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import processes
from tests.e2e.programs import SLEEPS, lay
from tests.e2e.traffic import Traffic

pytestmark = pytest.mark.soak
ROUNDS = int(os.environ.get("NODED_SOAK_ROUNDS", "100"))
SETTLED_EVERY = 5
SPARES = {"backed": 1, "alone": 0, "sleeper": 0}
PORTS = {"backed": 1, "alone": 2, "sleeper": 0}
PLAN = '[rollout]\nsteps = [50, 100]\ndwell = "200ms"\nsoak = "500ms"\n'
NONE = '[health]\nreadiness = "none"\n'


class Trouble:
    def __init__(self, host: Host, follower: Follower, dice: random.Random) -> None:
        self.host, self.follower, self.dice = host, follower, dice
        self.versions = dict.fromkeys(SPARES, 0)
        self.done: list[str] = []

    def order(self, *words: str) -> None:
        """Whether it is refused does not matter here."""
        self.done.append(" ".join(words))
        self.host.nodectl(*words, check=False)

    def apply(self, name: str) -> None:
        self.versions[name] += 1
        head = f"spares = {SPARES[name]}"
        version, port = f"1.0.{self.versions[name]}", PORTS[name]
        if port:
            folder = lay(self.host, name, version, port=port, head=head, tables=PLAN)
        else:
            folder = lay(self.host, name, version, SLEEPS, tables=NONE)
        self.order("apply", "--no-wait", str(folder))

    def strike(self) -> None:
        name = self.dice.choice(list(SPARES))
        kind = self.dice.choice(("restart", "apply", "abort", "promote", "finish", "kill"))
        if kind == "apply":
            self.apply(name)
        elif kind == "restart":
            self.order("restart", "--no-wait", name)
        elif kind == "kill":
            self.kill(name)
        else:
            now = ("--now",) if kind == "finish" else ()
            verb = "abort" if kind == "abort" else "promote"
            self.order("rollout", verb, *now, "--no-wait", name)

    def kill(self, name: str) -> None:
        """Only what another can stand in for at this moment."""
        node = self.follower.now(name)
        if not PORTS[name] or (whole(1)(node) and not node["rollout"]):
            # 0 would be ourselves: one that is not started yet has no process.
            for victim in (one for one in stable(node) if one["pid"]):
                self.done.append(f"kill {victim['id']}")
                os.kill(victim["pid"], signal.SIGKILL)

    def deaths(self) -> None:
        draw = self.dice.random()
        if draw < 0.5:
            self.done.append("noded dies")
            self.host.kill("noded")
        if draw < 0.15:
            self.done.append("the launcher dies")
            self.host.kill("launcher")
            self.host.start_launcher()
        if draw < 0.5:
            self.host.start_noded()

    def settled(self) -> None:
        """Nothing is under way, and noded, the launcher and the kernel agree on what runs."""
        wanted = {name: _settled(spares) for name, spares in SPARES.items()}
        nodes = self.follower.until_all(wanted, f"rest after {self.done}", 120)
        told = {one["id"]: one["pid"] for node in nodes.values() for one in node["instances"]}

        def agree() -> bool:
            listed = {one["instance"]: one["pid"] for one in self.host.launched()}
            return listed == told and processes(self.host) == {name: {pid} for name, pid in told.items()}

        wait_for(agree, f"one picture of what runs after {self.done}: noded has {told}", 30, 0.2)
        self.order("restart", "sleeper")  # No restart delay is left of its deaths.
        self.done.clear()


def _settled(spares: int) -> Condition:
    is_whole = whole(spares)

    def at_rest(node: Node) -> bool:
        versions = {one["version"] for one in node.get("instances", ())}
        return is_whole(node) and not node["rollout"] and versions == {node["version"]} and bool(ready(node))

    return at_rest


@contextmanager
def served(host: Host) -> Iterator[None]:
    loads = [Traffic(host.folder / f"load-{port}.jsonl", host.first_port + port - 1, 30.0) for port in (1, 2)]
    with loads[0], loads[1]:
        yield
        for load in loads:
            load.goes_on()
    for load in loads:
        assert (load.tally()["failed"], load.faults()) == (0, [])


def test_orders_and_deaths_at_random_lose_nothing(
    host: Host, follower: Follower, figures: dict[str, str]
) -> None:
    seed = int(os.environ.get("NODED_TEST_SEED", time.time_ns() % 1_000_000))
    figures["trouble"] = f"NODED_TEST_SEED={seed} brings it again"
    trouble = Trouble(host, follower, random.Random(seed))
    for name in SPARES:
        trouble.apply(name)
    trouble.settled()
    with served(host):
        for number in range(1, ROUNDS + 1):
            for _ in range(trouble.dice.randint(1, 3)):
                trouble.strike()
                time.sleep(trouble.dice.uniform(0.0, 0.4))
            trouble.deaths()
            if number % SETTLED_EVERY == 0:
                trouble.settled()
