"""Consumers that roll out by their share of the events: is any event lost, dead, or out of its order?

And does a canary keep its share when nobody renews it?
"""

import time
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.e2e.follow import Follower, ended, last_rollout, ready, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.programs import WEB, lay
from tests.faults.clerk import Clerk
from tests.faults.rollout_world import Users, data, histories, is_told, sharing

pytestmark = pytest.mark.e2e
PUBLISHES = """
import asyncio, os
from pathlib import Path
from nodekit import Node

node = Node()

@node.task
async def many():
    with Path(os.environ["NODED_DATA"], "acked").open("a") as file:
        first = 1
        while True:
            numbers = range(first, first + 5)
            await asyncio.gather(*[publish(number) for number in numbers])
            print(*numbers, sep="\\n", file=file, flush=True)
            first += 5
            await asyncio.sleep(0.02)

async def publish(number):
    await node.publish({"number": number}, type="shop.placed", subject=f"k{number // 2}")

node.main()
"""
CONSUMES = """
import os, time
from pathlib import Path
from nodekit import Node

node = Node()
handled = Path(os.environ["NODED_DATA"], "handled").open("a")

@node.on("shop.placed")
async def take(event, ctx):
    number = event["number"]
    print(number, node.version, number // 2, time.time(), file=handled, flush=True)

node.main()
"""
FAILS = CONSUMES.replace("    print(number", '    raise KeyError("broken")\n    print(number')
ORDERED = '[[consumes]]\ntype = "shop.placed"\norder_by = "subject"\n'
LOOSE = '[[consumes]]\ntype = "shop.placed"\n'
QUICK = '[rollout]\nsteps = [50, 100]\ndwell = "1s"\nsoak = "1s"\n'
STAYS = '[rollout]\nsteps = [50, 100]\ndwell = "10m"\nsoak = "10m"\n'
INSTANCES = STAYS + 'canary = "instances"\n'
NODES = {"loose": LOOSE, "ordered": ORDERED, "asks": LOOSE, "good": ORDERED}


class Line(tuple[int, str, int, float]):
    """Number, version, key, time."""

    @classmethod
    def of(cls, text: str) -> "Line":
        number, version, key, at = text.split()
        return cls((int(number), version, int(key), float(at)))


class Flow:
    def __init__(self, host: Host, follower: Follower) -> None:
        self.host, self.follower, self.clerk = host, follower, Clerk(host)
        self.web = Users(host.first_port, 30.0)

    def apply(self, name: str, version: str, program: str, tables: str, head: str = "") -> None:
        self.clerk.order(folder=str(lay(self.host, name, version, program, head=head, tables=tables)))

    def done(self) -> None:
        assert set(self.clerk.answered().values()) == {"done"}

    def handled(self, name: str) -> list[Line]:
        return [Line.of(text) for text in data(self.host, name, "handled") if text.count(" ") == 3]

    def acked(self) -> set[int]:
        return {int(text) for text in data(self.host, "source", "acked") if text}

    def all_come(self, name: str) -> None:
        """What was on disk before now."""
        acked = self.acked()
        wait_for(lambda: acked <= {line[0] for line in self.handled(name)}, f"every event at {name}", 60, 0.3)

    def in_order(self, name: str) -> None:
        """First deliveries of a key come as they were published."""
        newest: dict[int, int] = defaultdict(int)
        seen: set[int] = set()
        for number, _, key, _ in self.handled(name):
            assert number in seen or number > newest[key], f"{number} after {newest[key]} of key {key}"
            seen.add(number)
            newest[key] = max(newest[key], number)

    def versions(self, name: str, since: float) -> set[str]:
        return {line[1] for line in self.handled(name) if line[3] >= since}


@pytest.fixture(scope="module")
def flow(host: Host, follower: Follower) -> Iterator[Flow]:
    host.start_mesh()
    made = Flow(host, follower)
    made.clerk.order(folder=str(lay(host, "web", program=WEB, port=1)))
    for name, tables in NODES.items():
        made.apply(name, "1.0.0", CONSUMES, tables, "instances = 2" if name == "asks" else "")
    made.done()
    follower.until_all({n: whole(0, 1 + (n == "asks")) for n in NODES}, "the consumers", 60)
    publishes = '[[publishes]]\ntype = "shop.placed"\nschema = "placed.json"\n'
    source = lay(host, "source", program=PUBLISHES, tables=publishes)
    (source / "placed.json").write_text('{"type": "object"}')
    (source / "placed.json").chmod(0o644)
    made.clerk.order(folder=str(source))
    made.done()
    with made.web:
        wait_for(lambda: len(made.acked()) > 100, "the first events", 40)
        made.apply("loose", "2.0.0", FAILS, LOOSE + STAYS)
        made.apply("ordered", "2.0.0", FAILS, ORDERED + STAYS)
        made.apply("asks", "2.0.0", FAILS, LOOSE + INSTANCES, "instances = 2")
        made.apply("good", "1.1.0", CONSUMES, ORDERED + QUICK)
        made.done()
        yield made
    made.clerk.close()


@pytest.mark.parametrize("name", ["loose", "ordered", "asks"])
def test_a_handler_that_fails_is_found_and_its_events_go_to_stable(flow: Flow, name: str) -> None:
    count = 1 + (name == "asks")
    node = flow.follower.until(name, lambda n: ended(n) and whole(0, count)(n), "its end", 60)
    rollout = last_rollout(node)
    assert (rollout["phase"], node["version"]) == ("rolled back", "1.0.0"), rollout
    assert rollout["canary_bad"] > 0 and rollout["stable_bad"] == 0, rollout
    is_told(histories(flow.host, [name])[name][0])
    flow.all_come(name)
    if name == "ordered":
        flow.in_order(name)
    assert f'"{name}"' not in flow.host.nodectl("-o", "json", "events", "dead", check=False).stdout


def test_one_that_is_good_gets_half_of_the_keys_then_all_events_in_their_order(flow: Flow) -> None:
    node = flow.follower.until("good", lambda n: ended(n) and whole()(n), "its promotion", 90)
    rollout = last_rollout(node)
    assert (rollout["phase"], node["version"]) == ("promoted", "1.1.0"), rollout
    flow.all_come("good")
    flow.in_order("good")
    since = time.time()
    wait_for(lambda: sum(line[3] >= since for line in flow.handled("good")) >= 10, "ten more events", 20)
    assert flow.versions("good", since) == {"1.1.0"}
    begin, soak = (each["at"] for each in histories(flow.host, ["good"])["good"][0]["history"][1:3])
    within = [line for line in flow.handled("good") if begin + 1.0 < line[3] < soak - 0.2]
    if within:
        versions: dict[int, set[str]] = defaultdict(set)
        for _, version, key, _ in within:
            versions[key].add(version)
        assert all(len(found) == 1 for found in versions.values()), "a key stays with its version"
        assert {"1.0.0", "1.1.0"} == {v for found in versions.values() for v in found}


def test_without_noded_a_canary_loses_its_share_of_requests_and_events_within_15_s(flow: Flow) -> None:
    host, follower = flow.host, flow.follower
    flow.apply("loose", "2.1.0", CONSUMES, LOOSE + STAYS)
    flow.clerk.order(folder=str(lay(host, "web", "2.0.0", WEB, port=1, tables=STAYS)))
    flow.done()
    follower.until_all(dict.fromkeys(("loose", "web"), sharing(0.5)), "their shares", 60)
    wait_for(lambda: "2.1.0" in flow.versions("loose", 0.0), "events at the canary", 20)
    host.kill("noded")
    killed = time.time()
    wait_for(lambda: "2.0.0" in flow.web.versions(killed), "the lease still holds", 10)
    wait_for(lambda: time.time() > killed + 17.0, "the end of the lease", 20)
    count = len(flow.web.asked)
    wait_for(lambda: len(flow.web.asked) > count + 20, "more requests", 10)
    assert flow.web.versions(killed + 15.0) == {"1.0.0"}
    late = max((line[3] for line in flow.handled("loose") if line[1] == "2.1.0"), default=0.0)
    assert late < killed + 15.0, f"an event {late - killed:.1f} s after noded ended"
    host.start_noded()
    nodes = follower.until_all(dict.fromkeys(("loose", "web"), sharing(0.5)), "their shares again", 30)
    assert len(ready(nodes["loose"], "canary")) == 1
    back = time.time()
    wait_for(lambda: "2.0.0" in flow.web.versions(back), "requests at the canary", 20)
    wait_for(lambda: "2.1.0" in flow.versions("loose", back), "events at the canary", 20)
    for name in ("loose", "web"):
        flow.clerk.order(verb="abort", node=name)
    flow.done()
    follower.until_all(dict.fromkeys(("loose", "web"), lambda n: ended(n) and whole()(n)), "their ends", 40)
    flow.all_come("loose")
    assert flow.web.faults() == []
