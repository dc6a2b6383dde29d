"""Are the requests that a node answered counted, timed, and told to noded when there is news?"""

import itertools
import os
import threading
import time
from typing import Any

import pytest

from nodekit.answered import EDGES, Answered
from nodekit.session import RETELL
from tests.nodekit.conftest import Start
from tests.nodekit.noded_side import DEADLINE, NodedSide
from tests.nodekit.test_server import GET, over_socket, read_answer, send, serving, until
from tests.nodekit.trial import PLAIN, UnixConnection, ask

OTHER = """
    import asyncio
    from nodekit import Node
    node = Node()

    @node.task
    async def another_server():
        node.answered(0.004)
        node.answered(0.2, ok=False)
        await asyncio.sleep(3600)

    node.main()
"""


def test_edges_rise_from_a_millisecond_to_half_a_minute() -> None:
    assert (EDGES[0], EDGES[-1], len(EDGES)) == (0.001, 30.0, 20)
    assert all(1.6 < later / earlier < 1.8 for earlier, later in itertools.pairwise(EDGES))


def test_an_answer_is_within_its_edge_and_all_above() -> None:
    answered = Answered()
    assert answered.report() == {}
    for seconds in (0.0, 0.001, 0.0011, 30.0, 31.0):
        answered.add(seconds)
    answered.add(0.5, ok=False)
    told = answered.report()
    assert (told["total"], told["bad"], told["edges"]) == (6, 1, list(EDGES))
    within = told["within"]
    assert isinstance(within, list)
    assert within == [2, *[3] * 11, *[4] * 7, 5]


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    answered = Answered()
    with pytest.raises(ValueError, match=r"expected seconds, such as 0\.012"):
        answered.add(seconds)
    assert answered.report() == {}


def test_threads_lose_nothing() -> None:
    answered = Answered()

    def many() -> None:
        for _ in range(5000):
            answered.add(0.01, ok=False)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    told = answered.report()
    assert (told["total"], told["bad"]) == (20_000, 20_000)
    assert told["within"] == [0] * 5 + [20_000] * 15


@over_socket
async def test_the_server_counts_what_it_answers(path: str) -> None:
    async with serving(path) as server:
        for wire in (GET, GET.replace(b"/ ", b"/bad "), GET.replace(b"/ ", b"/slow ")):
            reader, writer = await send(path, wire)
            await read_answer(reader)
            writer.close()
        told = server.figures.report()
        assert (told["total"], told["bad"]) == (3, 1)
        within = told["within"]
        assert isinstance(within, list)
        slow = [count for edge, count in zip(EDGES, within, strict=True) if 0.2 < edge < 0.3]
        assert (slow, within[-1]) == ([2], 3)


@over_socket
async def test_what_was_no_request_and_what_noded_asks_is_not_counted(path: str) -> None:
    async with serving(path) as server:
        for wire in (b"nonsense\r\n\r\n", GET.replace(b"\r\n\r\n", b"\r\nUser-Agent: noded\r\n\r\n")):
            reader, writer = await send(path, wire)
            await read_answer(reader)
            writer.close()
        assert (server.answered, server.figures.report()) == (1, {})


@over_socket
async def test_a_client_that_goes_away_was_answered_all_the_same(path: str) -> None:
    async with serving(path) as server:
        _, writer = await send(path, GET.replace(b"/ ", b"/slow "))
        await until(lambda: bool(server.running))
        writer.transport.abort()
        await until(lambda: server.figures.total == 1)
        assert server.figures.bad == 0


def test_noded_is_told_when_there_is_news(noded: NodedSide, start: Start) -> None:
    start(PLAIN)
    assert "answers" not in noded.hear_message("heartbeat")
    for name in ("a", "b"):
        ask(noded, f"/keep/{name}")
    told = first_with_answers(noded, 2)
    assert (told["bad"], len(told["within"]), told["within"][-1]) == (0, len(told["edges"]), 2)
    beats = [noded.hear_message("heartbeat") for _ in range(RETELL)]
    assert [beat["answers"] for beat in beats if "answers" in beat] == [told]
    assert noded.order("describe")["result"]["answers"]["total"] == 2


def test_a_noded_that_was_away_is_told_again(noded: NodedSide, start: Start) -> None:
    start(PLAIN)
    noded.hear_line("READY=1")
    ask(noded, "/keep/a")
    first_with_answers(noded, 1)
    noded.shut()
    ask(noded, "/keep/b")
    time.sleep(0.3)  # Two heartbeats go nowhere: of that nothing can be seen from here.
    os.unlink(noded.notify)
    noded.open()
    assert first_with_answers(noded, 2)["total"] == 2


def test_a_fault_of_a_route_is_bad(noded: NodedSide, start: Start) -> None:
    start(PLAIN)
    noded.hear_line("READY=1")
    for target in ("/block/never", "/nowhere"):
        connection = UnixConnection(noded.http)
        connection.request("GET", target)
        connection.getresponse().read()
        connection.close()
    assert first_with_answers(noded, 2)["bad"] == 1


def test_another_server_may_be_counted(noded: NodedSide, start: Start) -> None:
    start(OTHER)
    told = first_with_answers(noded, 2)
    assert told["bad"] == 1
    assert [count for edge, count in zip(told["edges"], told["within"], strict=True) if edge == 0.00509] == [
        1
    ]
    beat = noded.hear_message("heartbeat")
    assert beat["progress"] == 2


def first_with_answers(noded: NodedSide, total: int) -> dict[str, Any]:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        beat = noded.hear_message("heartbeat")
        if beat.get("answers", {}).get("total") == total:
            found: dict[str, Any] = beat["answers"]
            return found
    raise AssertionError(f"no word of {total} answers")
