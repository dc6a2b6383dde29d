"""A full disk: processes are kept alive, and nothing else goes on until there is room."""

import pytest

from noded.model.actions import (
    ActivateInstance,
    CollectGarbage,
    RecordNode,
    RecordRelease,
    StartInstance,
    StopInstance,
)
from noded.model.inputs import DiskFilled, DiskFreed, RegistryRenewed
from nodespec.manifest import Autonomy
from tests.policy.build import Core, answer, none, only, release_of, rolling, running, spec, starts
from tests.policy.ladders import leaking

FULL = "/var/lib/noded has 0.0 MiB free"


def filled(core: Core, journaled: bool = True) -> Core:
    core.tell(DiskFilled(core.at, FULL, journaled))
    return core


def test_restarts_and_spares_go_on() -> None:
    core = filled(running(spec(spares=1)))
    actions = core.exits("shop.1")
    assert only(actions, ActivateInstance).instance == "shop.2" and starts(actions) == ["shop.3"]


def test_an_apply_is_refused_whole_with_what_is_lacking() -> None:
    core = filled(running())
    before = core.state
    told = answer(core.apply(spec("2.0")))
    assert told.kind == "refused"
    assert told.text.startswith("cannot apply shop 2.0: the disk is full") and FULL in told.text
    assert core.state == before


def test_a_plan_is_still_made() -> None:
    assert answer(filled(running()).apply(spec("2.0"), plan=True)).kind == ""


def test_a_rollout_waits_and_may_still_be_aborted() -> None:
    core = filled(rolling())
    share = core.rollout.share
    core.order("promote")
    core.tick(60.0)
    assert answer(core.order("abort")).kind == ""
    assert core.node.release.version == "1.0" and share == 0.1


def test_healing_waits_and_goes_on_when_there_is_room() -> None:
    core = leaking(spec(spares=1, level=Autonomy.APPROVE))
    filled(core)
    core.order("approve")
    none(core.tick(60.0), CollectGarbage)
    core.tell(DiskFreed(core.at))
    core.tick(1.0)
    assert core.all_of(CollectGarbage)


@pytest.mark.parametrize("verb", ["stop", "restart", "remove", "start"])
def test_orders_are_taken_while_they_can_be_written_and_refused_when_not(verb: str) -> None:
    core = filled(running(), journaled=False)
    before = core.state
    actions = core.order(verb)
    assert answer(actions).kind == "refused" and "the disk is full" in answer(actions).text
    none(actions, StopInstance)
    assert core.state == before
    core.tell(DiskFreed(core.at))
    filled(core)
    assert answer(core.order(verb)).kind == ""


@pytest.mark.parametrize("whom", ["", "shop"])
def test_pausing_is_always_possible(whom: str) -> None:
    assert answer(filled(running(), journaled=False).order("pause", whom)).kind == ""


def test_what_was_not_journaled_stays_so_until_there_is_room() -> None:
    core = filled(filled(running(), journaled=False))
    assert not core.state.journaled
    core.tell(DiskFreed(core.at))
    assert (core.state.journaled, core.state.full) == (True, "")


def test_a_registry_that_begins_anew_is_told_everything() -> None:
    core = rolling()
    other = release_of(spec("0.9", name="gone"))
    actions = core.tell(RegistryRenewed(core.at, "registry.db was damaged", (core.node.release, other)))
    records = [a for a in actions if isinstance(a, RecordRelease)]
    assert [(a.node, a.version) for a in records] == [("shop", "1.0"), ("shop", "1.1"), ("gone", "0.9")]
    node = only(actions, RecordNode)
    assert (node.version, node.desired) == ("1.0", "running"), "what a rollout tries is no decision yet"
    assert all("registry.db was damaged" in a.reason for a in (*records, node))
    none(actions, StartInstance)


def test_that_it_is_full_is_told_before_the_world_was_looked_at_and_starts_nothing() -> None:
    core = running(spec(spares=1))
    core.state = core.state.holding(core.node.without("shop.2"))
    assert core.tell(DiskFilled(core.at, FULL)) == ()
