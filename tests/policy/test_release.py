"""An apply is refused whole, changes nothing, or is recorded before it takes effect."""

from dataclasses import replace

import pytest

from noded.model.actions import Answer, ForgetNode, RecordNode, RecordRelease, StartInstance
from noded.model.state import Desired
from tests.policy.build import Core, answer, applied, none, only, release_of, rolling, running, spec, starts


def refused(core: Core, text: str, wanted: object = None, kind: str = "refused", **how: object) -> None:
    before = core.state
    actions = core.tell(applied(core.at, wanted or spec("1.1"), **how))  # type: ignore[arg-type]
    assert [type(a) for a in actions] == [Answer], "nothing is half done"
    assert (answer(actions).kind, answer(actions).text) == (kind, text)
    assert core.state == before


def test_a_new_node_is_recorded_and_starts() -> None:
    actions = Core().apply(spec())
    order = [type(a).__name__ for a in actions]
    assert order.index("RecordRelease") < order.index("RecordNode") < order.index("StartInstance")
    assert (answer(actions).effect, answer(actions).text) == ("create", "shop 1.0 starts")
    assert only(actions, RecordRelease).origin == "uid 1000"


def test_a_new_node_that_is_to_be_stopped_is_recorded_and_starts_when_told() -> None:
    core = Core()
    actions = core.apply(spec(), stopped=True)
    none(actions, StartInstance)
    assert only(actions, RecordNode).desired == Desired.STOPPED
    assert answer(actions).text == "shop 1.0 is entered, stopped"
    assert core.state.nodes["shop"].instances == {}
    assert starts(core.order("start"))


@pytest.mark.parametrize(("version", "effect"), [("1.0", "none"), ("1.1", "rollout")])
def test_a_plan_tells_and_does_nothing(version: str, effect: str) -> None:
    core = running()
    before = core.state
    actions = core.apply(spec(version), plan=True)
    assert [type(a) for a in actions] == [Answer] and answer(actions).effect == effect
    assert core.state == before


def test_what_runs_already_changes_nothing() -> None:
    actions = running().apply(spec())
    assert (answer(actions).effect, answer(actions).text) == ("none", "shop 1.0 is what runs already")
    none(actions, RecordRelease)


def test_a_version_never_changes_its_content() -> None:
    old = release_of(spec("1.1")).digest
    new = release_of(spec("1.1"), content="changed").digest
    text = (
        f"version 1.1 of shop exists with other content ({old[7:19]}, not {new[7:19]}): "
        "give the change a new version in node.toml"
    )
    refused(running(), text, content="changed", taken=old)


def test_a_version_never_changes_its_content_even_before_it_is_on_record() -> None:
    core = rolling()
    core.order("abort")
    core.leave()
    old = release_of(spec("1.1")).digest
    new = release_of(spec("1.1"), content="changed").digest
    text = (
        f"version 1.1 of shop exists with other content ({old[7:19]}, not {new[7:19]}): "
        "give the change a new version in node.toml"
    )
    refused(core, text, content="changed")


def test_the_same_content_may_be_rolled_out_again() -> None:
    core = rolling()
    core.order("abort")
    actions = core.apply(spec("1.1"))
    assert answer(actions).effect == "rollout"
    assert core.rollout.id == "shop-r2"
    assert [r.version for r in core.node.releases] == ["1.0", "1.1"]


def test_one_rollout_at_a_time() -> None:
    refused(
        rolling(),
        "a rollout of shop to 1.1 is under way, wait for its end or end it: nodectl rollout abort shop",
        spec("1.2"),
    )


def test_a_port_outside_the_ranges_is_refused() -> None:
    text = "port 9000 is outside the ports of this host (8100-8199): see [proxy] ports in noded.toml"
    refused(Core(), text, spec(port=9000))
    refused(running(), text, spec("1.1", port=9000))


def test_a_port_of_another_node_is_refused() -> None:
    text = "port 8100 belongs to shop: choose another in [serves]; --force does not help"
    refused(running(), text, spec(name="till"), "conflict")
    refused(running(), text, spec(name="till"), "conflict", force=True)


def test_a_port_is_free_when_its_node_is_gone() -> None:
    core = running()
    core.order("remove")
    text = "port 8100 belongs to shop: choose another in [serves]; --force does not help"
    refused(core, text, spec(name="till"), "conflict")
    core.leave()
    assert answer(core.apply(spec(name="till"))).effect == "create"


def test_what_is_being_removed_is_not_applied() -> None:
    core = running()
    core.order("remove")
    refused(core, "shop is being removed: apply again when it is gone")


def test_a_node_that_comes_again_gives_no_name_twice() -> None:
    core = rolling(spec(spares=1))
    core.order("remove")
    core.leave()
    assert core.all_of(ForgetNode)
    assert starts(core.apply(spec(spares=1))) == ["shop.4", "shop.5"]
    core.comes_up("shop.4", "shop.5")
    core.apply(spec("1.1"))
    assert core.rollout.id == "shop-r2"


def test_a_stopped_node_changes_without_being_started() -> None:
    core = running()
    core.order("stop")
    core.leave()
    actions = core.apply(spec("1.1"))
    assert answer(actions).text == "shop is stopped: 1.1 takes the place of 1.0"
    assert only(actions, RecordNode).desired == "stopped"
    none(actions, StartInstance)
    assert core.node.desired is Desired.STOPPED
    assert only(core.order("start"), StartInstance).version == "1.1"


def test_a_node_without_requests_is_replaced_not_rolled_out() -> None:
    core = running(spec(port=None))
    actions = core.apply(spec("1.1", port=None))
    assert answer(actions).effect == "replace"
    assert only(actions, RecordNode).version == "1.1"
    assert core.node.rollout is None


def test_a_changed_port_replaces() -> None:
    actions = running().apply(spec("1.1", port=8101))
    assert (
        answer(actions).text == "shop changes its port or host names: 1.1 replaces 1.0 instance by instance"
    )


def test_a_version_that_never_ran_is_no_obstacle_to_its_repair() -> None:
    core = Core()
    core.apply(spec())
    core.started("shop.1")
    actions = core.apply(spec("1.1"))
    assert answer(actions).effect == "replace"
    assert answer(actions).text == "no instance of shop 1.0 is ready: 1.1 takes its place"
    assert starts(actions) == ["shop.2"]
    core.comes_up("shop.2")
    assert core.serving() == ["shop.2"]


def test_a_version_that_crashes_again_and_again_is_no_obstacle_to_its_repair() -> None:
    core = running()
    core.exits("shop.1")
    core.started("shop.2")
    core.exits("shop.2")
    assert answer(core.apply(spec("1.1"))).effect == "replace"


def test_a_passing_crash_is_no_reason_to_skip_the_canary() -> None:
    core = running()
    core.exits("shop.1")
    assert answer(core.apply(spec("1.1"))).effect == "rollout"


def test_a_rollout_is_told_with_its_steps_and_not_recorded_as_what_runs() -> None:
    actions = running().apply(spec("1.1"))
    assert answer(actions).text == "shop rolls out from 1.0 to 1.1: 10%, 50%, 100%"
    assert only(actions, RecordRelease).version == "1.1"
    none(actions, RecordNode)


def test_an_apply_ends_the_restart_delay() -> None:
    core = running(spec(instances=2))
    for name in ("shop.1", "shop.3"):
        core.started(name)
        core.exits(name)
    actions = core.apply(replace(spec("1.1"), instances=2))
    assert starts(actions) == ["shop.4", "shop.5", "shop.6"]
