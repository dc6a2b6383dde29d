"""Instances of one node on two hosts that do not handle the same types: each gets what it handles."""

import pytest

from tests.e2e.ground import wait_for
from tests.faults.mesh_world import Part, all_come
from tests.nodemesh.peers.hosts import two_hosts

pytestmark = pytest.mark.e2e
SHOP = Part("shop", publishes=("shop.placed", "shop.paid"))
TILL = Part("till", consumes={"shop.placed": False, "shop.paid": False}, instances=2)


def test_a_type_that_only_another_instance_handles_waits_for_it() -> None:
    with two_hosts() as two:
        for host in two.both:
            host.start_mesh()
        two.a.declare(SHOP, TILL)
        two.b.declare(TILL)
        wait_for(two.b.is_linked, "the link", 20.0)
        two.b.start("till.1", "handle")
        two.a.start("shop.1", "publish", MOST="3000", RATE="3000")
        acked, here, there = two.a.notes("shop.acked"), two.a.notes("till"), two.b.notes("till")
        wait_for(lambda: len(acked.read()) == 3000, "all published", 40.0)
        placed, paid = acked.of("shop.placed"), acked.of("shop.paid")
        all_come(there, lambda: set(placed))
        assert there.ids == placed, "it handles nothing else, and is given nothing else"
        # One that handles the rest: first on the host where the events are, then on the other.
        two.a.start("till.2", "handle", TYPE="shop.paid")
        all_come(here, lambda: set(paid))
        wait_for(lambda: two.a.flow("till").lag == 0, "all settled", 20.0)
        two.a.kill("till.2")
        wait_for(lambda: not two.a.is_alive("shop.1"), "its end", 20.0)
        two.a.start("shop.1", "publish", MOST="500", RATE="3000")
        wait_for(lambda: len(acked.read()) == 3500, "more published", 40.0)
        two.b.start("till.2", "handle", TYPE="shop.paid")
        all_come(there, lambda: acked.ids - paid)
        assert len(there.read()) == len(there.ids), "nothing twice"
        flow = two.a.flow("till")
        assert (flow.dead, flow.retried) == (0, 0), "nobody is blamed"
