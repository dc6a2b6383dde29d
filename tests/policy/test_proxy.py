"""A proxy that comes back is told everything, one that is away is waited for, a refusal is no storm."""

import pytest

from noded.model.actions import ForgetNode, InstallRoute
from noded.model.inputs import ActionFailed, ProxyFound, ProxyLost
from tests.policy.build import none, only, rolling, running, spec


def test_a_restarted_proxy_is_told_every_route() -> None:
    core = running()
    core.apply(spec(name="till", port=8101))
    actions = core.tell(ProxyFound(core.at, "second"))
    assert sorted(a.node for a in actions if isinstance(a, InstallRoute)) == ["shop", "till"]
    assert core.state.proxy == "second"


def test_the_same_proxy_is_told_nothing_again() -> None:
    core = running()
    none(core.tell(ProxyFound(core.at, "first")), InstallRoute)


def test_while_it_is_away_nothing_is_told_and_everything_afterwards() -> None:
    core = running(spec(spares=1))
    core.tell(ProxyLost(core.at, "connection refused"))
    none(core.exits("shop.1"), InstallRoute)
    core.comes_up("shop.3")
    route = only(core.tell(ProxyFound(core.at, "first")), InstallRoute).route
    assert {s.instance: s.place.value for s in route.servers} == {"shop.2": "pinned", "shop.3": "spare"}


def test_the_share_is_kept_while_the_proxy_is_away() -> None:
    core = rolling()
    core.tell(ProxyLost(core.at, "connection refused"))
    core.tick(30.0)
    assert core.rollout.share == 0.1
    assert only(core.tell(ProxyFound(core.at, "second")), InstallRoute).route.share == 0.1


@pytest.mark.parametrize("action", ["InstallRoute", "RenewShare"])
def test_a_route_that_was_refused_is_told_again_with_the_next_reading_and_not_at_once(action: str) -> None:
    core = rolling()
    assert core.tell(ActionFailed(core.at, action, "shop", "", "Refused", "no such slot")) == ()
    again = only(core.tick(1.0), InstallRoute)
    assert again.route.share == 0.1


def test_a_refusal_for_a_node_that_is_gone_is_nothing() -> None:
    core = running()
    core.order("remove")
    core.leave()
    assert core.tell(ActionFailed(core.at, "RemoveRoute", "shop", "", "Unavailable", "away")) == ()


def test_a_removed_node_waits_for_the_proxy_to_take_its_route() -> None:
    core = running()
    core.tell(ProxyLost(core.at, "connection refused"))
    core.order("remove")
    core.leave()
    assert "shop" in core.state.nodes
    assert only(core.tell(ProxyFound(core.at, "second")), ForgetNode)
