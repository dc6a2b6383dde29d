"""A release that would hurt another node is stopped, told with what helps; a person may go on with most."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from noded.model.actions import Note, RecordRelease
from noded.model.conflict import Conflict, Kind
from noded.model.inputs import CommandRequested, Schema
from nodespec.manifest import Calls, Consumes, Listen, NodeSpec, Objectives, Protocol, Publishes, Serves
from tests.policy.build import MB, Core, answer, none, only, release_of, rolling, running, spec, starts

PAID = "shop.paid"
NARROW = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
WIDE = {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]}
CLOSED = NARROW | {"additionalProperties": False}
FRACTION = "may be a number with a fraction, where an integer is asked for"


def shop(version: str = "1.0", schema: str = "paid.json", **how: Any) -> NodeSpec:
    return spec(version, publishes=(Publishes(PAID, schema),), **how)


def ledger(version: str = "2.0", schema: str = "paid.json", **how: Any) -> NodeSpec:
    return spec(version, "ledger", port=None, consumes=(Consumes(PAID, schema),), **how)


def texts(*pairs: tuple[NodeSpec, Any]) -> tuple[Schema, ...]:
    return tuple(Schema(release_of(one).digest, "paid.json", json.dumps(schema)) for one, schema in pairs)


def both(sent: Any = NARROW, wanted: Any = NARROW) -> tuple[Core, tuple[Schema, ...]]:
    """A shop that tells of what is paid, and a ledger that listens."""
    core, held = Core(), texts((shop(), sent), (ledger(), wanted))
    core.comes_up(*starts(core.apply(shop(), schemas=held)))
    core.apply(ledger(), schemas=held, force=True)
    return core, held


def found(core: Core, wanted: NodeSpec, schemas: Iterable[Schema] = (), **how: Any) -> list[Conflict]:
    """By a plan, which changes nothing."""
    before = core.state
    actions = core.apply(wanted, plan=True, schemas=tuple(schemas), **how)
    assert core.state == before and answer(actions).kind == ""
    return list(answer(actions).conflicts)


# Contracts


def test_a_producer_that_widens_is_stopped_with_node_release_and_place() -> None:
    core, held = both()
    wanted = shop("1.1")
    schemas = (*held, *texts((wanted, WIDE)))
    (one,) = found(core, wanted, schemas)
    assert (one.kind, one.node, one.release, one.field) == (
        Kind.CONTRACT,
        "ledger",
        "2.0",
        f"{PAID} $.amount",
    )
    assert one.text == f"what shop 1.1 sends to ledger 2.0 {FRACTION}"
    assert one.advice == "let ledger take it first, keep it as it was, or publish it as another type"
    actions = core.apply(wanted, schemas=schemas)
    assert answer(actions).kind == "conflict"
    assert answer(actions).text == f"{one.text}: {one.advice}"
    assert answer(actions).reason.startswith("refused: what shop 1.1 sends")
    none(actions, RecordRelease)


def test_a_consumer_that_narrows_is_stopped() -> None:
    core, held = both(WIDE, WIDE)
    wanted = ledger("2.1")
    (one,) = found(core, wanted, (*held, *texts((wanted, NARROW))))
    assert (one.kind, one.node, one.release) == (Kind.CONTRACT, "shop", "1.0")
    assert one.text == f"what shop 1.0 sends to ledger 2.1 {FRACTION}"
    assert one.advice == "take what shop 1.0 may send, or let shop narrow its contract first"


def test_narrowing_producers_and_widening_consumers_pass() -> None:
    core, held = both(WIDE, WIDE)
    assert found(core, shop("1.1"), (*held, *texts((shop("1.1"), NARROW)))) == []
    core, held = both()
    assert found(core, ledger("2.1"), (*held, *texts((ledger("2.1"), WIDE)))) == []


def test_both_versions_of_a_node_that_rolls_out_count() -> None:
    core = rolling(shop(), shop("1.1"))
    held = texts((shop(), NARROW), (shop("1.1"), WIDE), (ledger(), NARROW))
    assert [(c.node, c.release) for c in found(core, ledger(), held)] == [("shop", "1.1")]


def test_versions_of_one_node_listen_to_each_other() -> None:
    def talking(version: str) -> NodeSpec:
        return replace(shop(version), consumes=(Consumes(PAID, "paid.json"),))

    core, old = Core(), texts((talking("1.0"), NARROW))
    core.comes_up(*starts(core.apply(talking("1.0"), schemas=old)))
    new = texts((talking("1.1"), WIDE))
    assert [(c.node, c.release) for c in found(core, talking("1.1"), (*old, *new))] == [("shop", "1.0")]


def test_a_contract_that_stays_as_it_was_is_not_asked_about_again() -> None:
    core, held = both(WIDE, NARROW)
    assert found(core, shop("1.1"), (*held, *texts((shop("1.1"), WIDE)))) == []
    assert found(core, ledger("2.1"), (*held, *texts((ledger("2.1"), NARROW)))) == []


def test_who_has_no_schema_understands_anything_and_promises_nothing() -> None:
    core = running(shop())
    assert found(core, ledger(schema="")) == []
    core = running(shop(schema=""))
    (one,) = found(core, ledger(), texts((ledger(), NARROW)))
    assert (one.kind, one.node) == (Kind.UNKNOWN, "shop")
    assert "publishes it without a schema" in one.text


def test_what_cannot_be_compared_needs_a_person() -> None:
    core, held = both()
    wanted = shop("1.1")
    pattern = {"type": "object", "required": ["amount"], "properties": {"amount": {"not": {}}}}
    (one,) = found(core, ledger("2.1"), (*held, *texts((ledger("2.1"), pattern))))
    assert (one.kind, one.field, one.advice) == (
        Kind.UNKNOWN,
        f"{PAID} $.amount",
        "compare the two schemas yourself",
    )
    (one,) = found(core, wanted, held)
    assert (one.kind, one.text) == (Kind.UNKNOWN, "the schema of shop 1.1 could not be read to compare it")


def test_the_refusal_of_many_fits_into_an_answer() -> None:
    core = Core()
    held: list[Schema] = []
    for number in range(40):
        one = replace(ledger(), name=f"ledger{number}")
        held += texts((one, CLOSED))
        core.apply(one, schemas=tuple(held))
    told = answer(core.apply(shop(), schemas=(*held, *texts((shop(), WIDE)))))
    assert told.kind == "conflict" and len(told.text) < 3100 and "nodectl plan shows all" in told.text
    assert told.text.splitlines()[0] == "shop 1.0 conflicts with what is here:"
    assert len(told.conflicts) == 50


# Back to a release that ran here


def gone_on() -> tuple[Core, tuple[Schema, ...]]:
    """The shop's 1.1 narrowed what it sends, and since then a ledger came that takes no more."""
    held = texts((shop(), WIDE), (shop("1.1"), NARROW), (ledger(), NARROW))
    core = Core()
    core.comes_up(*starts(core.apply(shop(), schemas=held)))
    core.comes_up(*starts(core.apply(shop("1.1"), schemas=held)))
    core.order("finish")
    core.tick(1.0)
    core.leave()
    assert answer(core.apply(ledger(), schemas=held)).kind == ""
    return core, held


@pytest.mark.parametrize("version", ["", "1.0"])
def test_a_return_that_breaks_who_came_meanwhile_is_stopped(version: str) -> None:
    core, held = gone_on()
    before = core.state
    order = CommandRequested(core.at, 2, "rollback", "shop", "uid 0", version, held)
    told = answer(core.tell(order))
    assert (told.kind, told.conflicts[0].node) == ("conflict", "ledger")
    assert told.text.startswith(f"what shop 1.0 sends to ledger 2.0 {FRACTION}: let ledger take it first")
    assert core.state == before
    actions = core.tell(replace(order, force=True))
    assert answer(actions).kind == "" and any(
        "although contract: ledger" in a.reason for a in actions if isinstance(a, Note)
    )
    assert core.rollout.direct and core.rollout.forced.startswith("contract: ledger 2.0")


def test_a_return_whose_contracts_cannot_be_read_needs_a_person() -> None:
    core, _ = gone_on()
    order = CommandRequested(core.at, 2, "rollback", "shop", "uid 0")
    assert answer(core.tell(order)).conflicts[0].kind is Kind.UNKNOWN


def test_a_try_that_would_break_who_came_meanwhile_is_stopped() -> None:
    held = texts((shop(), NARROW), (shop("1.1"), WIDE), (ledger(), NARROW))
    core = Core()
    core.comes_up(*starts(core.apply(shop(), schemas=held)))
    core.comes_up(*starts(core.apply(shop("1.1"), schemas=held)))
    core.order("abort")
    core.leave()
    assert answer(core.apply(ledger(), schemas=held)).kind == ""
    order = CommandRequested(core.at, 2, "retry", "shop", "uid 0", "", held)
    assert answer(core.tell(order)).kind == "conflict"
    assert answer(core.tell(replace(order, force=True))).kind == ""


def test_the_way_back_from_a_rollout_under_way_is_never_stopped() -> None:
    held = texts((shop(), WIDE), (shop("1.1"), NARROW), (ledger(), NARROW))
    core = Core()
    core.comes_up(*starts(core.apply(shop(), schemas=held)))
    core.comes_up(*starts(core.apply(shop("1.1"), schemas=held)))
    assert answer(core.apply(ledger(), schemas=held, force=True)).kind == ""
    assert answer(core.order("rollback")).text == "shop is back at 1.0"


# Owners, orphans


def test_a_second_owner_is_impossible() -> None:
    core, held = both()
    other = spec(name="till", port=8101, publishes=(Publishes(PAID, "paid.json"),))
    told = answer(core.apply(other, schemas=held, force=True))
    assert (told.kind, told.conflicts[0].kind, told.conflicts[0].node) == ("conflict", Kind.OWNER, "shop")
    assert "--force does not help" in told.text


def test_an_event_that_somebody_consumes_cannot_vanish_silently() -> None:
    core, _ = both()
    (one,) = found(core, spec("1.1"))
    assert (one.kind, one.node, one.release, one.field) == (Kind.ORPHAN, "ledger", "2.0", PAID)
    assert answer(core.apply(spec("1.1"))).kind == "conflict"
    assert answer(core.apply(spec("1.1"), force=True)).kind == ""


def test_a_consumer_may_come_before_its_producer_and_is_warned() -> None:
    core = Core()
    told = answer(core.apply(ledger(), schemas=texts((ledger(), NARROW))))
    assert (told.kind, [c.kind for c in told.conflicts]) == ("", [Kind.WARNING])
    assert not any("although" in note.reason for note in core.all_of(Note))
    assert found(core, ledger("2.1"), texts((ledger(), NARROW), (ledger("2.1"), NARROW))) == []


# Ports


def serving(name: str, protocol: Protocol = Protocol.HTTP, *hosts: str) -> NodeSpec:
    return replace(spec(name=name), serves=Serves(8100, protocol, hosts=hosts))


@pytest.mark.parametrize(
    ("held", "wanted", "why"),
    [
        (("a.example",), ("b.example",), ""),
        ((), ("b.example",), ""),
        (("a.example",), (), ""),
        ((), (), "port 8100 belongs to shop"),
        (("a.example", "c.example"), ("b.example", "c.example"), "c.example at port 8100 belongs to shop"),
    ],
)
def test_nodes_share_a_port_by_their_names(held: tuple[str, ...], wanted: tuple[str, ...], why: str) -> None:
    core = running(serving("shop", Protocol.HTTP, *held))
    told = found(core, serving("till", Protocol.HTTP, *wanted))
    assert [c.text for c in told] == ([why] if why else [])


def test_a_port_speaks_one_protocol() -> None:
    core = running(serving("shop", Protocol.HTTP, "a.example"))
    (one,) = found(core, serving("till", Protocol.GRPC, "b.example"))
    assert one.text == "port 8100 speaks http for shop, and a port has one protocol"


def test_a_held_socket_is_shared_with_nobody() -> None:
    core = Core()
    held = replace(spec(), serves=Serves(8200, Protocol.TCP, Listen.FD))
    core.comes_up(*starts(core.apply(held)))
    (one,) = found(core, replace(held, name="till"))
    assert (one.kind, one.text) == (Kind.PORT, "port 8200 belongs to shop")


# Time and memory


def calling(timeout: float, version: str = "1.0") -> NodeSpec:
    return replace(spec(version, "till", port=8101), calls=(Calls("shop", timeout),))


def slow(p99: float, version: str = "1.0") -> NodeSpec:
    return replace(spec(version), objectives=Objectives(latency_p99=p99))


def test_who_waits_less_than_is_promised_is_told() -> None:
    core = running(slow(2.0))
    (one,) = found(core, calling(0.5))
    assert (one.kind, one.node, one.release, one.field) == (Kind.TIME_LIMIT, "shop", "1.0", "calls.timeout")
    assert one.text == "till 1.0 waits 0.5 s for shop 1.0, which promises 99 of 100 answers within 2 s only"
    assert found(core, calling(2.0)) == []
    assert answer(core.apply(calling(0.5), force=True)).kind == ""
    assert found(core, calling(0.5, "1.1")) == [], "as it waits already"
    assert [c.kind for c in found(core, calling(0.4, "1.1"))] == [Kind.TIME_LIMIT]


def test_who_promises_less_than_others_wait_is_told() -> None:
    core = running(slow(0.2))
    core.apply(calling(0.5))
    (one,) = found(core, slow(1.0, "1.1"))
    assert (one.kind, one.node, one.field) == (Kind.TIME_LIMIT, "till", "objectives.latency_p99")
    assert found(core, slow(0.5, "1.1")) == []


def test_what_does_not_fit_may_be_forced() -> None:
    core = running()
    big = spec(name="till", port=8101, memory=64 * 1024 * MB)
    (one,) = found(core, big)
    assert (one.kind, one.field) == (Kind.RESOURCES, "resources.memory")
    assert "65,536 MiB" in one.text and one.advice.startswith("lower [resources] memory")
    assert answer(core.apply(big, force=True)).effect == "create"


# Going on


def test_a_person_who_goes_on_is_on_record() -> None:
    core, held = both()
    wanted = shop("1.1")
    actions = core.apply(wanted, schemas=(*held, *texts((wanted, WIDE))), force=True)
    assert answer(actions).effect == "rollout"
    assert core.rollout.forced.startswith(f"contract: ledger 2.0, {PAID} $.amount: what shop 1.1 sends")
    notes = [note for note in core.all_of(Note) if "went on" in note.reason]
    assert [(note.node, note.subject) for note in notes[-1:]] == [("shop", core.rollout.id)]
    assert notes[-1].reason.startswith("uid 1000 went on with 1.1 although contract: ledger 2.0")
    only(actions, RecordRelease)


def test_without_conflicts_force_leaves_no_trace() -> None:
    core = running()
    core.apply(spec("1.1"), force=True, supersede=True)
    assert core.rollout.forced == ""
    assert not [note for note in core.all_of(Note) if "went on" in note.reason]


LOST = "--- a/shop.py\n+++ b/shop.py\n@@ -1 +1 @@\n-cache = {}\n+cache = bounded(100)\n"


def test_a_machine_written_change_is_not_lost_silently() -> None:
    core = running()
    told = answer(core.apply(spec("1.1"), lost=LOST))
    assert told.kind == "conflict"
    assert told.text == (
        "shop 1.1 lacks the machine-written change of the release that runs; --supersede gives it up:\n"
        + LOST
    )
    assert answer(core.apply(spec("1.1"), lost=LOST, plan=True)).kind == ""
    assert answer(core.apply(spec("1.1"), lost=LOST, force=True)).kind == "conflict", "another question"
    assert answer(core.apply(spec("1.1"), lost=LOST, supersede=True)).effect == "rollout"
    assert core.rollout.forced == "superseded: the machine-written change of the release before is given up"


def test_what_runs_already_has_no_conflicts() -> None:
    core, held = both(WIDE, NARROW)
    assert found(core, shop(), held, lost=LOST) == []
    assert answer(core.apply(shop(), schemas=held, lost=LOST)).effect == "none"
