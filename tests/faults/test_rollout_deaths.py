"""noded, the proxy or the mesh dies while rollouts stand in every stage: does each end as it should?"""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.follow import Follower, Node, ended, last_rollout, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import processes
from tests.e2e.programs import lay
from tests.faults.clerk import Clerk
from tests.faults.rollout_world import (
    PAGES,
    Users,
    all_more,
    ask_once,
    data,
    histories,
    is_told,
    sharing,
    under_way,
)

pytestmark = pytest.mark.e2e
LONG_ROUNDS = int(os.environ.get("NODED_SOAK_ROUNDS", "200")) // 10

STEPS = '[rollout]\nsteps = [10, 50, 100]\ndwell = "10m"\nsoak = "10m"\n'
WHOLE = '[rollout]\nsteps = [100]\ndwell = "1s"\nsoak = "10m"\n'
SLOW_START = "import time\ntime.sleep(1.5)\n" + PAGES
PLANS = {
    "prepares": STEPS,
    "first": STEPS,
    "changes": STEPS,
    "returns": STEPS,
    "soaks": WHOLE,
    "ends": STEPS,
    "drains": STEPS,
}
"""A node for each stage, named after what it does when the blow falls."""
PORTS = {name: number for number, name in enumerate(PLANS, 1)}
SHARE = {"first": 0.1, "changes": 0.1, "returns": 0.1, "soaks": 1.0, "ends": 0.1, "drains": 0.1}


class Stages:
    def __init__(self, host: Host, follower: Follower, dice: random.Random) -> None:
        self.host, self.follower, self.dice = host, follower, dice
        self.clerk = Clerk(host)
        self.version = 0
        self.users = {name: Users(host.first_port + port - 1, 12.0) for name, port in PORTS.items()}
        self.late: list[str] = []

    def apply(self) -> None:
        """The next version of each."""
        self.version += 1
        for name, tables in PLANS.items():
            program = SLOW_START if name == "prepares" and self.version > 1 else PAGES
            head = 'stop = { timeout = "8s" }'
            folder = lay(
                self.host, name, f"1.0.{self.version}", program, port=PORTS[name], head=head, tables=tables
            )
            self.clerk.order(folder=str(folder))
        assert all(said == "done" for said in self.clerk.answered().values())

    def begin(self) -> dict[str, Node]:
        """Rollouts of all, each in the stage of its name but the last orders."""
        self.apply()
        nodes = self.follower.until_all({n: sharing(s) for n, s in SHARE.items()}, "their shares", 60)
        before = len(data(self.host, "drains", "late"))
        slow = threading.Thread(target=self._late)
        slow.start()
        under_way(self.host, "drains", before + 4)
        self.clerk.order(verb="finish", node="drains")
        self.clerk.answered()
        return nodes

    def _late(self) -> None:
        """Requests that are under way while what answers them drains."""
        port = self.host.first_port + PORTS["drains"] - 1
        asking = [
            threading.Thread(target=lambda: self.late.append(ask_once(port, "/late"))) for _ in range(4)
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()

    def strike(self, *victims: str) -> tuple[float, float]:
        """Orders are under way in that moment."""
        for verb, node in (("promote", "changes"), ("abort", "returns"), ("finish", "ends")):
            self.clerk.order(verb=verb, node=node)
        time.sleep(self.dice.uniform(0.0, 0.15))
        struck = time.time()
        for victim in victims:
            self.host.kill(victim)
        for victim in victims:
            {"proxy": self.host.start_proxy, "mesh": self.host.start_mesh}.get(
                victim, self.host.begin_noded
            )()
        self.clerk.answered()
        return struck, time.time()

    def settle(self, before: dict[str, Node]) -> dict[str, Node]:
        """Each goes on as its name says; orders that were lost are given again."""
        for verb, node in (("promote", "changes"), ("abort", "returns"), ("finish", "ends")):
            now = self.follower.now(node)
            if sharing(0.1)(now):
                self.clerk.order(verb=verb, node=node)
        self.clerk.answered()
        wanted = {
            "prepares": sharing(0.1),
            "first": sharing(0.1),
            "changes": sharing(0.5),
            "returns": lambda n: ended(n) and whole()(n),
            "soaks": sharing(1.0),
            "ends": lambda n: ended(n) and whole()(n),
            "drains": lambda n: ended(n) and whole()(n),
        }
        nodes = self.follower.until_all(wanted, "each as it should be", 60)
        for name in ("first", "changes", "soaks"):
            told = {one["id"]: one["pid"] for one in nodes[name]["instances"]}
            was = {one["id"]: one["pid"] for one in before[name]["instances"]}
            assert told == was, f"{name} lost or doubled an instance"
        return nodes

    def checked(self, nodes: dict[str, Node]) -> None:
        """One picture of what runs, and the whole story of each."""

        def agree() -> bool:
            told = {one["id"]: one["pid"] for node in self.follower.nodes() for one in node["instances"]}
            listed = {one["instance"]: one["pid"] for one in self.host.launched()}
            return listed == told and processes(self.host) == {name: {pid} for name, pid in told.items()}

        wait_for(agree, "one picture of what runs", 20, 0.2)
        old, new = f"1.0.{self.version - 1}", f"1.0.{self.version}"
        assert (last_rollout(nodes["returns"])["phase"], nodes["returns"]["version"]) == ("rolled back", old)
        assert (last_rollout(nodes["ends"])["phase"], nodes["ends"]["version"]) == ("promoted", new)
        assert (last_rollout(nodes["drains"])["phase"], nodes["drains"]["version"]) == ("promoted", new)
        for name, rollouts in histories(self.host, PLANS).items():
            assert rollouts[0]["to_version"] == new, f"{name}: {rollouts[0]}"
            for rollout in rollouts[:1]:
                is_told(rollout)
        since = time.time()
        all_more(self.users.values(), 20)
        seen = {name: users.versions(since) for name, users in self.users.items()}
        assert (seen["returns"], seen["ends"], seen["drains"], seen["soaks"]) == ({old}, {new}, {new}, {new})
        assert old in seen["first"] and seen["changes"] == {old, new}

    def clear(self) -> None:
        """The next round begins with one version everywhere."""
        for name in ("prepares", "first", "changes", "soaks"):
            self.clerk.order(verb="finish", node=name)
        self.clerk.order(verb="retry", node="returns")
        self.clerk.answered()
        self.follower.until("returns", sharing(0.1), "the second try", 30)
        self.clerk.order(verb="finish", node="returns")
        self.clerk.answered()
        version = f"1.0.{self.version}"
        alone = {name: lambda n: whole()(n) and ended(n) and n["version"] == version for name in PLANS}
        self.follower.until_all(alone, "the new version alone", 40)

    def round(self, *victims: str) -> None:
        before = self.begin()
        started = time.time()
        struck, back = self.strike(*victims)
        nodes = self.settle(before)
        self.checked(nodes)
        for name, users in self.users.items():
            # While there is no proxy nobody answers; noded tells a new one its routes within a second.
            away = (struck - 0.5, back + 3.0) if "proxy" in victims else (0.0, 0.0)
            faults = [one for one in users.faults(started) if not away[0] <= one.at < away[1]]
            assert faults == [], f"{name}: {faults[:5]} when {victims} died at {struck:.3f}"
        if "proxy" not in victims:
            wait_for(lambda: len(self.late) >= 4, "the late answers")
            assert {text.split()[0] for text in self.late} == {"200"}, self.late
        self.late.clear()


@pytest.fixture(scope="module")
def dice(told: dict[str, str]) -> random.Random:
    seed = int(os.environ.get("NODED_TEST_SEED", time.time_ns() % 1_000_000))
    told["deaths in rollouts"] = f"NODED_TEST_SEED={seed} brings the same moments again"
    return random.Random(seed)


@pytest.fixture(scope="module")
def stages(host: Host, follower: Follower, dice: random.Random) -> Iterator[Stages]:
    host.start_mesh()
    made = Stages(host, follower, dice)
    made.apply()
    follower.until_all(dict.fromkeys(PLANS, whole()), "the first version", 60)
    with ExitStack() as stack:
        for users in made.users.values():
            stack.enter_context(users)
        yield made
    made.clerk.close()


def test_when_noded_dies_rollouts_go_on_or_end_as_they_would_have(stages: Stages) -> None:
    stages.round("noded")


def test_a_proxy_and_a_mesh_that_come_back_get_the_shares_that_were(stages: Stages) -> None:
    """In the stages that the first test left; `make soak` kills them at every transition too."""
    shares = {"prepares": 0.1, "first": 0.1, "changes": 0.5, "soaks": 1.0}
    before = {name: stages.follower.now(name)["instances"] for name in shares}
    for victim, start in (("proxy", stages.host.start_proxy), ("mesh", stages.host.start_mesh)):
        stages.host.kill(victim)
        start()
    back = time.time() + 3.0
    nodes = stages.follower.until_all({n: sharing(s) for n, s in shares.items()}, "their shares", 20)
    for name in shares:
        told = [(one["id"], one["pid"]) for one in nodes[name]["instances"]]
        assert told == [(one["id"], one["pid"]) for one in before[name]], (
            f"{name} lost or doubled an instance"
        )
    wait_for(lambda: time.time() > back, "the proxy's routes")
    all_more(stages.users.values(), 20)
    old, new = f"1.0.{stages.version - 1}", f"1.0.{stages.version}"
    seen = {name: users.versions(back) for name, users in stages.users.items()}
    assert (seen["changes"], seen["soaks"], seen["returns"]) == ({old, new}, {new}, {old})
    assert (seen["ends"], seen["drains"]) == ({new}, {new}) and old in seen["first"]
    assert {name: users.faults(back) for name, users in stages.users.items() if users.faults(back)} == {}


@pytest.mark.soak
def test_rollouts_go_on_or_end_for_long(stages: Stages, dice: random.Random) -> None:
    for number in range(LONG_ROUNDS):
        if number:
            stages.clear()
        stages.round(
            *dice.choice((("noded",), ("noded",), ("proxy",), ("mesh",), ("noded", "proxy", "mesh")))
        )
