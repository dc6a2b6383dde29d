"""What does a heartbeat prove of a node whose event loop stands still?"""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.nodekit.conftest import Start
from tests.nodekit.noded_side import DEADLINE, NodedSide
from tests.nodekit.trial import PLAIN, ask


def test_a_stuck_loop_still_beats_and_answers(noded: NodedSide, start: Start) -> None:
    start(PLAIN)
    noded.hear_line("READY=1")
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(ask, noded, "/block/2.5")
        time.sleep(0.2)
        started = time.monotonic()
        told = noded.order("describe")["result"]
        assert told["lag"] > 0.05
        assert any("trial.py" in frame and "block" in frame for frame in told["stack"]), told["stack"]
        assert noded.order("profile_start")["ok"]
        assert noded.order("profile_stop")["ok"]
        assert noded.order("shrink", fraction=0.5)["ok"]
        assert time.monotonic() - started < 1.5
        noded.hear(lambda text: text.startswith('NODED={"kind":"heartbeat"') and '"lag":1.' in text)
        assert blocked.result() == "done"


def test_a_heartbeat_does_not_vouch_for_a_loop_that_stands_still(noded: NodedSide, start: Start) -> None:
    start(PLAIN)
    noded.hear_line("READY=1")
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        blocked = pool.submit(ask, noded, "/block/1.2")
        beat = noded.hear_message("heartbeat")
        while beat["stuck"] < 0.8:
            assert time.monotonic() - began < DEADLINE
            beat = noded.hear_message("heartbeat")
        assert beat["stuck"] < time.monotonic() - began + 0.5
        assert blocked.result() == "done"
        while beat["stuck"] > 0.2:
            assert time.monotonic() - began < DEADLINE
            beat = noded.hear_message("heartbeat")


def test_a_loop_that_turns_again_is_told_at_once(noded: NodedSide, start: Start) -> None:
    start(PLAIN, NODED_HEARTBEAT="3600")
    noded.hear_message("heartbeat")
    assert ask(noded, "/block/0.9") == "done"
    beat = noded.hear_message("heartbeat")
    assert beat["lag"] > 0.5
    assert beat["stuck"] < 0.5


def test_a_heartbeat_tells_how_long_the_oldest_request_has_waited(noded: NodedSide, start: Start) -> None:
    start(PLAIN)
    noded.hear_line("READY=1")
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(ask, noded, "/slow") for _ in range(2)]
        began = time.monotonic()
        while (beat := noded.hear_message("heartbeat"))["oldest"] < 0.2:
            assert time.monotonic() - began < DEADLINE
        assert beat["oldest"] < 5
        assert [each.result() for each in slow] == ["at last"] * 2
    began = time.monotonic()
    while noded.hear_message("heartbeat")["oldest"] > 0:
        assert time.monotonic() - began < DEADLINE
