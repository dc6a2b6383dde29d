"""Two hosts, a mesh each: is any event lost, doubled without a reason or out of its order, whoever is killed,
and whenever the wire between them is cut?"""

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.e2e.ground import wait_for
from tests.faults.mesh_world import IN_HAND, SETTLED, Kill, Notes, Part, all_come
from tests.faults.test_mesh_deaths import unordered
from tests.nodemesh.peers.hosts import Host, Two, two_hosts

pytestmark = pytest.mark.e2e
ROUNDS, LONG_ROUNDS = 20, 200
LONGEST = 45.0
"""Seconds in which the rounds of every run are over: on a busy host there are fewer."""
PROGRESS = 100
SHOP = Part("shop", ("shop.placed", "shop.paid"))
TILL = Part("till", consumes={"shop.placed": False}, instances=2)
LEDGER = Part("ledger", consumes={"shop.placed": True, "shop.paid": True}, instances=2)
AWAY = 1.5
"""Seconds that it may take until a mesh knows that the other is gone; its consumers go on meanwhile."""


@dataclass
class Hosts:
    two: Two
    acked: Notes
    till: Notes
    ledger: Notes

    def where(self, who: str) -> tuple[Host, str]:
        """`a mesh`, `b till.1`."""
        host, _, name = who.partition(" ")
        return (self.two.a if host == "a" else self.two.b), name

    def start(self, who: str) -> None:
        host, name = self.where(who)
        if name == "wire":
            self.two.wire.mend()
        elif name == "mesh":
            host.start_mesh()
        else:
            node = name.partition(".")[0]
            host.start(name, {"shop": "publish", "till": "handle", "ledger": "keep_order"}[node], RATE="400")

    def end(self, who: str) -> None:
        host, name = self.where(who)
        if name == "wire":
            self.two.wire.cut()
            host.kills.append(Kill("mesh", 0, time.monotonic()))
        else:
            host.kill(name)


ALL = ("a mesh", "b mesh", "a shop.1", "b till.1", "b till.2", "b ledger.1", "b ledger.2")


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with two_hosts() as two:
        for host in two.both:
            host.start_mesh()
        two.a.declare(SHOP)
        two.b.declare(TILL, LEDGER)
        wait_for(two.b.is_linked, "the link", 20.0)
        made = Hosts(two, two.a.notes("shop.acked"), two.b.notes("till"), two.b.notes("ledger"))
        for who in ALL[2:]:
            made.start(who)
        wait_for(lambda: len(made.till.read()) > PROGRESS, "the first events", 40.0)
        yield made


def strike(hosts: Hosts, dice: random.Random) -> list[str]:
    """One to three end at random moments, and are begun again in another order."""
    victims = dice.sample([*ALL, "b wire", "a mesh", "b mesh"], dice.randint(1, 3))
    victims = list(dict.fromkeys(victims))
    for victim in victims:
        time.sleep(dice.uniform(0.0, 0.2))
        hosts.end(victim)
    for victim in dice.sample(victims, len(victims)):
        time.sleep(dice.uniform(0.0, 0.2))
        hosts.start(victim)
    return victims


def rounds(hosts: Hosts, count: int, seed: int, longest: float = float("inf")) -> int:
    dice, until = random.Random(seed), time.monotonic() + longest
    for number in range(count):
        if time.monotonic() > until:
            return number
        before = len(hosts.acked.read())
        victims = strike(hosts, dice)
        try:
            wait_for(more(hosts.acked, before + PROGRESS), "more events on disk", 40.0)
            all_come(hosts.till, lambda: hosts.acked.of("shop.placed"))
            all_come(hosts.ledger, lambda: set(hosts.acked.ids))
        except TimeoutError as error:
            raise AssertionError(f"round {number} of seed {seed}, {victims} ended: {error}") from error
    return count


def more(notes: Notes, count: int) -> Callable[[], bool]:
    return lambda: len(notes.read()) > count


def check(hosts: Hosts) -> None:
    assert hosts.two.a.stop("shop.1") == 0
    all_come(hosts.till, lambda: hosts.acked.of("shop.placed"))
    all_come(hosts.ledger, lambda: set(hosts.acked.ids))
    assert unordered(hosts.ledger.read()) == []
    for notes in (hosts.till, hosts.ledger):
        assert doubled(hosts, notes.read()) == []
    assert not any(flow.dead for host in hosts.two.both for flow in host.map().flows)
    for host in hosts.two.both:
        assert host.stop("mesh") == 0
        assert "Traceback" not in host.log("mesh")


def doubled(hosts: Hosts, lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Handled again, though nobody between them and the log was ended around the first time."""
    kills = [*hosts.two.a.kills, *hosts.two.b.kills]
    before: dict[str, tuple[int, float]] = {}
    found = []
    for id, _, attempt, instance, pid, at in lines:
        if id in before:
            by, first = before[id]
            near = [k for k in kills if first - IN_HAND - AWAY <= k.at <= min(float(at), first + SETTLED)]
            if not any(kill.who == "mesh" or kill.pid == by for kill in near):
                found.append(f"{id}, attempt {attempt}, by {instance} {float(at) - first:.3f} s later")
        before[id] = int(pid), float(at)
    return found


def seed_of(told: dict[str, str]) -> int:
    seed = int(os.environ.get("NODED_SEED") or random.SystemRandom().randrange(10**6))
    told["seed of the deaths of two meshes"] = f"NODED_SEED={seed}"
    print(f"NODED_SEED={seed}", file=sys.stderr)
    return seed


def test_no_event_is_lost_between_two_hosts(hosts: Hosts, told: dict[str, str]) -> None:
    done = rounds(hosts, ROUNDS, seed_of(told), LONGEST)
    assert done >= 5, f"{done} rounds in {LONGEST:g} s"
    check(hosts)


@pytest.mark.soak
def test_no_event_is_lost_between_two_hosts_in_many_rounds(hosts: Hosts, told: dict[str, str]) -> None:
    rounds(hosts, LONG_ROUNDS, seed_of(told))
    check(hosts)
