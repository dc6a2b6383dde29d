"""Is any event lost, doubled without a reason, or out of its order, whoever is killed and whenever?"""

import asyncio
import os
import random
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from nodemesh.adapters import frames
from nodemesh.adapters.sqlite_log import SqliteLog
from tests.e2e.ground import wait_for
from tests.faults.mesh_world import MeshWorld, Notes, Part, all_come, made, unexplained

pytestmark = pytest.mark.e2e
ROUNDS, LONG_ROUNDS = 10, 100
"""For each transport."""
PARTS = (
    Part("shop", ("shop.placed", "shop.paid")),
    Part("shelf", consumes={"shop.placed": False}, instances=2),
    Part("ledger", consumes={"shop.placed": True, "shop.paid": True}, instances=2),
    Part("till", ("till.booked",), {"shop.paid": True}, instances=2),
    Part("audit", consumes={"till.booked": False}),
)
PROGRAMS = {"shop": "publish", "shelf": "handle", "ledger": "keep_order", "till": "book", "audit": "audit"}
INSTANCES = [f"{part.name}.{n}" for part in PARTS for n in range(1, part.instances + 1)]
TOGETHER = 0.2
"""Share of the rounds in which the mesh and all who consume are killed at once."""
PROGRESS = 150
"""Events from one round to the next."""


@dataclass
class Shop:
    world: MeshWorld
    acked: Notes
    shelf: Notes
    ledger: Notes

    def start(self, instance: str) -> None:
        self.world.start(instance, PROGRAMS[instance.partition(".")[0]])

    @property
    def placed(self) -> set[str]:
        """Those that were acknowledged."""
        return self.acked.of("shop.placed")


@pytest.fixture(scope="module", params=["raw", "grpc"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    with made(request.param) as world:
        world.start_mesh()
        world.declare(*PARTS)
        shop = Shop(world, world.notes("shop.acked"), world.notes("shelf"), world.notes("ledger"))
        for instance in INSTANCES:
            shop.start(instance)
        wait_for(lambda: len(shop.acked.read()) > PROGRESS, "the first events", 40.0)
        yield shop


def strike(shop: Shop, dice: random.Random) -> list[str]:
    """Kills one to three at random moments, or the mesh and all consumers; each is started again."""
    others = [each for each in INSTANCES if each != "shop.1"]
    chosen = ["mesh", "mesh", "shop.1", *dice.sample(others, 2)]
    together = dice.random() < TOGETHER
    victims = ["mesh", *others] if together else dice.sample(chosen, dice.randint(1, 3))
    down: list[str] = []
    for victim in dict.fromkeys(victims):
        time.sleep(0.0 if together else dice.uniform(0.0, 0.25))
        shop.world.kill(victim)
        down.append(victim)
        if not together and dice.random() < 0.5:
            revive(shop, down)
    time.sleep(dice.uniform(0.0, 0.25))
    revive(shop, down)
    return victims


def revive(shop: Shop, down: list[str]) -> None:
    while down:
        who = down.pop()
        if who == "mesh":
            shop.world.start_mesh()
        else:
            shop.start(who)


def rounds(shop: Shop, count: int, seed: int) -> None:
    dice = random.Random(seed)
    for number in range(count):
        before = len(shop.acked.read())
        victims = strike(shop, dice)
        try:
            wait_for(lambda b=before: len(shop.acked.read()) > b + PROGRESS, "more events on disk", 40.0)
            all_come(shop.shelf, lambda: shop.placed)
            all_come(shop.ledger, lambda: set(shop.acked.ids))
        except TimeoutError as error:
            raise AssertionError(f"round {number} of seed {seed}, {victims} killed: {error}") from error


def check(shop: Shop) -> None:
    """After all of it."""
    before = len(shop.acked.read())
    wait_for(lambda: len(shop.acked.read()) > before, "a publisher that runs", 20.0)
    assert shop.world.stop("shop.1") == 0
    all_come(shop.shelf, lambda: shop.placed)
    all_come(shop.ledger, lambda: set(shop.acked.ids))
    assert unordered(shop.ledger.read()) == []
    for notes in (shop.shelf, shop.ledger):
        assert unexplained(shop.world, notes.read()) == []
    paid = shop.acked.of("shop.paid")
    wait_for(lambda: paid <= set(column(shop, "till", "booked", "id")), "all that is booked", 60.0)
    wait_for(lambda: paid <= set(column(shop, "audit", "seen", "of")), "all that is published for it", 60.0)
    for where in (("till", "booked", "id"), ("audit", "seen", "of")):
        found = column(shop, *where)
        assert len(found) == len(set(found)), f"{where} has some of them twice"
    assert not any(flow.dead for flow in shop.world.map().flows)
    assert shop.world.stop("mesh") == 0
    assert "Traceback" not in shop.world.log("mesh")
    assert "going on in a new" not in shop.world.log("shop.1"), "the mesh forgot a stream"
    whole(shop)


def column(shop: Shop, name: str, table: str, what: str) -> list[str]:
    db = sqlite3.connect(shop.world.folder / f"{name}.db", timeout=20)
    try:
        return [each for (each,) in db.execute(f"SELECT {what} FROM {table}")]
    finally:
        db.close()


def place(id: str) -> tuple[str, int]:
    stream, _, sequence = id.rpartition(".")
    return stream, int(sequence)


def unordered(lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Events that were handled for the first time after a later one of their key."""
    found, seen = [], set()
    newest: dict[tuple[str, str], int] = defaultdict(int)
    for id, key, *_ in lines:
        stream, sequence = place(id)
        if id not in seen and sequence < newest[stream, key]:
            found.append(f"{id} after {newest[stream, key]}")
        seen.add(id)
        newest[stream, key] = max(newest[stream, key], sequence)
    return found


def whole(shop: Shop) -> None:
    """The log opens, has lost nothing, and holds every event that was acknowledged."""
    state = shop.world.state

    async def held() -> set[str]:
        log = await SqliteLog.open(state / "log", state / "aside")
        try:
            ids: set[str] = set()
            start = 1
            while start <= log.span.newest:
                found, start = await log.read(start, frozenset(), 1 << 20)
                for stored in found:
                    head, _ = frames.read(stored.data)
                    assert head == stored.head
                    ids |= {f"{head.stream}.{n}" for n in range(head.first, head.last + 1)}
            assert log.lost == ()
            return ids
        finally:
            await log.close()

    assert shop.acked.ids <= asyncio.run(held())
    assert not list((state / "aside").glob("*"))


def seed_of(shop: Shop, told: dict[str, str]) -> int:
    seed = int(os.environ.get("NODED_SEED") or random.SystemRandom().randrange(10**6))
    told[f"seed of the mesh's deaths, {shop.world.transport}"] = f"NODED_SEED={seed}"
    print(f"NODED_SEED={seed}", file=sys.stderr)
    return seed


def test_no_event_is_lost_whoever_is_killed(shop: Shop, told: dict[str, str]) -> None:
    rounds(shop, ROUNDS, seed_of(shop, told))
    check(shop)


@pytest.mark.soak
def test_no_event_is_lost_in_many_rounds(shop: Shop, told: dict[str, str]) -> None:
    rounds(shop, LONG_ROUNDS, seed_of(shop, told))
    check(shop)
