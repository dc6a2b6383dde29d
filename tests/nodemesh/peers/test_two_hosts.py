"""Do events of one host reach the nodes of another, whatever happens to the wire and to either mesh?"""

from collections.abc import Callable

import pytest

from tests.e2e.ground import wait_for
from tests.faults.mesh_world import Notes, Part, all_come
from tests.nodemesh.peers.hosts import Authority, Host, Two, served, two_hosts

pytestmark = pytest.mark.e2e
SHOP = Part("shop", publishes=("shop.placed", "shop.paid"))
TILL = Part("till", consumes={"shop.placed": False})


def begin(two: Two) -> None:
    for host in two.both:
        host.start_mesh()
    two.a.declare(SHOP)
    two.b.declare(TILL)
    linked(two.b)


def linked(host: Host, is_so: bool = True, timeout: float = 10.0) -> None:
    wait_for(lambda: host.is_linked() is is_so, f"{host.name}'s link to be {is_so}", timeout, 0.05)


def acked(host: Host, kind: str = "shop.placed") -> Callable[[], set[str]]:
    notes = host.notes("shop.acked")

    def read() -> set[str]:
        return {line[0] for line in notes.read() if line[1] == kind}

    return read


def until_more(count: Callable[[], int], more: int) -> None:
    enough = count() + more
    wait_for(lambda: count() >= enough, f"{more} more events", 20.0, 0.02)


def test_events_of_one_host_are_handled_on_the_other() -> None:
    with two_hosts() as two:
        begin(two)
        two.b.start("till.1", "handle")
        two.a.start("shop.1", "publish", MOST="2000", RATE="20000")
        handled, wanted = two.b.notes("till"), acked(two.a)
        wait_for(lambda: len(wanted()) >= 1900, "all published")
        all_come(handled, wanted)
        assert len(handled.read()) == len(handled.ids)
        wait_for(lambda: two.a.flow("till").lag == 0, "settled at the origin")
        assert two.b.map().peers[0].received == two.a.map().peers[0].sent == len(handled.ids)


def test_a_link_that_is_cut_loses_nothing() -> None:
    with two_hosts() as two:
        begin(two)
        two.b.start("till.1", "handle")
        two.a.start("shop.1", "publish", RATE="2000")
        handled, wanted = two.b.notes("till"), acked(two.a)
        for _ in range(2):
            until_more(lambda: len(handled.ids), 300)
            two.wire.cut()
            linked(two.b, False)
            until_more(lambda: len(wanted()), 200)
            two.wire.mend()
            linked(two.b)
        two.a.stop("shop.1")
        all_come(handled, wanted)
        assert two.a.flow("till").dead == 0
        assert two.a.flow("till").retried == 0


def test_a_frozen_link_is_found_in_five_seconds() -> None:
    with two_hosts() as two:
        begin(two)
        two.b.start("till.1", "handle")
        two.a.start("shop.1", "publish", RATE="500")
        handled, wanted = two.b.notes("till"), acked(two.a)
        until_more(lambda: len(handled.ids), 200)
        two.wire.freeze()
        linked(two.b, False, timeout=5.0)
        wait_for(lambda: two.a.flow("till").sessions == 0, "that a sees it too", 5.0, 0.05)
        two.wire.thaw()
        linked(two.b)
        two.a.stop("shop.1")
        all_come(handled, wanted)


def test_a_frozen_mesh_is_found_in_five_seconds() -> None:
    with two_hosts() as two:
        begin(two)
        with two.a.frozen("mesh"):
            linked(two.b, False, timeout=5.0)
        linked(two.b)
        with two.b.frozen("mesh"):
            linked(two.a, False, timeout=5.0)
        linked(two.a)


def test_either_mesh_may_be_killed() -> None:
    with two_hosts() as two:
        begin(two)
        two.b.start("till.1", "handle")
        two.a.start("shop.1", "publish", RATE="1000")
        handled, wanted = two.b.notes("till"), acked(two.a)
        for host in (two.a, two.b, two.a):
            until_more(lambda: len(handled.ids), 300)
            host.kill("mesh")
            host.start_mesh()
            linked(two.b)
        two.a.stop("shop.1")
        all_come(handled, wanted)


def test_order_by_subject_holds_over_hosts_and_through_failures() -> None:
    """`keep_order` fails one event of some at the first try: those behind it wait."""
    with two_hosts() as two:
        begin(two)
        two.b.declare(Part("till", consumes={"shop.placed": True, "shop.paid": True}, instances=2))
        for instance in ("till.1", "till.2"):
            two.b.start(instance, "keep_order")
        two.a.start("shop.1", "publish", MOST="1500", RATE="5000")
        handled, wanted = two.b.notes("till"), acked(two.a)
        wait_for(lambda: len(wanted()) >= 1400, "all published", 20.0)
        all_come(handled, wanted)
        lines = sorted(handled.read(), key=lambda line: float(line[5]))
        for subject in {line[1] for line in lines}:
            places = [int(line[0].rpartition(".")[2]) for line in lines if line[1] == subject]
            assert places == sorted(places)
        assert any(line[2] == "2" for line in lines)


def test_one_instance_of_a_node_on_both_hosts_gets_an_event() -> None:
    with two_hosts() as two:
        begin(two)
        two.a.declare(SHOP, TILL)
        for host in two.both:
            host.start("till.1", "handle")
        wait_for(lambda: two.a.flow("till").sessions == 2, "both")
        two.a.start("shop.1", "publish", MOST="3000", RATE="3000")
        here, there, wanted = two.a.notes("till"), two.b.notes("till"), acked(two.a)
        wait_for(lambda: len(wanted()) >= 2800, "all published", 20.0)
        wait_for(lambda: wanted() <= here.ids | there.ids, "all handled", 20.0)
        assert not here.ids & there.ids
        assert here.ids and there.ids


def test_events_wait_for_a_host_that_is_away_and_until_its_node_is_gone() -> None:
    with two_hosts() as two:
        begin(two)
        wait_for(lambda: any(f.consumer == "till" for f in two.a.map().flows), "the word of b's node")
        two.b.kill("mesh")
        two.a.start("shop.1", "publish", MOST="500", RATE="5000")
        wanted = acked(two.a)
        wait_for(lambda: len(wanted()) >= 450, "all published")
        two.a.kill("mesh")
        two.a.start_mesh()
        assert two.a.flow("till").lag > 0
        two.b.start_mesh()
        two.b.start("till.1", "handle")
        all_come(two.b.notes("till"), wanted)
        two.b.stop("till.1")
        two.b.declare()
        two.b.gone("till")
        wait_for(lambda: not any(f.consumer for f in two.a.map().flows), "forgotten")


def test_a_poison_event_is_set_aside_at_its_origin() -> None:
    with two_hosts() as two:
        begin(two)
        two.a.start("shop.1", "publish", MOST="60", RATE="5000")
        wanted = acked(two.a)
        wait_for(lambda: len(wanted()) >= 50, "all published")
        handled, kills = two.b.notes("till"), 0
        while not (two.a.flow("till").dead and len(wanted() - handled.ids) <= 1):
            assert kills < 8
            two.b.start("till.1", "fall", POISON="7")
            wait_for(lambda: not two.b.is_alive("till.1") or two.a.flow("till").dead > 0, "its end")
            if not two.b.is_alive("till.1"):
                kills += 1
            else:
                all_come_but_one(handled, wanted)
        assert two.a.flow("till").dead == 1
        assert kills <= 5


def all_come_but_one(handled: Notes, wanted: Callable[[], set[str]]) -> None:
    wait_for(lambda: len(wanted() - handled.ids) <= 1, "all but the poison", 20.0)


def test_certificates_are_rotated_without_a_restart() -> None:
    with two_hosts() as two:
        begin(two)
        two.b.start("till.1", "handle")
        two.a.start("shop.1", "publish", RATE="1000")
        handled, wanted = two.b.notes("till"), acked(two.a)
        for host in two.both:
            until_more(lambda: len(handled.ids), 200)
            before = served(two.a.port)
            two.authority.give(host.tls, f"DNS:{host.name}")
            if host is two.a:
                assert served(two.a.port) != before
        until_more(lambda: len(handled.ids), 3000)
        # Only the new ones are good now.
        two.wire.cut()
        two.wire.mend()
        linked(two.b)
        two.a.stop("shop.1")
        all_come(handled, wanted)


def test_rotation_alone_sends_nothing_twice() -> None:
    with two_hosts() as two:
        begin(two)
        two.b.start("till.1", "handle")
        two.a.start("shop.1", "publish", RATE="1000")
        handled, wanted = two.b.notes("till"), acked(two.a)
        until_more(lambda: len(handled.ids), 500)
        two.authority.give(two.b.tls, "DNS:b")
        until_more(lambda: len(handled.ids), 3000)
        two.a.stop("shop.1")
        all_come(handled, wanted)
        assert len(handled.read()) == len(handled.ids)


def test_files_that_cannot_be_used_change_nothing() -> None:
    with two_hosts() as two:
        begin(two)
        for host in two.both:
            (host.tls / "host.pem").write_text("no certificate")
        wait_for(lambda: "used on" in two.b.log("mesh"), "a word in the journal")
        two.wire.cut()
        linked(two.b, False)
        two.wire.mend()
        linked(two.b)


def test_a_certificate_of_another_host_is_refused_on_either_side() -> None:
    with two_hosts() as two:
        two.authority.give(two.b.tls, "DNS:c", "URI:spiffe://noded/c")
        for host in two.both:
            host.start_mesh()
        two.b.declare(TILL)
        wait_for(lambda: "the certificate is not 'b'" in two.b.problem, "a's refusal", 10.0, 0.05)
        wait_for(lambda: "ostname" in two.a.problem, "what a says of b", 10.0, 0.05)
        assert not two.a.is_linked() and not two.b.is_linked()


def test_a_certificate_of_another_authority_is_refused() -> None:
    with two_hosts() as two:
        Authority(two.b.folder / "ca").give(two.b.tls, "DNS:b")
        for host in two.both:
            host.start_mesh()
        two.b.declare(TILL)
        wait_for(lambda: two.b.problem not in ("", "not asked yet"), "the problem", 10.0, 0.05)
        assert not two.b.is_linked()


def test_who_is_not_listed_is_not_let_in() -> None:
    with two_hosts() as two:
        two.a.peers = {}
        two.a.settings()
        for host in two.both:
            host.start_mesh()
        two.b.declare(TILL)
        wait_for(lambda: "is no peer of this host" in two.b.problem, "a's refusal", 10.0, 0.05)
