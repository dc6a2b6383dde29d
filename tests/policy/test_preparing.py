"""What must run before a release is run once, and nothing starts before it has ended well."""

from dataclasses import replace

from noded.model.actions import Prepare
from noded.model.inputs import ActionFailed, Prepared
from nodespec.manifest import NodeSpec
from tests.policy.build import Core, none, only, release_of, running, spec, starts


def migrating(version: str = "1.0") -> NodeSpec:
    return replace(spec(version), before=(("python3", "-m", "shop.migrate"),))


def prepared(core: Core, of: NodeSpec, problem: str = "") -> tuple[object, ...]:
    return core.tell(Prepared(core.at, "shop", release_of(of).digest, problem))


def test_the_first_instance_waits_for_it_and_the_next_do_not() -> None:
    core, wanted = Core(), migrating()
    actions = core.apply(wanted)
    assert only(actions, Prepare).digest == release_of(wanted).digest
    assert not starts(actions)
    assert not starts(core.tick(5.0))
    assert starts(prepared(core, wanted)) == ["shop.1"]  # type: ignore[arg-type]
    core.comes_up("shop.1")
    actions = core.exits("shop.1")
    none(actions, Prepare)
    assert starts(actions) == ["shop.2"]


def test_it_is_asked_for_once_while_it_runs() -> None:
    core = Core()
    core.apply(migrating())
    none(core.tick(1.0), Prepare)


def test_a_failure_is_told_and_tried_again_later_and_later() -> None:
    core, wanted = Core(), migrating()
    core.apply(wanted)
    again = prepared(core, wanted, "it ended with code 1: no table")
    assert only(again, Prepare)  # type: ignore[arg-type]
    actions = prepared(core, wanted, "it ended with code 1: no table")
    none(actions, Prepare)  # type: ignore[arg-type]
    assert core.node.backoff.last == "it ended with code 1: no table"
    assert only(core.tick(1.0), Prepare)


def test_a_release_whose_preparation_fails_is_rolled_back() -> None:
    core, wanted = running(spec()), migrating("1.1")
    assert only(core.apply(wanted), Prepare)
    core.tick(30.0)
    assert core.node.rolling_out
    prepared(core, wanted, "it ended with code 1")
    assert not core.node.rolling_out
    assert core.node.past_rollouts[-1].reason == "it ended with code 1"
    assert core.node.backoff.failures == 0


def test_the_time_of_the_canary_begins_when_it_is_prepared() -> None:
    core, wanted = running(spec()), migrating("1.1")
    core.apply(wanted)
    core.tick(300.0)
    assert starts(prepared(core, wanted)) == ["shop.2"]  # type: ignore[arg-type]
    core.tick(5.0)
    assert core.node.rolling_out


def test_one_that_could_not_be_run_has_failed() -> None:
    core, wanted = Core(), migrating()
    core.apply(wanted)
    core.tell(ActionFailed(core.at, "Prepare", "shop", "", "Unavailable", "the launcher is away"))
    assert core.node.backoff.last == "the launcher is away"


def test_noded_that_died_in_between_runs_it_again() -> None:
    core = Core()
    core.apply(migrating())
    assert only(core.restarts(), Prepare)


def test_late_news_of_another_release_starts_nothing() -> None:
    core = Core()
    core.apply(migrating())
    assert not starts(prepared(core, migrating("0.9")))  # type: ignore[arg-type]
