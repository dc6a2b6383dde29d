"""Does the session keep beating and answering whatever noded or the wire does?"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from nodekit.caches import Cache, Caches
from nodekit.memory import rss
from nodekit.orders import Refused, Result
from nodekit.session import LARGEST, Session, line, read_order
from tests.nodekit.noded_side import DEADLINE, NodedSide

PERIOD = 0.05


class Trial:
    """A session with a body and orders of its own."""

    def __init__(self, noded: NodedSide) -> None:
        self.body: Result = {"lag": 0.0, "progress": 1}
        self.obeyed: list[Mapping[str, Any]] = []
        self.session = Session(noded.notify, noded.orders, lambda: dict(self.body), self.obey, PERIOD)

    def obey(self, order: Mapping[str, Any]) -> Result:
        self.obeyed.append(order)
        if order["do"] == "refuse":
            raise Refused("not today")
        if order["do"] == "fail":
            raise OSError("disk on fire")
        return {"told": order["do"]}


@pytest.fixture
def trial(noded: NodedSide) -> Iterator[Trial]:
    trial = Trial(noded)
    yield trial
    trial.session.close()


def wait_until(true: Any) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_ready_comes_with_a_heartbeat_at_once(noded: NodedSide, trial: Trial) -> None:
    started = time.monotonic()
    trial.session.say_ready()
    noded.hear_line("READY=1")
    assert noded.hear_message("heartbeat") == {"kind": "heartbeat", "lag": 0.0, "progress": 1}
    assert time.monotonic() - started < 1.0


def test_a_socket_without_a_file_is_reached() -> None:
    """systemd may give an abstract address, written with @."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(f"\0nodekit-{os.getpid()}")
        inbox.settimeout(DEADLINE)
        session = Session(f"@nodekit-{os.getpid()}", "", dict, dict, PERIOD)
        session.say_ready()
        assert inbox.recv(1000) == b"READY=1"
        session.close()


def test_nothing_is_said_before_ready(noded: NodedSide, trial: Trial) -> None:
    assert noded.order("describe")["ok"]
    assert len(noded.said) == 1, "only the answer"


def test_heartbeats_follow_each_other(noded: NodedSide, trial: Trial) -> None:
    trial.session.say_ready()
    for _ in range(4):
        noded.hear_message("heartbeat")


def test_a_beat_out_of_turn_comes_at_once_and_not_before_ready(noded: NodedSide) -> None:
    session = Session(noded.notify, "", dict, dict, 3600.0)
    try:
        session.beat_soon()
        session.say_ready()
        noded.hear_message("heartbeat")
        assert noded.said == ["READY=1", 'NODED={"kind":"heartbeat"}']
        session.beat_soon()
        noded.hear_message("heartbeat")
    finally:
        session.period = 0.05
        session.close()


def test_noded_may_be_away_and_come_back(noded: NodedSide, trial: Trial) -> None:
    noded.shut()
    trial.session.say_ready()
    wait_until(lambda: trial.session.dropped > 3)
    assert trial.session.thread.is_alive()
    os.unlink(noded.notify)
    wait_until(lambda: trial.session.dropped > 6)
    noded.open()
    noded.hear_message("heartbeat")
    noded.hear_line("READY=1")


def test_a_full_queue_drops_heartbeats_and_never_blocks(noded: NodedSide, trial: Trial) -> None:
    trial.session.say_ready()
    trial.body["filler"] = "x" * 30_000
    wait_until(lambda: trial.session.dropped > 2)
    assert trial.session.thread.is_alive()


def test_an_answer_waits_for_room_in_the_queue(noded: NodedSide, trial: Trial) -> None:
    while trial.session.send("STATUS=" + "x" * 30_000):
        pass
    noded.say(json.dumps({"order": 1, "do": "describe"}).encode())
    wait_until(lambda: trial.session.dropped > 2)
    assert noded.hear_message("done")["ok"]


def test_orders_are_answered_with_their_number(noded: NodedSide, trial: Trial) -> None:
    assert noded.order("describe") == {"kind": "done", "order": 1, "ok": True, "result": {"told": "describe"}}
    assert noded.order("refuse") == {"kind": "done", "order": 2, "ok": False, "error": "not today"}
    assert noded.order("fail")["error"] == "OSError: disk on fire"
    assert noded.order("describe")["ok"], "a fault of one order must not end the session"


def test_an_order_without_a_number_is_obeyed_in_silence(noded: NodedSide, trial: Trial) -> None:
    noded.say(b'{"do": "activate"}')
    noded.order("describe")
    assert [order["do"] for order in trial.obeyed] == ["activate", "describe"]
    assert len(noded.said) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00\xff",
        b"{",
        b"[]",
        b"7",
        b'"do"',
        b"null",
        b"[" * 20_000,
        b"{}" + b" " * LARGEST,
        b"9" * 50_000,
    ],
)
def test_garbage_is_counted_and_passed_over(noded: NodedSide, trial: Trial, garbage: bytes) -> None:
    noded.say(garbage)
    assert noded.order("describe")["ok"]
    assert trial.session.refused == 1
    assert len(trial.obeyed) == 1


def test_a_node_goes_on_without_a_place_for_its_orders(noded: NodedSide) -> None:
    session = Session(noded.notify, noded.folder + "/missing/orders.sock", lambda: {"lag": 0.0}, dict, PERIOD)
    session.say_ready()
    noded.hear_message("heartbeat")
    session.close()


def test_closing_ends_the_thread_and_takes_the_socket_away(noded: NodedSide) -> None:
    before = threading.active_count()
    session = Session(noded.notify, noded.orders, dict, dict, PERIOD)
    assert threading.active_count() == before + 1
    session.close()
    assert threading.active_count() == before
    with pytest.raises(FileNotFoundError):
        noded.say(b"{}")


def test_a_long_message_is_cut_and_stays_readable() -> None:
    caches = [{"name": f"cache-{number}", "entries": number} for number in range(5000)]
    text = line({"kind": "heartbeat", "lag": 0.1, "caches": caches})
    assert 10_000 < len(text) <= LARGEST
    message = json.loads(text.removeprefix("NODED="))
    assert message["lag"] == 0.1
    assert message["caches"] == caches[: len(message["caches"])]


def test_a_long_result_is_cut_in_its_longest_list() -> None:
    sites = [{"file": "x" * 100, "line": number} for number in range(2000)]
    message = json.loads(
        line({"kind": "done", "order": 3, "ok": True, "result": {"sites": sites, "few": [1, 2]}})[6:]
    )
    assert message["order"] == 3
    assert message["result"]["few"] == [1, 2]
    assert 0 < len(message["result"]["sites"]) < 2000


def test_a_long_text_is_cut_too() -> None:
    assert len(line({"kind": "done", "order": 3, "ok": True, "result": {"text": "x" * 100_000}})) <= LARGEST


def test_an_order_of_the_largest_size_is_read() -> None:
    order = json.dumps({"do": "describe", "pad": ""})
    padded = order.replace('""', '"' + "x" * (LARGEST - len(order)) + '"').encode()
    assert len(padded) == LARGEST
    assert read_order(padded)
    assert read_order(padded + b" ") is None


def test_a_heartbeat_costs_less_than_a_fifth_of_a_millisecond(noded: NodedSide) -> None:
    caches = Caches()
    for number in range(5):
        caches.add(f"cache-{number}", Cache(10))
    session = Session(
        noded.notify, "", lambda: {"lag": 0.0, "rss": rss(), "caches": caches.report()}, dict, 3600.0
    )
    rounds, best = 20, 1.0
    for _ in range(rounds):
        started = time.thread_time()
        for _ in range(10):
            session.beat()
        best = min(best, (time.thread_time() - started) / 10)
        for _ in range(10):
            assert noded.inbox
            noded.inbox.recv(65536)
    session.close()
    assert session.dropped == 0
    assert best < 0.0002
