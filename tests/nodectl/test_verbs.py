"""Do orders reach noded, and does nodectl follow until they have come true?"""

from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb
from tests.fakes.control import Change, a_node, an_instance


def becomes(condition: str) -> Change:
    def change(status: pb.GetStatusResponse) -> None:
        status.nodes[0].condition = condition

    return change


def renewed(status: pb.GetStatusResponse) -> None:
    del status.nodes[0].instances[:]
    status.nodes[0].instances.append(an_instance("catalog.9"))
    status.nodes[0].condition = "running"


def renewed_in_a_rollout(status: pb.GetStatusResponse) -> None:
    renewed(status)
    status.nodes[0].instances.append(an_instance("catalog.8", role="canary"))
    status.nodes[0].condition = "rolling out"


def gone(status: pb.GetStatusResponse) -> None:
    del status.nodes[0]


def pauses(paused: bool, host: bool) -> Change:
    def change(status: pb.GetStatusResponse) -> None:
        (status.host if host else status.nodes[0]).paused = paused

    return change


FOLLOWED: dict[str, tuple[list[str], int, pb.NodeStatus, list[Change], str]] = {
    "start": (
        ["start", "catalog"],
        pb.VERB_START,
        a_node(condition="stopped"),
        [becomes("starting"), becomes("running")],
        "catalog runs\n",
    ),
    "stop": (
        ["stop", "catalog"],
        pb.VERB_STOP,
        a_node(),
        [becomes("stopping"), becomes("stopped")],
        "catalog is stopped\n",
    ),
    "restart": (
        ["restart", "catalog"],
        pb.VERB_RESTART,
        a_node(),
        [becomes("starting"), renewed],
        "catalog runs anew\n",
    ),
    "restart in a rollout": (
        ["restart", "catalog"],
        pb.VERB_RESTART,
        a_node(condition="rolling out"),
        [becomes("rolling out"), renewed_in_a_rollout],
        "catalog runs anew\n",
    ),
    "remove": (
        ["remove", "catalog", "--yes"],
        pb.VERB_REMOVE,
        a_node(),
        [becomes("stopping"), gone],
        "catalog is gone\n",
    ),
    "pause": (["pause", "catalog"], pb.VERB_PAUSE, a_node(), [pauses(True, False)], "catalog is paused\n"),
    "resume": (
        ["resume", "catalog"],
        pb.VERB_RESUME,
        a_node(paused=True),
        [pauses(False, False)],
        "catalog goes on\n",
    ),
    "pause host": (
        ["pause", "--host"],
        pb.VERB_PAUSE,
        a_node(),
        [pauses(True, True)],
        "this host is paused\n",
    ),
}


@pytest.mark.parametrize("case", FOLLOWED)
def test_an_order_is_followed_until_it_has_come_true(desk: Any, case: str) -> None:
    words, verb, before, script, said = FOLLOWED[case]
    desk.control.status.nodes.append(before)
    desk.control.script[verb] = script
    desk.control.command_text = "accepted, it takes a moment"
    result = desk(*words)
    assert result.stdout == said
    assert result.stderr.startswith("accepted, it takes a moment\n")
    assert desk.orders() == [(verb, "" if "this host" in said else "catalog")]


def test_resume_of_the_host(desk: Any) -> None:
    desk.control.status.host.paused = True
    desk.control.script[pb.VERB_RESUME] = [pauses(False, True)]
    assert desk("resume", "--host").stdout == "this host goes on\n"


def test_a_file_keeps_the_host_paused(desk: Any) -> None:
    host = desk.control.status.host
    host.paused, host.paused_by = True, "nodectl pause --host and the file /etc/noded/PAUSE"
    end = "nodectl resume --host and rm /etc/noded/PAUSE"
    assert desk("status").stdout.endswith(f"go on with: {end}\n")

    def resumed(status: pb.GetStatusResponse) -> None:
        status.host.paused_by = "the file /etc/noded/PAUSE"

    desk.control.script[pb.VERB_RESUME] = [resumed]
    assert desk("resume", "--host", expect=1).stderr.splitlines()[-2:] == [
        "nodectl: this host stays paused: the file /etc/noded/PAUSE is there",
        "try: rm /etc/noded/PAUSE",
    ]


def test_progress_is_told_once_per_change_with_its_detail(desk: Any) -> None:
    desk.control.status.nodes.append(a_node())

    def stopping(status: pb.GetStatusResponse) -> None:
        status.nodes[0].condition, status.nodes[0].detail = "stopping", "2 requests are under way"

    desk.control.script[pb.VERB_STOP] = [stopping, stopping, becomes("stopped")]
    assert desk("stop", "catalog").stderr.splitlines()[1:] == [
        "catalog: running",
        "catalog: stopping (2 requests are under way)",
    ]


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (["start"], pb.VERB_START),
        (["stop"], pb.VERB_STOP),
        (["restart"], pb.VERB_RESTART),
        (["remove", "-y"], pb.VERB_REMOVE),
    ],
)
def test_without_waiting_the_order_is_all(desk: Any, words: list[str], verb: int) -> None:
    desk.control.status.nodes.append(a_node())
    desk.control.command_text = "catalog will do it"
    result = desk(*words, "catalog", "--no-wait")
    assert (result.stdout, result.stderr) == ("catalog will do it\n", "")
    assert "WatchStatus" not in [name for name, _ in desk.control.calls]
    assert desk.orders() == [(verb, "catalog")]


def test_what_does_not_come_true_fails_and_says_where_it_stands(desk: Any) -> None:
    desk.control.status.nodes.append(a_node(condition="backing off", detail="exited with status 1"))
    result = desk("start", "catalog", "--timeout", "300ms", expect=1)
    assert result.stderr.splitlines()[-2:] == [
        "nodectl: start catalog: accepted, but it has not come true within 0.3s; "
        "catalog is backing off (exited with status 1)",
        "try: nodectl describe catalog, or nodectl logs catalog",
    ]


def test_following_outlives_a_restart_of_noded(desk: Any) -> None:
    desk.control.status.nodes.append(a_node())
    desk.control.cut_watches = True
    desk.control.script[pb.VERB_STOP] = [becomes("stopping"), becomes("stopped")]
    assert desk("stop", "catalog").stdout == "catalog is stopped\n"


def test_a_removed_node_that_noded_no_longer_knows_is_gone(desk: Any) -> None:
    desk.control.refusals["WatchStatus"] = (grpc.StatusCode.NOT_FOUND, "no such node")
    assert desk("remove", "catalog", "--yes").stdout == "catalog is gone\n"


def test_a_stopped_node_that_noded_no_longer_knows_is_a_failure(desk: Any) -> None:
    desk.control.refusals["WatchStatus"] = (grpc.StatusCode.NOT_FOUND, "no such node")
    assert "no such node" in desk("stop", "catalog", expect=1).stderr


@pytest.mark.parametrize(("answer", "code", "orders"), [("y\n", 0, 1), ("n\n", 1, 0), ("", 2, 0)])
def test_remove_asks(desk: Any, answer: str, code: int, orders: int) -> None:
    result = desk("remove", "catalog", answer=answer, expect=code)
    assert "Stop catalog and forget it? [y/N]" in result.stderr
    assert ("nobody was there to answer; give --yes" in result.stderr) is (not answer)
    assert len(desk.orders()) == orders


def test_an_order_answers_as_json(desk: Any) -> None:
    desk.control.status.nodes.append(a_node(condition="stopped"))
    desk.control.command_text = "catalog stops"
    assert desk.json("stop", "catalog") == {"text": "catalog stops"}
    assert desk.yaml("stop", "catalog", "--no-wait") == {"text": "catalog stops"}


@pytest.mark.parametrize("words", [["restart", "catalog"], ["rollout", "abort", "catalog"]])
def test_refusals_of_an_order(desk: Any, words: list[str]) -> None:
    desk.control.status.nodes.append(a_node())
    desk.control.refusals["Command"] = (grpc.StatusCode.FAILED_PRECONDITION, "catalog is being removed")
    stderr = desk(*words, expect=1).stderr
    assert stderr.splitlines()[0].startswith("nodectl: cannot ")
    assert stderr.splitlines()[1] == "try: nodectl describe catalog"


def test_pause_takes_a_node_or_the_host(desk: Any) -> None:
    assert "not both" in desk("pause", "catalog", "--host", expect=2).stderr


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_bare_pause_says_both_forms_and_does_nothing(desk: Any, verb: str) -> None:
    said = desk(verb, expect=2).stderr
    assert f"nodectl {verb} NODE" in said and f"nodectl {verb} --host" in said
    assert desk.control.calls == []


def test_reload_waits_for_nothing(desk: Any) -> None:
    desk.control.status.nodes.append(a_node())
    desk.control.command_text = "catalog reads its settings again (HUP)"
    result = desk("reload", "catalog")
    assert (result.stdout, result.stderr) == ("catalog reads its settings again (HUP)\n", "")
    assert desk.orders() == [(pb.VERB_RELOAD, "catalog")]


def test_a_node_that_cannot_reload(desk: Any) -> None:
    text = "catalog names no signal for it: [node] reload in node.toml"
    desk.control.refusals["Command"] = (grpc.StatusCode.FAILED_PRECONDITION, text)
    assert desk("reload", "catalog", expect=1).stderr.startswith(f"nodectl: cannot reload catalog: {text}")
