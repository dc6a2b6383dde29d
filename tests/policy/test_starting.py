"""Instances are started when they are missing, later after failures, and spares take over at once."""

from dataclasses import replace

import pytest

from noded.model.actions import ActivateInstance, KillInstance, StartInstance, StopInstance, WakeAt
from noded.model.inputs import ActionFailed, Woken
from noded.model.instance import Phase
from noded.model.state import Host, HostState
from nodespec.manifest import Listen, Serves, Stop
from tests.policy.build import HOST, Core, none, only, release_of, rolling, running, spec, starts


def test_a_new_node_gets_its_instances_and_spares() -> None:
    actions = Core().apply(spec(instances=2, spares=1))
    started = [a for a in actions if isinstance(a, StartInstance)]
    assert [a.active for a in started] == [True, True, False]
    assert starts(actions) == ["shop.1", "shop.2", "shop.3"]
    assert started[0].reason == "0 of 2 instances run"


def test_a_ready_spare_takes_the_place_of_a_crashed_instance_at_once() -> None:
    core = running(spec(spares=1))
    actions = core.exits("shop.1")
    assert only(actions, ActivateInstance).instance == "shop.2"
    assert starts(actions) == ["shop.3"]
    assert core.places() == {"shop.2": "stable ready", "shop.3": "spare starting"}


def test_a_spare_that_is_not_ready_takes_over_and_is_activated_when_it_is() -> None:
    core = Core()
    core.apply(spec(spares=1))
    core.comes_up("shop.1")
    core.started("shop.2")
    none(core.exits("shop.1"), ActivateInstance)
    assert core.places()["shop.2"] == "stable starting"
    assert only(core.ready("shop.2"), ActivateInstance).instance == "shop.2"


def test_the_first_crash_is_answered_at_once_and_the_second_after_a_delay() -> None:
    core = running()
    assert starts(core.exits("shop.1")) == ["shop.2"]
    core.comes_up("shop.2")
    actions = core.exits("shop.2")
    wake = only(actions, WakeAt)
    assert starts(actions) == [] and 0.5 <= wake.at - core.at <= 0.55
    none(core.tick(0.2), WakeAt)
    core.at = wake.at
    again = only(core.tell(Woken(wake.at, "shop")), StartInstance)
    assert again.instance == "shop.3"
    assert again.reason == "0 of 1 instances run (shop.2 exited: signal 9)"


def test_an_alarm_that_rings_early_is_set_again() -> None:
    core = running()
    core.exits("shop.1")
    core.comes_up("shop.2")
    wake = only(core.exits("shop.2"), WakeAt)
    assert only(core.tell(Woken(wake.at - 0.1, "shop")), WakeAt).at == wake.at


def test_failures_before_a_long_healthy_run_are_forgotten() -> None:
    core = running()
    for name in ("shop.1", "shop.2"):
        core.exits(name)
        core.tick(1.0)
        core.comes_up(core.node.name + f".{core.node.serial}")
    assert core.node.backoff.failures == 2
    core.tick(600.0)
    assert starts(core.exits("shop.3")) == ["shop.4"]
    assert core.node.backoff.failures == 1


def test_no_delay_keeps_a_spare_from_taking_over() -> None:
    core = running(spec(spares=1, start_timeout=600.0))
    for _ in range(5):
        core.exits(core.serving()[0])
        core.tick(20.0)
        core.comes_up(*(i.id for i in core.node.instances.values() if i.process is None))
    assert core.at < core.node.backoff.until + 20.0 and core.node.backoff.failures > 2
    core.exits(core.serving()[0])
    actions = core.exits(core.serving()[0])
    assert only(actions, ActivateInstance) and starts(actions) == []
    assert len(core.serving()) == 1


@pytest.mark.parametrize("kind", ["NotFound", "Refused", "Conflict", "Cancelled"])
def test_a_start_that_failed_is_tried_again_with_a_new_number(kind: str) -> None:
    core = Core()
    core.apply(spec())
    failed = ActionFailed(core.at, "StartInstance", "shop", "shop.1", kind, "no such user: shop")
    assert starts(core.tell(failed)) == ["shop.2"]
    assert core.node.backoff.last == "no such user: shop"
    assert list(core.node.instances) == ["shop.2"]


def test_a_start_that_may_have_happened_all_the_same_is_killed_and_not_forgotten() -> None:
    core = Core()
    core.apply(spec())
    failed = ActionFailed(core.at, "StartInstance", "shop", "shop.1", "TimedOut", "no answer")
    assert only(core.tell(failed), KillInstance).instance == "shop.1"
    assert core.places() == {"shop.1": "stable stopping", "shop.2": "stable starting"}
    assert only(core.tick(5.0), KillInstance).instance == "shop.1"
    core.exits("shop.1", "killed before it was known")
    assert list(core.node.instances) == ["shop.2"]
    assert core.node.backoff.failures == 1


def test_a_start_that_the_host_could_not_begin_is_no_failure_of_the_node() -> None:
    core = Core()
    core.apply(spec())
    for number in range(1, 40):
        name = f"shop.{number}"
        failed = ActionFailed(core.at, "StartInstance", "shop", name, "Unavailable", "no launcher")
        assert not starts(core.tell(failed))
        assert starts(core.tick(1.1)) == [f"shop.{number + 1}"]
    assert core.node.backoff.failures == 0


def test_nothing_starts_without_a_place_to_listen() -> None:
    narrow = Host(ports=HOST.ports, instance_ports=(20000, 20000), memory=HOST.memory)
    core = Core(state=HostState(host=narrow, proxy="first"))
    two = replace(spec(instances=2), serves=Serves(8100, listen=Listen.PORT))
    assert starts(core.apply(two)) == ["shop.1"]
    assert "no port" in core.node.backoff.last
    core.comes_up("shop.1")
    assert not starts(core.tick(5.0))


def test_starts_nobody_knows_the_end_of_do_not_pile_up() -> None:
    core = Core()
    core.apply(spec(instances=3))
    for _ in range(100):
        for one in tuple(core.node.instances.values()):
            told = ActionFailed(core.at, "StartInstance", "shop", one.id, "TimedOut", "no answer")
            core.tell(told)
        core.tick(10.0)
    assert len(core.node.instances) <= 7


def test_an_order_for_a_later_start_is_not_taken_for_a_failure_of_one_that_runs() -> None:
    core = running()
    core.tell(ActionFailed(core.at, "StartInstance", "shop", "shop.1", "Conflict", "it runs already"))
    assert core.places() == {"shop.1": "stable ready"}


def test_ports_differ_even_when_all_are_asked_for_at_once() -> None:
    host = replace(HOST, instance_ports=(20000, 20003))
    core = Core(state=HostState(host=host, proxy="first"))
    one = replace(spec(instances=3), serves=Serves(8100, listen=Listen.PORT))
    other = replace(spec(name="till"), serves=Serves(8101, listen=Listen.PORT))
    addresses = [a.listen for a in (*core.apply(one), *core.apply(other)) if isinstance(a, StartInstance)]
    assert sorted(addresses) == [f"127.0.0.1:{port}" for port in range(20000, 20004)]


def test_a_node_without_requests_listens_nowhere() -> None:
    assert only(Core().apply(spec(port=None)), StartInstance).listen == ""


def test_a_unix_socket_lies_in_the_folder_of_the_instance() -> None:
    core = Core(state=HostState(host=Host(run="/run/n", ports=HOST.ports), proxy="first"))
    assert only(core.apply(spec()), StartInstance).listen == "unix:/run/n/shop.1/http.sock"


# Replacement


def test_a_condemned_instance_serves_until_its_successor_does() -> None:
    core = running()
    assert starts(core.order("restart")) == ["shop.2"]
    none(core.started("shop.2"), StopInstance)
    assert core.places() == {"shop.1": "stable ready", "shop.2": "spare starting"}
    assert only(core.ready("shop.2"), ActivateInstance).instance == "shop.2"
    assert core.places() == {"shop.1": "stable draining", "shop.2": "stable ready"}


def test_a_restart_of_several_goes_one_by_one_and_keeps_the_capacity() -> None:
    core = running(spec(instances=3))
    fresh = starts(core.order("restart"))
    for _ in range(3):
        assert len(fresh) == 1, "one replacement at a time"
        assert len(core.serving()) >= 3
        before = len(core.done)
        core.comes_up(*fresh)
        fresh = starts(core.done[before:])
    core.leave()
    assert core.places() == {f"shop.{n}": "stable ready" for n in (4, 5, 6)}


def test_a_replacement_that_cannot_be_started_is_tried_no_faster_than_others() -> None:
    core = running()
    fresh = starts(core.order("restart"))
    for _ in range(10):
        before = len(core.done)
        name = fresh[-1]
        core.tell(ActionFailed(core.at, "StartInstance", "shop", name, "Refused", "no such user"))
        fresh += starts(core.done[before:])
    assert len(fresh) == 2
    core.tick(1.0)
    assert core.serving() == ["shop.1"]
    assert starts(core.done)[-1] == "shop.4"


def test_the_one_too_many_is_the_one_that_is_not_ready() -> None:
    core = running(spec(instances=2, spares=2, start_timeout=600.0))
    for name in ("shop.2", "shop.3", "shop.4"):
        core.exits(name)
        core.tick(5.0)
    core.comes_up("shop.6", "shop.7")
    assert core.places()["shop.5"] == "stable starting"
    condemned = replace(core.instance("shop.1"), condemned="it is worn out")
    core.state = core.state.holding(core.node.having(condemned))
    core.tick(1.0)
    core.tick(1.0)
    assert core.serving() == ["shop.6", "shop.7"]
    assert core.places()["shop.5"] == "stable stopping"


def test_a_node_that_cannot_run_twice_is_stopped_first() -> None:
    core = running(spec(port=None))
    actions = core.order("restart")
    assert only(actions, StopInstance).instance == "shop.1" and starts(actions) == []
    assert starts(core.exits("shop.1", "code 0")) == ["shop.2"]


@pytest.mark.parametrize("change", ["restart", "apply"])
def test_a_node_without_requests_changes_instance_by_instance(change: str) -> None:
    core = running(spec(port=None, instances=3))
    if change == "restart":
        core.order("restart")
    else:
        core.apply(spec("1.1", port=None, instances=3))
    for number in (1, 2, 3):
        stopping = [name for name, place in core.places().items() if place == "stable stopping"]
        assert stopping == [f"shop.{number}"], "one at a time"
        assert len(core.serving()) == 2
        assert starts(core.exits(stopping[0], "code 0")) == [f"shop.{number + 3}"]
        core.tick(1.0)
        assert "stable stopping" not in core.places().values(), "the next waits for its predecessor"
        core.comes_up(f"shop.{number + 3}")
    assert core.places() == {f"shop.{n}": "stable ready" for n in (4, 5, 6)}


def test_a_bad_version_of_a_node_without_requests_takes_one_instance_down_and_no_more() -> None:
    core = running(spec(port=None, instances=3))
    core.apply(spec("1.1", port=None, instances=3))
    core.exits("shop.1", "code 0")
    for _ in range(5):
        newest = f"shop.{core.node.serial}"
        core.started(newest)
        core.exits(newest, "code 1")
        core.tick(70.0)
    assert core.serving() == ["shop.2", "shop.3"]


def test_what_never_became_ready_gives_way_to_a_new_version_at_once() -> None:
    core = Core()
    core.apply(spec(port=None))
    core.started("shop.1")
    assert only(core.apply(spec("1.1", port=None)), StopInstance).instance == "shop.1"


def test_a_changed_port_moves_the_node_when_the_new_version_has_the_capacity() -> None:
    core = running(spec(instances=2))
    fresh = starts(core.apply(spec("1.1", port=8101, instances=2)))
    assert len(fresh) == 2
    core.comes_up(fresh[0])
    assert core.places()["shop.1"] == "stable ready"
    core.comes_up(fresh[1])
    assert core.places()["shop.1"] == core.places()["shop.2"] == "stable draining"
    assert core.node.release == release_of(core.node.spec)


def test_a_version_that_makes_way_is_stopped_as_its_own_manifest_says() -> None:
    core = rolling(spec(stop=Stop("INT", 20.0)), spec("1.1", stop=Stop("TERM", 1.0)))
    core.order("finish")
    core.tick(1.0)
    core.tick(5.0)
    assert core.node.instances["shop.1"].phase is Phase.DRAINING, "its requests have 20 s"
    core.tick(20.0)
    assert (core.all_of(StopInstance)[-1].instance, core.all_of(StopInstance)[-1].signal) == ("shop.1", "INT")
