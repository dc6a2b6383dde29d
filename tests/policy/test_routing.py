"""The proxy's table is made from what runs, told when it changed, and its lease is kept alive."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noded.model.actions import InstallRoute, RemoveRoute, RenewShare
from noded.model.instance import Instance, Phase, Role
from noded.model.rollout import Stage
from noded.model.route import Place
from noded.model.state import LEASE, NodeState
from noded.policy.routing import RENEW, route_of
from nodespec.manifest import Listen, NodeSpec, Protocol, Serves
from tests.policy.build import Core, none, only, release_of, rolling, running, spec


def with_instance(role: Role, phase: Phase) -> NodeState:
    wanted = spec()
    release = release_of(wanted)
    held = Instance("shop.1", release.digest, "1.0", role, phase, 1.0, 1.0, "unix:/run/s")
    return NodeState(wanted, release, instances={"shop.1": held})


@pytest.mark.parametrize(
    ("role", "phase", "place"),
    [
        (Role.STABLE, Phase.READY, Place.PINNED),
        (Role.SPARE, Phase.READY, Place.SPARE),
        (Role.CANARY, Phase.READY, Place.CANARY),
        *[(role, Phase.DRAINING, Place.DRAINING) for role in Role],
        *[(role, Phase.STARTING, None) for role in Role],
        *[(role, Phase.STOPPING, None) for role in Role],
    ],
)
def test_the_place_follows_role_and_phase(role: Role, phase: Phase, place: Place | None) -> None:
    route = route_of(with_instance(role, phase))
    assert route is not None
    assert [s.place for s in route.servers] == ([place] if place else [])


@given(st.sampled_from(list(Role)), st.sampled_from(list(Phase)))
def test_without_a_rollout_nobody_has_a_share(role: Role, phase: Phase) -> None:
    route = route_of(with_instance(role, phase))
    assert route is not None and (route.share, route.lease) == (0.0, 0.0)


def test_what_the_proxy_has_to_know_of_a_port_is_told() -> None:
    core = Core()
    core.apply(replace(spec(), serves=Serves(8100, hosts=("shop.example.org",))))
    route = core.all_of(InstallRoute)[-1].route
    assert (route.hosts, route.tcp) == (("shop.example.org",), False)


def test_connections_are_told_from_requests() -> None:
    route = route_of(replace(with_instance(Role.STABLE, Phase.READY), spec=speaking(Protocol.TCP)))
    assert route is not None and route.tcp
    held = replace(spec(), serves=Serves(8100, Protocol.TCP, Listen.FD))
    assert route_of(replace(with_instance(Role.STABLE, Phase.READY), spec=held)) is None, "nobody is between"


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_server_is_spoken_to_as_its_own_version_wants(protocol: Protocol) -> None:
    node = replace(with_instance(Role.STABLE, Phase.READY), spec=speaking(protocol))
    route = route_of(node)
    assert route is not None
    assert [server.h2 for server in route.servers] == [protocol is Protocol.GRPC]


def test_a_canary_that_was_put_back_is_told_once_more() -> None:
    node = with_instance(Role.CANARY, Phase.READY)
    route = route_of(node.having(replace(node.instances["shop.1"], raised=2)))
    assert route is not None and [server.raised for server in route.servers] == [2]


def speaking(protocol: Protocol) -> NodeSpec:
    return replace(spec(), serves=Serves(8100, protocol))


def test_a_node_without_requests_has_no_route() -> None:
    core = running(spec(port=None))
    assert core.node.route is None
    none(tuple(core.done), InstallRoute)


def test_what_has_not_changed_is_not_told_again() -> None:
    core = running(spec(spares=1))
    none(core.tick(60.0), InstallRoute)


def test_the_reason_names_what_changed() -> None:
    core = running(spec(spares=1))
    assert only(core.exits("shop.1"), InstallRoute).reason == "shop.2 is pinned; shop.1 is gone"
    core = rolling()
    assert "canary share 10% -> 0%" in only(core.order("abort"), InstallRoute).reason


def test_methods_that_may_be_repeated_are_told() -> None:
    core = Core()
    core.apply(replace(spec(), serves=Serves(8100, idempotent=("GET", "PUT"))))
    assert core.all_of(InstallRoute)[-1].route.idempotent == ("GET", "PUT")


# The share and its lease


def test_a_share_has_a_lease_that_is_renewed_in_time() -> None:
    core = rolling()
    route = core.all_of(InstallRoute)[-1].route
    assert (route.share, route.lease) == (0.1, LEASE)
    none(core.tick(RENEW - 0.5), RenewShare)
    renew = only(core.tick(0.5), RenewShare)
    assert renew.route == route and renew.reason == "share 10% for another 14 s"
    none(core.tick(RENEW - 0.5), RenewShare)


def test_the_lease_ends_unless_somebody_renews_it() -> None:
    assert 2 * RENEW < LEASE, "one reading may be late"


def test_after_the_end_nothing_is_renewed() -> None:
    core = rolling()
    core.order("abort")
    core.leave()
    none(core.tick(60.0), RenewShare)


def test_a_rollback_tells_which_starts_have_lost_their_purpose() -> None:
    core = rolling(spec(instances=2), spec("1.1", instances=2))
    route = only(core.order("abort"), InstallRoute)
    assert route.cancels == ("shop.3", "shop.4")
    assert core.rollout.stage is Stage.ROLLED_BACK


def test_nothing_is_cancelled_while_the_rollout_goes_on() -> None:
    core = rolling()
    core.order("promote")
    assert core.all_of(InstallRoute)[-1].cancels == ()


# Ports


def test_a_changed_port_takes_the_old_route_away() -> None:
    core = running()
    actions = core.apply(spec("1.1", port=8101))
    assert only(actions, RemoveRoute).port == 8100
    assert only(actions, InstallRoute).route.port == 8101


def test_the_new_door_is_open_before_the_old_one_closes() -> None:
    core = running()
    named = replace(spec("1.1"), serves=Serves(8100, hosts=("shop.example.org",)))
    told = [one for one in core.apply(named) if isinstance(one, InstallRoute | RemoveRoute)]
    assert [(type(one), one.route.hosts) for one in told] == [
        (InstallRoute, ("shop.example.org",)),
        (RemoveRoute, ()),
    ]


def test_a_node_that_serves_no_more_loses_its_route() -> None:
    core = running()
    assert only(core.apply(spec("1.1", port=None)), RemoveRoute).port == 8100


def test_a_stopped_node_keeps_its_port_without_servers() -> None:
    core = running()
    core.order("stop")
    core.leave()
    assert core.node.route is not None and core.node.route.servers == ()


def test_an_old_version_that_is_replaced_by_grpc_is_asked_as_before() -> None:
    core = running()
    core.apply(replace(spec("1.1"), serves=speaking(Protocol.GRPC).serves))
    core.tick(1.0)
    assert [(s.instance, s.h2) for s in core.all_of(InstallRoute)[-1].route.servers] == [("shop.1", False)]
    core.comes_up(*(i.id for i in core.node.instances.values() if i.version == "1.1"))
    core.tick(1.0)
    assert [s.h2 for s in core.all_of(InstallRoute)[-1].route.servers if s.instance != "shop.1"] == [True]
