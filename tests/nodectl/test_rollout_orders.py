"""Can a rollout be pushed on, held, called off, tried again, taken back?"""

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb
from tests.fakes.control import Change, a_node, a_rollout
from tests.nodectl.rollouts import at, ends


def begins(identity: str, **fields: Any) -> Change:
    def change(status: pb.GetStatusResponse) -> None:
        given = {"id": identity, "phase": "preparing", "started_at": time.time(), "share": 0.0, **fields}
        status.nodes[0].rollout.CopyFrom(a_rollout(**given))

    return change


def goes_on(status: pb.GetStatusResponse) -> None:
    status.nodes[0].rollout.held = False


@pytest.fixture
def idle(desk: Any) -> Any:
    """Its last rollout was rolled back."""
    past = a_rollout(id="r-6", phase="rolled back", started_at=1e9, ended_at=1e9 + 9)
    desk.control.status.nodes.append(a_node(past_rollouts=[past]))
    return desk


ORDERS: dict[str, tuple[list[str], int, Callable[[], Change], str]] = {
    "promote": (["promote"], pb.VERB_PROMOTE, lambda: at(step=1, share=0.5), "step 2 of 3, share 50 %"),
    "promote at the last step": (
        ["promote"],
        pb.VERB_PROMOTE,
        lambda: at(phase="soak", share=1.0),
        "soak, share 100 %",
    ),
    "promote now": (
        ["promote", "--now"],
        pb.VERB_FINISH,
        lambda: at(phase="soak", share=1.0),
        "soak, share 100 %",
    ),
    "abort": (["abort"], pb.VERB_ABORT, lambda: ends("aborted"), "aborted"),
}


@pytest.mark.parametrize("case", ORDERS)
def test_orders_are_followed(rolling: Any, case: str) -> None:
    words, verb, change, said = ORDERS[case]
    rolling.control.script[verb] = [change()]
    rolling.control.command_text = "catalog: accepted"
    result = rolling("rollout", *words, "catalog")
    assert result.stdout == f"catalog 1.4.0 -> 1.5.0: {said}\n"
    assert rolling.orders() == [(verb, "catalog")]


def test_promote_now_is_not_satisfied_by_one_step(rolling: Any) -> None:
    rolling.control.script[pb.VERB_FINISH] = [at(step=1, share=0.5)]
    rolling("rollout", "promote", "--now", "catalog", "--timeout", "300ms", expect=1)


@pytest.mark.parametrize("words", [["promote"], ["promote", "--now"], ["abort"]])
def test_orders_without_waiting(rolling: Any, words: list[str]) -> None:
    rolling.control.command_text = "catalog goes on"
    assert rolling("rollout", *words, "catalog", "--no-wait").stdout == "catalog goes on\n"
    assert rolling.json("rollout", *words, "catalog", "--no-wait") == {"text": "catalog goes on"}


HOLDING: dict[str, tuple[pb.Verb, Change, str]] = {
    "pause": (pb.VERB_HOLD, at(held=True), "step 1 of 3, share 10 %, held"),
    "resume": (pb.VERB_CONTINUE, goes_on, "step 1 of 3, share 10 %"),
}


@pytest.mark.parametrize("word", HOLDING)
def test_pause_and_resume(rolling: Any, word: str) -> None:
    verb, change, said = HOLDING[word]
    if word == "resume":
        rolling.control.status.nodes[0].rollout.MergeFrom(pb.RolloutStatus(held=True))
    rolling.control.script[verb] = [change]
    assert rolling("rollout", word, "catalog").stdout == f"catalog 1.4.0 -> 1.5.0: {said}\n"
    assert rolling.orders() == [(verb, "catalog")]


def test_one_that_stays_held_was_not_resumed(rolling: Any) -> None:
    rolling.control.status.nodes[0].rollout.held = True
    stderr = rolling("rollout", "resume", "catalog", "--timeout", "300ms", expect=1).stderr
    assert "it has not come true within 0.3s" in stderr


def test_retry_begins_a_new_one(idle: Any) -> None:
    idle.control.script[pb.VERB_RETRY] = [begins("r-7")]
    result = idle("rollout", "retry", "catalog")
    assert result.stdout == "catalog 1.4.0 -> 1.5.0: preparing, share 0 %\n"
    assert result.stderr.splitlines()[-1] == "watch it: nodectl rollout watch catalog"
    assert idle.orders() == [(pb.VERB_RETRY, "catalog")]


@pytest.mark.parametrize(
    ("change", "said"), [(at(phase="soak", share=1.0), "soak, share 100 %"), (ends("promoted"), "promoted")]
)
def test_rollback_waits_until_the_version_has_all_requests(idle: Any, change: Change, said: str) -> None:
    begun = begins("r-7", from_version="1.5.0", to_version="1.4.0")
    idle.control.script[pb.VERB_ROLLBACK] = [begun, change]
    result = idle("rollout", "rollback", "catalog", "1.4.0")
    assert result.stdout == f"catalog 1.5.0 -> 1.4.0: {said}\n"
    (order,) = [one for name, one in idle.control.calls if name == "Command"]
    assert (order.verb, order.version) == (pb.VERB_ROLLBACK, "1.4.0")


def test_rollback_that_fails(idle: Any) -> None:
    script = [
        begins("r-7", from_version="1.5.0", to_version="1.4.0"),
        ends("rolled back", "no canary was ready"),
    ]
    idle.control.script[pb.VERB_ROLLBACK] = script
    stderr = idle("rollout", "rollback", "catalog", expect=1).stderr
    assert "nodectl: roll catalog back: rolled back: no canary was ready\n" in stderr
    assert stderr.endswith("try: nodectl rollout history catalog r-7\n")


@pytest.mark.parametrize(
    ("words", "forced"),
    [
        (["retry", "catalog"], "retry catalog --force"),
        (["rollback", "catalog"], "rollback catalog --force"),
        (["rollback", "catalog", "1.4.0"], "rollback catalog 1.4.0 --force"),
    ],
)
def test_what_would_break_another_node_ends_with_3_and_may_be_forced(
    idle: Any, words: list[str], forced: str
) -> None:
    why = "what catalog 1.4.0 sends to ledger 2.0 may be null: let ledger take it first"
    idle.control.refusals["Command"] = (grpc.StatusCode.ABORTED, why)
    stderr = idle("rollout", *words, expect=3).stderr
    assert stderr.endswith(f"{why}\ntry: nodectl rollout {forced}, if you know that it is right\n")
    idle.control.refusals["Command"] = (grpc.StatusCode.ABORTED, "port 8100 ...; --force does not help")
    assert idle("rollout", *words, expect=3).stderr.endswith("try: nodectl describe catalog\n")
    del idle.control.refusals["Command"]
    idle("rollout", *words, "--force", "--no-wait")
    (order,) = [one for name, one in idle.control.calls if name == "Command"][2:]
    assert order.force


def test_rollback_of_a_rollout_under_way_ends_it(rolling: Any) -> None:
    rolling.control.script[pb.VERB_ROLLBACK] = [ends("rolled back", "uid 0 asked for it")]
    assert rolling("rollout", "rollback", "catalog").stdout == "catalog 1.4.0 -> 1.5.0: rolled back\n"


REFUSALS = {
    "pause": "no rollout of catalog is under way: nodectl rollout history catalog",
    "retry": "the last rollout of catalog was promoted: nodectl rollout history catalog",
    "rollback": "catalog has no release 9: nodectl releases catalog",
}


@pytest.mark.parametrize("word", REFUSALS)
def test_a_refusal_says_what_to_do(idle: Any, word: str) -> None:
    idle.control.refusals["Command"] = (grpc.StatusCode.FAILED_PRECONDITION, REFUSALS[word])
    why, _, command = REFUSALS[word].partition(": ")
    stderr = idle("rollout", word, "catalog", expect=1).stderr
    assert stderr.endswith(f"catalog: {why}\ntry: {command}\n") or word == "rollback"
    assert f"{why}\ntry: {command}\n" in stderr
    assert stderr.startswith("nodectl: cannot ")


@pytest.mark.parametrize("words", [["pause"], ["resume"], ["retry"], ["rollback"]])
def test_more_orders_without_waiting(rolling: Any, words: list[str]) -> None:
    rolling.control.command_text = "so be it"
    assert rolling("rollout", *words, "catalog", "--no-wait").stdout == "so be it\n"
    assert rolling.json("rollout", *words, "catalog", "--no-wait") == {"text": "so be it"}


@pytest.mark.parametrize("word", ["abort", "pause", "resume", "retry", "rollback"])
def test_an_unknown_node(desk: Any, word: str) -> None:
    desk.control.refusals["Command"] = (grpc.StatusCode.NOT_FOUND, "no such node: shop")
    stderr = desk("rollout", word, "shop", expect=1).stderr
    assert "no such node" in stderr and stderr.endswith("try: nodectl status\n")
