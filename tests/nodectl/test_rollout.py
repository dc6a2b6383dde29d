"""Can a rollout be seen, followed to its end, pushed on and called off?"""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from tests.fakes.control import Change, a_node, a_rollout


def at(**fields: Any) -> Change:
    """The rollout goes on to this."""

    def change(status: pb.GetStatusResponse) -> None:
        status.nodes[0].rollout.MergeFrom(pb.RolloutStatus(**fields))

    return change


def ends(phase: str, reason: str = "", kept: bool = False) -> Change:
    """Ends as noded shows it: with the past ones, or still in its place."""

    def change(status: pb.GetStatusResponse) -> None:
        node = status.nodes[0]
        node.rollout.MergeFrom(pb.RolloutStatus(phase=phase, reason=reason, ended_at=time.time()))
        if not kept:
            node.past_rollouts.append(node.rollout)
            node.ClearField("rollout")

    return change


def plays(desk: Any, *changes: Change) -> None:
    """Once somebody watches."""

    def play() -> None:
        desk.fake.wait_for("WatchStatus")
        for change in changes:
            time.sleep(0.05)
            desk.fake.change(change)

    threading.Thread(target=play, daemon=True).start()


@pytest.fixture
def rolling(desk: Any) -> Any:
    desk.control.status.nodes.append(a_node(rollout=a_rollout()))
    return desk


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(("phase", "code"), [("promoted", 0), ("rolled back", 1), ("aborted", 1)])
def test_watch_ends_with_the_rollout(rolling: Any, phase: str, code: int, kept: bool) -> None:
    plays(rolling, at(step=1, share=0.5), ends(phase, "because of this", kept))
    lines = rolling("rollout", "watch", "catalog", expect=code).stdout.splitlines()
    assert lines[-1] == f"catalog 1.4.0 -> 1.5.0: {phase}: because of this"
    assert [line.split("  ")[2] for line in lines[:-1]] == [
        "step 1 of 3, share 10 %",
        "step 2 of 3, share 50 %",
        phase,
    ]
    assert "new 1,372 requests 1 bad  old 12,345 requests 3 bad" in lines[0]
    assert "against 0.412 of 100  for 12.3 of 20  about 210 more requests" in lines[0]


def test_counts_alone_do_not_flood_the_log(rolling: Any) -> None:
    plays(rolling, *(at(canary_requests=1400 + n) for n in range(8)), ends("promoted"))
    assert len(rolling("rollout", "watch", "catalog").stdout.splitlines()) == 3


def test_watch_as_json_gives_every_state_as_a_line(rolling: Any) -> None:
    plays(rolling, at(step=1), ends("promoted"))
    lines = rolling("rollout", "watch", "catalog", "-o", "json").stdout.splitlines()
    states = [json.loads(line) for line in lines]
    assert [(one["phase"], one["step"]) for one in states] == [("step", 0), ("step", 1), ("promoted", 1)]


def test_watch_outlives_a_restart_of_noded(rolling: Any) -> None:
    rolling.control.cut_watches = True
    plays(rolling, at(step=1), at(step=2), ends("promoted"))
    result = rolling("rollout", "watch", "catalog")
    assert "noded is away" in result.stderr


def test_watch_that_takes_too_long(rolling: Any) -> None:
    stderr = rolling("rollout", "watch", "catalog", "--timeout", "300ms", expect=1).stderr
    assert stderr == (
        "nodectl: the rollout of catalog has not ended within 0.3s\ntry: nodectl rollout status catalog\n"
    )


def test_a_rollout_that_vanishes_has_no_verdict(rolling: Any) -> None:
    plays(rolling, lambda status: status.nodes[0].ClearField("rollout"))
    assert "does not say how it ended" in rolling("rollout", "watch", "catalog", expect=1).stderr


def test_watch_without_a_rollout_tells_of_the_last_one(desk: Any) -> None:
    past = a_rollout(phase="rolled back", ended_at=time.time() - 65)
    desk.control.status.nodes.append(a_node(past_rollouts=[past]))
    stderr = desk("rollout", "watch", "catalog", expect=1).stderr
    assert (
        "no rollout of catalog is under way; the last one, 1.4.0 -> 1.5.0, ended 1m 5s ago: rolled back"
        in stderr
    )
    assert "try: nodectl rollout history catalog" in stderr


@pytest.mark.parametrize("command", ["status", "watch", "history", "promote"])
def test_an_unknown_node(desk: Any, command: str) -> None:
    assert "no such node" in desk("rollout", command, "shop", expect=1).stderr


def test_status_shows_the_present_one_else_the_last(desk: Any) -> None:
    old, new = (
        a_rollout(id="r-1", to_version="1.4.1"),
        a_rollout(id="r-2", to_version="1.4.2", phase="promoted"),
    )
    old.started_at = 1.0
    desk.control.status.nodes.append(a_node(past_rollouts=[old, new]))
    assert "1.4.0 -> 1.4.2  promoted" in desk("rollout", "status", "catalog").stdout
    desk.control.status.nodes[0].rollout.CopyFrom(a_rollout())
    output = desk("rollout", "status", "catalog").stdout
    assert "1.4.0 -> 1.5.0  step 1 of 3, share 10 %" in output
    assert "12s to go at least" in output and "[10 %]; 50 %; 100 %" in output
    assert desk.json("rollout", "status", "catalog")["to_version"] == "1.5.0"


def test_a_node_without_rollouts(desk: Any) -> None:
    desk.control.status.nodes.append(a_node())
    assert "has had no rollout" in desk("rollout", "status", "catalog", expect=1).stderr
    assert desk("rollout", "history", "catalog").stdout == "catalog has had no rollout\n"
    assert desk.json("rollout", "history", "catalog") == []


def test_history_is_newest_first(desk: Any) -> None:
    past = [
        a_rollout(
            id=f"r-{n}", started_at=1e9 + n, ended_at=1e9 + n + 75, phase="rolled back", reason="errors"
        )
        for n in (1, 3, 2)
    ]
    desk.control.status.nodes.append(a_node(past_rollouts=past))
    lines = desk("rollout", "history", "catalog").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "r-3", "r-2", "r-1"]
    assert "1m 15s" in lines[1] and lines[1].endswith("errors")
    assert [one["id"] for one in desk.yaml("rollout", "history", "catalog")] == ["r-3", "r-2", "r-1"]


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
