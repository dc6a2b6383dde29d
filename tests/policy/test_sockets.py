"""A held socket outlives its instances and not the wish that somebody answers there."""

from dataclasses import replace

from noded.model.actions import Answer, CloseSocket, InstallRoute, StartInstance
from noded.model.state import Host, HostState
from nodespec.manifest import Listen, NodeSpec, Protocol, Serves
from tests.policy.build import Core, none, only, spec, starts


def echo(version: str = "1.0", port: int = 8200) -> NodeSpec:
    return replace(spec(version), serves=Serves(port, Protocol.TCP, Listen.FD))


def up() -> Core:
    core = Core()
    core.apply(echo())
    core.comes_up("shop.1")
    return core


def test_it_is_started_with_the_descriptor_and_without_a_route() -> None:
    core = Core()
    actions = core.apply(echo())
    assert only(actions, StartInstance).listen == "fd:3"
    core.comes_up("shop.1")
    none(core.done, InstallRoute)


def test_a_crash_closes_nothing() -> None:
    core = up()
    actions = core.exits("shop.1")
    none(actions, CloseSocket)
    assert starts(actions) == ["shop.2"]


def test_a_stopped_node_refuses_at_once_what_nobody_would_answer() -> None:
    core = up()
    core.order("stop")
    assert only(core.exits("shop.1", "code 0"), CloseSocket)
    assert starts(core.order("start")) == ["shop.2"]


def test_a_removed_node_closes_it() -> None:
    core = up()
    core.order("remove")
    assert only(core.exits("shop.1", "code 0"), CloseSocket)
    assert "shop" not in core.state.nodes


def test_a_new_version_overlaps_the_old_one_on_the_same_socket() -> None:
    core = up()
    assert only(core.apply(echo("1.1")), Answer).effect == "replace"
    assert starts(core.done)[-1] == "shop.2"
    assert not core.node.instances["shop.1"].leaving
    core.comes_up("shop.2")
    assert core.node.instances["shop.1"].leaving


def test_a_port_outside_the_range_is_refused_with_its_key() -> None:
    answer = only(Core().apply(echo(port=9999)), Answer)
    assert (answer.kind, "[nodes] sockets" in answer.text) == ("refused", True)


def test_the_port_of_a_socket_in_use_is_not_changed() -> None:
    core = up()
    answer = only(core.apply(echo("1.1", 8201)), Answer)
    assert answer.kind == "refused" and "nodectl stop shop" in answer.text
    core.order("stop")
    core.exits("shop.1", "code 0")
    assert only(core.apply(echo("1.1", 8201)), Answer).kind == ""


def test_a_host_without_such_ports_says_so() -> None:
    core = Core(state=HostState(host=Host(ports=((8100, 8199),)), proxy="first"))
    assert "none" in only(core.apply(echo()), Answer).text


def test_a_release_during_a_restart_starts_its_instance_once() -> None:
    """The spare of the old version may stand there; it makes that of the new one not superfluous."""
    core = up()
    assert starts(core.order("restart")) == ["shop.2"]
    core.started("shop.2")
    core.tick(1.0)
    assert starts(core.apply(echo("1.1"))) == ["shop.3"]
    for _ in range(5):
        assert starts(core.tick(0.2)) == []
    core.comes_up("shop.3")
    core.tick(1.0)
    assert core.serving() == ["shop.3"]
