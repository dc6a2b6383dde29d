"""A stalled consumer, a poison event, a clock that jumps: do the others go on as if there were nothing?"""

import subprocess
import time
from collections.abc import Iterator

import pytest

from nodeapi.v1.mesh_pb2 import DeadRequest
from tests.e2e.ground import connects, wait_for
from tests.faults.mesh_guest import Guest
from tests.faults.mesh_world import MeshWorld, Part, all_come, made, unexplained

pytestmark = pytest.mark.e2e
MIB = 2**20
DAY = 86_400
SHOP = Part("shop", ("shop.placed", "shop.paid"))
SHELF = Part("shelf", consumes={"shop.placed": False}, instances=2)
WAITING = 300_000
MOST_RESIDENT = 120 * MIB
GROUP = 256
JUMPS = """
import sys, time
real, shift = time.time, sys.argv.pop(1)
def jumping():
    return real() + (float(shift) if shift != "wild" else 86400 * (int(time.monotonic()) % 3 - 1))
time.time = jumping
from nodemesh.main import main
sys.exit(main())
"""
"""The mesh itself, with a wall clock that is a day off, or another day off every second."""


@pytest.fixture(params=[False, True], ids=["plain", "ordered"])
def stalled(request: pytest.FixtureRequest) -> Iterator[MeshWorld]:
    """Of two consumers of the same events one wants none of them."""
    with made() as world:
        world.start_mesh()
        consumes = {"shop.placed": request.param}
        world.declare(SHOP, Part("swift", consumes=consumes), Part("stall", consumes=consumes))
        yield world


def test_what_waits_for_a_stalled_consumer_waits_on_disk(stalled: MeshWorld) -> None:
    with Guest(stalled.socket) as shop, Guest(stalled.socket) as swift, Guest(stalled.socket) as stall:
        shop.greet("shop.1")
        swift.subscribe("swift.1", 8192)
        stall.subscribe("stall.1", 0)
        sent = got = acked = 0
        most = longest = 0.0
        while got < WAITING:
            began = time.monotonic()
            while sent < min(WAITING, acked + 32 * GROUP):
                shop.publish(*(bytes(256) for _ in range(GROUP)))
                sent += GROUP
            acked = shop.published().through
            while got < acked:
                frame = swift.delivered()
                got += frame.head.count if not frame.columns.index else len(frame.columns.index)
                swift.settle(frame.delivery.number, got + 8192)
            longest = max(longest, time.monotonic() - began)
            most = max(most, stalled.rss("mesh"))
        assert most <= MOST_RESIDENT, f"{most / MIB:.0f} MiB"
        # Nobody waits for the one who stands still: what is on disk is handed out at once.
        assert longest < 5.0
        wait_for(lambda: stalled.flow("swift").lag == 0, "an end of what waits for the other", 10.0)
        assert stalled.flow("stall").lag > 500
        assert stalled.rss("mesh") <= MOST_RESIDENT
        stalled.kill("mesh")
        stalled.start_mesh()
        with Guest(stalled.socket) as late:
            late.subscribe("stall.1", 8192)
            late.delivered()
            assert stalled.rss("mesh") <= MOST_RESIDENT


@pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])
@pytest.mark.parametrize("transport", ["raw", "grpc"])
def test_an_event_that_kills_its_consumer_is_set_aside(transport: str, ordered: bool) -> None:
    poison, most, kills = 120, 600, 0
    with made(transport) as world:
        world.start_mesh()
        world.declare(SHOP, Part("falls", consumes={"shop.placed": ordered}, instances=2))
        for instance in ("falls.1", "falls.2"):
            world.start(instance, "fall", POISON=str(poison))
        world.start("shop.1", "publish", MOST=str(most), RATE="1000")
        acked, falls = world.notes("shop.acked"), world.notes("falls")
        deadline = time.monotonic() + 60.0
        while True:
            for instance in ("falls.1", "falls.2"):
                if not world.is_alive(instance):
                    assert world.processes[instance].wait() == 7, world.log(instance)
                    kills += 1
                    world.start(instance, "fall", POISON=str(poison))
            placed = acked.of("shop.placed")
            if len(acked.read()) == most and len(placed - falls.ids) <= 1 and world.flow("falls").dead:
                break
            assert time.monotonic() < deadline, f"{kills} kills, missing {len(placed - falls.ids)}"
            time.sleep(0.02)
        with world.control() as control:
            (dead,) = control.ListDead(DeadRequest(node="falls"), timeout=10).dead
        assert {dead.event.id} == placed - falls.ids
        assert "ended" in dead.reason
        assert 2 <= kills <= 6, kills


@pytest.mark.parametrize("shift", [str(-DAY), str(DAY), "wild"])
def test_a_wall_clock_that_jumps_holds_nothing_up(shift: str) -> None:
    with made() as world:
        world.start_mesh()
        world.declare(SHOP, SHELF)
        for instance in ("shelf.1", "shelf.2"):
            world.start(instance, "handle")
        world.start("shop.1", "publish")
        acked, shelf = world.notes("shop.acked"), world.notes("shelf")
        wait_for(lambda: len(acked.read()) > 200, "the first events", 30.0)
        for program in (["-c", JUMPS, shift], ["-m", "nodemesh"]):
            world.kill("mesh")
            world.start_mesh(program=program)
            found = len(acked.read())
            wait_for(lambda f=found: len(acked.read()) > f + 1000, "more events on disk", 30.0)  # type: ignore[misc]
            all_come(shelf, lambda: acked.of("shop.placed"))
        assert "Traceback" not in world.log("mesh")
        assert "going on in a new" not in world.log("shop.1")


def can_shift() -> bool:
    tried = subprocess.run(["unshare", "-T", "--boottime", "1000", "true"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(not can_shift(), reason="needs root and time namespaces")
@pytest.mark.parametrize("before", [True, False], ids=["younger", "older"])
def test_what_waits_for_its_next_try_does_not_wait_for_a_clock_of_another_boot(before: bool) -> None:
    """After a reboot the steady clock begins anew: far below what it showed, or above."""
    shifted = ["unshare", "-T", "--fork", "--kill-child", "--boottime", str(100 * DAY), "--"]
    with made() as world:
        world.start_mesh(shifted if before else ())
        world.declare(SHOP, Part("ill", consumes={"shop.placed": False}))
        world.start("ill.1", "stumble")
        world.start("shop.1", "publish", MOST="100", RATE="2000")
        acked, ill, tried = (world.notes(name) for name in ("shop.acked", "ill", "ill.tried"))
        wait_for(lambda: acked.of("shop.placed") <= tried.ids and len(acked.read()) == 100, "a try", 30.0)
        # Trials are written down ten times a second.
        wait_for(lambda: len(tried.read()) > 250, "second tries", 30.0)
        world.kill("mesh")
        (world.folder / "well").touch()
        wait_for(lambda: not connects(world.socket), "its end", 10.0)
        world.start_mesh(() if before else shifted)
        all_come(ill, lambda: acked.of("shop.placed"), 20.0)


def test_a_type_without_a_handler_costs_nothing_and_holds_up_no_other() -> None:
    """As in a rollout that begins to consume it, while the old release still runs."""
    with made() as world:
        world.start_mesh()
        world.declare(SHOP, Part("shelf", consumes={"shop.placed": False, "shop.paid": False}))
        world.start("shelf.1", "handle")
        world.start("shop.1", "publish", MOST="1000", RATE="2000")
        acked, shelf = world.notes("shop.acked"), world.notes("shelf")
        wait_for(lambda: len(acked.read()) == 1000, "all events on disk", 30.0)
        all_come(shelf, lambda: acked.of("shop.placed"))
        with pytest.raises(TimeoutError):
            wait_for(lambda: world.flow("shelf").versions[0].delivered > 960, "nothing", 1.0)
        world.kill("mesh")
        world.start_mesh()
        # The next release handles both.
        assert world.stop("shelf.1") == 0
        world.start("shelf.1", "keep_order")
        all_come(shelf, lambda: set(acked.ids))
        assert len(shelf.read()) == len(shelf.ids)
        wait_for(lambda: world.flow("shelf").lag == 0, "an end of what waits", 10.0)
        assert not any(flow.dead for flow in world.map().flows)


def test_a_mesh_that_is_stopped_doubles_only_what_was_in_hand() -> None:
    with made() as world:
        world.start_mesh()
        world.declare(SHOP, SHELF)
        for instance in ("shelf.1", "shelf.2"):
            world.start(instance, "handle")
        world.start("shop.1", "publish")
        acked, shelf = world.notes("shop.acked"), world.notes("shelf")
        for _ in range(3):
            found = len(acked.read())
            wait_for(lambda f=found: len(acked.read()) > f + 300, "more events on disk", 30.0)  # type: ignore[misc]
            assert world.stop("mesh") == 0
            world.start_mesh()
        all_come(shelf, lambda: acked.of("shop.placed"))
        assert unexplained(world, shelf.read()) == []
