"""Do incidents show what was found, what was tried, and what comes next?"""

import time
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from tests.fakes.control import a_node, an_incident

CLOSED = time.time()


@pytest.fixture
def troubled(desk: Any) -> Any:
    past = an_incident(
        id="i-1", state="resolved", opened_at=CLOSED - 60, closed_at=CLOSED, outcome="shrink held"
    )
    desk.control.status.nodes.extend(
        [a_node(incident=an_incident()), a_node("shop", past_incidents=[past]), a_node("quiet")]
    )
    return desk


def test_the_list_has_open_ones_first(troubled: Any) -> None:
    lines = troubled("incidents").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["ID", "NODE"], ["i-3", "catalog"], ["i-1", "shop"]]
    assert "collect did not hold, shrink" in lines[1] and "the limit in 40 min" in lines[1]
    assert " 1m " in lines[2]


def test_the_list_of_one_node(troubled: Any) -> None:
    assert "catalog" not in troubled("incidents", "shop").stdout
    assert troubled("incidents", "quiet").stdout == "no incidents\n"
    assert troubled("incidents", "list", "quiet").stdout == "no incidents\n"
    assert troubled.json("incidents", "quiet") == []
    (one,) = troubled.yaml("incidents", "shop")
    assert (one["node"], one["id"], one["rungs"][0]["rung"]) == ("shop", "i-1", "collect")


def test_one_in_full(troubled: Any) -> None:
    incident = troubled.control.status.nodes[0].incident
    incident.regeneration.MergeFrom(
        pb.RegenerationStatus(
            generator="bound-cache",
            verdict="accepted",
            diff_lines=8,
            seconds=4.2,
            version="1.4.0+heal.1",
            diff="--- a/catalog/prices.py\n+    limit=1000\n",
            gates=[
                pb.GateStatus(name="tests", passed=True, detail="12 passed"),
                pb.GateStatus(name="soak", passed=False, detail="still grows"),
            ],
        )
    )
    output = troubled("incidents", "catalog", "i-3").stdout
    for said in (
        *(
            "i-3 catalog memory-growth  watching the effect",
            "5.0 MiB/min",
            "limit in     40m",
            "1m 1s of the instance's life",
        ),
        *("did not hold", "1.1 MiB", "catalog/prices.py:41", "1.4.0+heal.1 by bound-cache: accepted"),
        *("8 lines in 4.2s", "tests  passed  12 passed", "soak   failed  still grows", "+    limit=1000"),
        "next  the effect is compared with what was before",
    ):
        assert said in output, said
    assert troubled.json("incidents", "catalog", "i-3")["sites"][0]["line"] == 41


NEXT = {
    "choosing a step": "the cheapest step that may help",
    "watching the effect": "when it does not hold, the next step",
    "waiting for approval": "nodectl incidents approve catalog",
    "rolling out": "nodectl rollout watch catalog",
    "holding": "it is resolved when it goes on holding",
    "needs a person": "nodectl explain catalog --incident i-3",
}


@pytest.mark.parametrize("state", NEXT)
def test_what_comes_next(troubled: Any, state: str) -> None:
    troubled.control.status.nodes[0].incident.state = state
    assert NEXT[state] in troubled("incidents", "catalog", "i-3").stdout


def test_what_is_only_advised(troubled: Any) -> None:
    incident = troubled.control.status.nodes[0].incident
    incident.state, incident.rungs[1].verdict = "of another noded", "advised"
    assert "next  shrink is advised" in troubled("incidents", "catalog", "i-3").stdout


def test_nothing_comes_after_the_end(troubled: Any) -> None:
    assert "next" not in troubled("incidents", "shop", "i-1").stdout


@pytest.mark.parametrize(
    ("words", "said"), [(["shop", "i-9"], "no such incident"), (["nowhere"], "no such node")]
)
def test_unknown_ones(troubled: Any, words: list[str], said: str) -> None:
    assert said in troubled("incidents", *words, expect=1).stderr


def test_approve(troubled: Any) -> None:
    troubled.control.command_text = "replace begins"
    assert troubled("incidents", "approve", "catalog").stdout == "replace begins\n"
    assert troubled.orders() == [(pb.VERB_APPROVE, "catalog")]
    assert troubled.json("incidents", "approve", "catalog") == {"text": "replace begins"}


def test_watching(troubled: Any) -> None:
    lines = troubled("incidents", "-w", "--timeout", "300ms").stdout.splitlines()
    assert "i-3  catalog  memory-growth  watching the effect  shrink  memory grows" in lines[0]
    assert "shrink held" in lines[1]
    (line,) = troubled("incidents", "catalog", "-w", "--timeout", "300ms", "-o", "json").stdout.splitlines()
    assert line.startswith('[{"node": "catalog", "id": "i-3"')


def test_watching_takes_no_id(troubled: Any) -> None:
    assert "leave out the ID" in troubled("incidents", "catalog", "i-3", "-w", expect=2).stderr
