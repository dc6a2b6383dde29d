"""Is the mesh told who speaks, who consumes and how it is shared: once for each change, all of it anew?"""

from dataclasses import replace

import pytest

from noded.model.actions import ForgetNode, InstallTable, Note, RenewTable
from noded.model.inputs import ActionFailed, Booted, Input, MeshFound, MeshLost, Sampled, TableTaken
from noded.model.mesh import Contract, Part, Speaker, Subscription
from noded.model.state import HostState
from noded.policy.settled import settled
from noded.runtime import codec
from nodespec.manifest import Check, Consumes, NodeSpec, Order, Publishes
from tests.policy.build import HOST, Core, answer, none, only, release_of, spec, starts

PLACED, CAPTURED = Consumes("shop.placed", order_by=Order.SUBJECT), Publishes("shop.captured", "c.json")


def talking(version: str = "1.0", **how: object) -> NodeSpec:
    given = {"publishes": (CAPTURED,), "consumes": (PLACED,), **how}
    return spec(version, **given)  # type: ignore[arg-type]


def meshed() -> Core:
    core = Core()
    core.tell(MeshFound(core.at, "m1"))
    return core


def taken(core: Core) -> tuple[object, ...]:
    """The mesh takes the newest table."""
    return core.tell(TableTaken(core.at, core.state.mesh.number))


def up(node: NodeSpec | None = None) -> Core:
    core = meshed()
    core.apply(node or talking())
    core.comes_up(*starts(taken(core)))  # type: ignore[arg-type]
    taken(core)
    return core


def rolling_out() -> Core:
    core = up()
    core.comes_up(*starts(core.apply(talking("1.1"))))
    core.count({i.id: (0, 0) for i in core.node.instances.values()})
    return core


def part(core: Core) -> Part:
    return core.state.table.parts["shop"]


# Who is in the table


def test_the_table_says_who_speaks_what_is_consumed_and_by_which_contract() -> None:
    core = up()
    digest = release_of(talking()).digest
    assert part(core) == Part(
        (Speaker("shop.1", "1.0", 64200),),
        (Subscription("shop.placed", ordered=True),),
        (Contract("shop.captured", "1.0", digest, "c.json", Check.REJECT),),
        "1.0",
    )
    assert core.state.table.host == HOST.name
    assert core.state.table.number == core.state.mesh.number == core.state.mesh.taken


def test_a_node_without_events_is_none_of_the_meshs_business() -> None:
    core = meshed()
    none(core.apply(spec()), InstallTable)
    none(core.started("shop.1"), InstallTable)
    assert core.state.table.parts == {}


def test_an_instance_that_ends_speaks_no_more() -> None:
    core = up()
    told = only(core.exits("shop.1"), InstallTable)
    assert (told.node, told.number) == ("shop", core.state.mesh.number)
    assert "speaks no more shop.1" in told.reason
    assert part(core).speakers == ()
    assert "speaks shop.2" in only(core.tick(30.0) + core.started("shop.2"), InstallTable).reason


def test_a_stopped_node_goes_on_to_be_waited_for() -> None:
    core = up()
    core.order("stop")
    core.leave()
    assert part(core).subscriptions and core.state.table.gone == ()


# When it is told


def test_nothing_new_is_nothing_told() -> None:
    core = up()
    number = core.state.mesh.number
    for _ in range(20):
        none(core.tick(1.0), InstallTable)
    none(core.tell(MeshFound(core.at, "m1", number)), InstallTable)
    assert core.state.mesh.number == number


def test_every_change_has_a_higher_number() -> None:
    core = up()
    numbers = [action.number for action in core.all_of(InstallTable)]
    assert len(numbers) >= 3 and numbers == sorted(set(numbers))


def test_one_decision_tells_at_most_one_table() -> None:
    core = Core()
    for n in range(5):
        core.apply(talking(name=f"n{n}", publishes=(), port=None))
    told = only(core.tell(MeshFound(core.at, "m1")), InstallTable)
    assert told.node == "" and len(core.state.table.parts) == 5
    started = core.tell(TableTaken(core.at, told.number))
    assert len(starts(started)) == 5
    none(started, InstallTable)


def test_a_mesh_that_is_away_is_told_all_when_it_is_found() -> None:
    core = up()
    core.tell(MeshLost(core.at, "no socket"))
    none(core.exits("shop.1"), InstallTable)
    assert part(core).speakers == ()
    assert only(core.tell(MeshFound(core.at, "m1", core.state.mesh.number)), InstallTable)


def test_another_mesh_is_told_all() -> None:
    core = up()
    number = core.state.mesh.number
    assert only(core.tell(MeshFound(core.at, "m2")), InstallTable).number == number + 1


def test_a_mesh_that_remembers_more_than_we_do_is_told_a_higher_number() -> None:
    core = up()
    told = only(core.tell(MeshFound(core.at, "m1", 4711)), InstallTable)
    assert told.number == core.state.mesh.number == 4712
    assert only(core.exits("shop.1"), InstallTable).number == 4713


def test_after_a_restart_the_number_goes_on() -> None:
    core = up()
    number = core.state.mesh.number
    core.state = codec.load(HostState, codec.dump(core.state))
    none(core.restarts("shop.1"), InstallTable)
    assert only(core.tell(MeshFound(core.at, "m1", number)), InstallTable).number == number + 1
    assert part(core).speakers == (Speaker("shop.1", "1.0", 64200),)


@pytest.mark.parametrize("action", ["InstallTable", "RenewTable"])
def test_a_table_that_did_not_arrive_is_told_when_the_mesh_is_found_again(action: str) -> None:
    core = up()
    failed = ActionFailed(core.at, action, "shop", "", "TimedOut", "no answer within 5 s")
    assert core.tell(failed) == ()
    assert core.state.mesh.generation == ""
    assert only(core.tell(MeshFound(core.at, "m1", 1)), InstallTable)


def test_a_table_that_was_refused_is_not_told_again_until_something_changes() -> None:
    core = up()
    core.tell(ActionFailed(core.at, "InstallTable", "", "", "Refused", "too long"))
    none(core.tick(5.0), InstallTable)
    assert core.state.mesh.problem == "too long"
    assert only(core.exits("shop.1"), InstallTable)
    assert core.state.mesh.problem == ""


# First starts


def test_the_first_instance_of_a_consumer_waits_until_events_wait_for_it() -> None:
    core = meshed()
    actions = core.apply(talking())
    assert starts(actions) == []
    told = only(actions, InstallTable)
    assert core.tell(TableTaken(core.at, told.number - 1)) == ()
    assert starts(core.tick(1.0)) == []
    assert starts(core.tell(TableTaken(core.at, told.number))) == ["shop.1"]


def test_without_a_mesh_it_waits_and_a_person_can_read_why() -> None:
    core = Core()
    actions = core.apply(talking())
    assert starts(actions) == []
    assert "noded-mesh" in only(actions, Note).reason
    assert starts(core.tick(60.0)) == []
    told = only(core.tell(MeshFound(core.at, "m1")), InstallTable)
    assert starts(core.tell(TableTaken(core.at, told.number))) == ["shop.1"]


def test_who_only_publishes_does_not_wait() -> None:
    assert starts(Core().apply(talking(consumes=()))) == ["shop.1"]


def test_restarts_and_new_versions_never_wait() -> None:
    core = up()
    core.tell(MeshLost(core.at, "no socket"))
    assert starts(core.exits("shop.1")) == ["shop.2"]
    core.comes_up("shop.2")
    assert starts(core.apply(talking("1.1", consumes=(PLACED, Consumes("shop.paid"))))) == ["shop.3"]


def test_a_node_that_was_found_running_does_not_wait() -> None:
    core = Core()
    core.tell(MeshFound(core.at, "m1"))
    core.apply(spec())
    core.comes_up("shop.1")
    core.order("stop")
    core.leave()
    core.apply(talking("2.0"))
    assert starts(core.order("start")) == ["shop.2"]


# Removal


def test_for_a_removed_node_nothing_waits_until_the_mesh_knows() -> None:
    core = up()
    core.order("remove")
    core.leave()
    assert only(tuple(core.done), ForgetNode)
    assert core.state.table.gone == ("shop",)
    assert "it was removed" in core.all_of(InstallTable)[-1].reason
    core.tell(TableTaken(core.at, core.state.mesh.number - 1))
    assert core.state.table.gone == ("shop",)
    taken(core)
    assert core.state.table.gone == ()


def test_a_removal_is_remembered_while_the_mesh_is_away() -> None:
    core = up()
    core.tell(MeshLost(core.at, "no socket"))
    core.order("remove")
    core.leave()
    core.tell(TableTaken(core.at, core.state.mesh.number))
    assert core.state.table.gone == ("shop",)
    core.tell(MeshFound(core.at, "m2", 0))
    taken(core)
    assert core.state.table.gone == ()


def test_a_node_that_comes_back_is_waited_for_again() -> None:
    core = up()
    core.tell(MeshLost(core.at, "no socket"))
    core.order("remove")
    core.leave()
    core.apply(talking())
    assert core.state.table.gone == () and part(core).subscriptions


def test_a_version_that_consumes_nothing_is_no_longer_waited_for() -> None:
    core = up(talking(port=None))
    core.apply(talking("2.0", port=None, consumes=()))
    assert core.state.table.gone == ("shop",)
    assert "consumes no more shop.placed" in core.all_of(InstallTable)[-1].reason


# Rollouts


def test_a_canary_gets_its_share_of_events_as_a_lease() -> None:
    core = rolling_out()
    assert (part(core).stable, part(core).canary, part(core).share) == ("1.0", "1.1", 0.1)
    for _ in range(4):
        none(core.tick(1.0, counts={}), RenewTable)
    renewed = only(core.tick(1.0), RenewTable)
    assert renewed.number == core.state.mesh.number


def test_a_rollback_takes_the_share_of_events_too() -> None:
    core = rolling_out()
    told = only(core.order("abort"), InstallTable)
    assert "canary share of events 10% -> 0%" in told.reason
    assert (part(core).canary, part(core).share) == ("", 0.0)
    none(core.tick(30.0), RenewTable)


def test_no_lease_is_renewed_at_a_mesh_that_is_away() -> None:
    core = rolling_out()
    core.tell(MeshLost(core.at, "no socket"))
    none(core.tick(30.0), RenewTable)


def test_in_a_rollout_both_versions_are_known_and_stable_has_the_last_word() -> None:
    core = up()
    wider = talking("1.1", consumes=(replace(PLACED, order_by=None), Consumes("shop.paid")))
    core.apply(wider)
    assert part(core).subscriptions == (
        Subscription("shop.placed", ordered=True),
        Subscription("shop.paid", ordered=False),
    )
    assert [contract.version for contract in part(core).contracts] == ["1.1", "1.0"]
    core.order("abort")
    assert part(core).subscriptions == (Subscription("shop.placed", ordered=True),)


# One owner


def test_a_type_has_one_owner_on_a_host() -> None:
    core = up()
    other = spec(name="till", port=8101, publishes=(Publishes("shop.refused"), Publishes("shop.captured")))
    refusal = answer(core.apply(other))
    assert refusal.kind == "conflict"
    assert refusal.text.startswith("shop.captured is published by shop 1.0: ")
    assert answer(core.apply(replace(other, publishes=(Publishes("shop.refused"),)))).kind == ""
    assert answer(core.apply(talking("1.1"))).kind == ""


def test_what_a_candidate_publishes_is_taken() -> None:
    core = up()
    core.apply(talking("1.1", publishes=(CAPTURED, Publishes("shop.refused"))))
    other = spec(name="till", port=8101, publishes=(Publishes("shop.refused"),))
    assert answer(core.apply(other)).text.startswith("shop.refused is published by shop 1.1")
    core.order("abort")
    assert answer(core.apply(other)).kind == ""


# Cost


def test_a_node_that_has_told_all_rests() -> None:
    core = up()
    assert settled(core.node, core.state, core.at)
    assert not settled(replace(core.node, part=None), core.state, core.at)
    nobody = replace(core.node, part=replace(part(core), speakers=()))
    assert not settled(nobody, core.state, core.at)


@pytest.mark.parametrize("fact", [Sampled(1001.0), MeshLost(1001.0, "x"), Booted(1001.0, HOST)])
def test_nothing_is_told_to_a_mesh_that_was_never_seen(fact: Input) -> None:
    core = Core()
    core.apply(talking())
    none(core.tell(fact), InstallTable)
    assert core.state.mesh.number == 0
