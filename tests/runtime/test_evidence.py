"""Is it told in one line where a silent instance stands, whatever its program or the launcher answers?"""

import asyncio
import time
from collections.abc import Mapping

import pytest

from noded.ports import Heartbeat, NotFound, Refused
from noded.runtime import evidence
from tests.adapters.looped import looped
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox
from tests.fakes.nodes import FakeNodes
from tests.fakes.processes import FakeProcesses

STUCK = {
    "stack": [
        "/srv/releases/ab/shop/prices.py:41 price_of",
        "/srv/sdk/nodekit/routes.py:67 dispatch",
        "/usr/lib/python3.11/asyncio/events.py:80 _run",
        "main.py:3 <module>",
    ]
}


class Seen(FakeProcesses):
    """`told` is what the launcher sees; None when it does not answer."""

    def __init__(self, told: Mapping[str, object] | None) -> None:
        super().__init__(FakeInbox(), FakeClock())
        self.told = told

    async def inspect(self, instance: str) -> Mapping[str, object]:
        if self.told is None:
            await asyncio.sleep(60)
        return self.told or {}


def threads(*places: tuple[str, str]) -> dict[str, object]:
    return {"wchans": [{"pid": 5, "tid": 5, "state": state, "wchan": wchan} for state, wchan in places]}


def sdk(answer: Mapping[str, object] | Refused | None = None) -> FakeNodes:
    made = FakeNodes(FakeInbox(), FakeClock())
    made.listen("a", "a.1")
    if answer is not None:
        made.lines["a.1"].answers["describe"] = answer
    return made


CASES = [
    (threads(("S", "futex_wait_queue"), ("S", "futex_wait_queue"), ("R", "0")),
     "3 threads: 2 in futex_wait_queue, 1 running"),
    (threads(("T", "do_signal_stop")), "1 thread: 1 in do_signal_stop"),
    (threads(("D", "0")), "1 thread: 1 in state D"),
    (threads(("S", "a\x1b[2Jb\n"), ("S", "x" * 900)), f"2 threads: 1 in a [2Jb , 1 in {'x' * 40}"),
    ({"wchans": [7, None, {}, {"wchan": 3, "state": []}]}, "2 threads: 2 in state "),
    ({"wchans": "futex"}, ""),
    ({}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("told", "text"), CASES)
@looped
async def test_where_its_threads_stand(told: Mapping[str, object], text: str) -> None:
    assert await evidence.gathered(Seen(told), sdk(), "a.1", "S") == text


@looped
async def test_a_release_is_not_named_by_its_digest() -> None:
    told = {
        "stack": [f"/srv/releases/{'0a' * 32}/main.py:7 hang", f"/srv/releases/{'0a' * 32}/shop/x.py:1 f"]
    }
    assert await evidence.gathered(Seen({}), sdk(told), "a.1", "S") == "main.py:7 hang < shop/x.py:1 f"


@looped
async def test_the_sdk_tells_the_line() -> None:
    found = await evidence.gathered(Seen(threads(("R", "0"))), sdk(STUCK), "a.1", "R")
    stack = "shop/prices.py:41 price_of < nodekit/routes.py:67 dispatch < asyncio/events.py:80 _run"
    assert found == f"{stack}; 1 thread: 1 running"


@looped
async def test_the_age_of_the_oldest_request_is_told() -> None:
    nodes = sdk()
    for oldest, text in ((0.9, ""), (12.4, "its oldest request waits for 12 s")):
        nodes.lines["a.1"].heartbeat = Heartbeat(1.0, 0.0, 0, 0.0, oldest)
        assert await evidence.gathered(Seen({}), nodes, "a.1", "S") == text


ODD: list[Mapping[str, object] | Refused] = [
    {},
    {"stack": 7},
    {"stack": [7, None, "", "\x00\n"]},
    Refused("no"),
]


@pytest.mark.parametrize("answer", ODD)
@looped
async def test_an_odd_answer_of_the_sdk_does_no_harm(answer: Mapping[str, object] | Refused) -> None:
    found = await evidence.gathered(Seen(threads(("S", "ep_poll"))), sdk(answer), "a.1", "S")
    assert found.strip("; ").endswith("1 thread: 1 in ep_poll")
    assert found.isprintable()


@pytest.mark.parametrize("state", ["T", "t", "Z"])
@looped
async def test_a_stopped_program_is_not_asked(state: str) -> None:
    nodes = sdk(STUCK)
    assert await evidence.gathered(Seen({}), nodes, "a.1", state) == ""
    assert nodes.orders == []


@looped
async def test_evidence_delays_nothing_for_long() -> None:
    began = time.monotonic()
    assert await evidence.gathered(Seen(None), sdk(STUCK), "a.1", "S") != ""
    assert time.monotonic() - began < 2


@looped
async def test_an_instance_that_is_gone_has_none() -> None:
    class Gone(FakeProcesses):
        async def inspect(self, instance: str) -> Mapping[str, object]:
            raise NotFound("no such instance")

    gone = Gone(FakeInbox(), FakeClock())
    assert await evidence.gathered(gone, FakeNodes(FakeInbox(), FakeClock()), "a.1", "S") == ""


@looped
async def test_it_stays_one_short_line() -> None:
    long = {"stack": ["/x/" + "y" * 500 + ".py:1 f"] * 9}
    found = await evidence.gathered(Seen(threads(("R", "0"))), sdk(long), "a.1", "R")
    assert len(found) <= evidence.LONGEST
