"""What does a real terminal get: colours, live pictures, and nothing a node could smuggle in?"""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1 import mesh_pb2
from tests.fakes.control import a_node, a_rollout
from tests.nodectl.rollouts import whole

ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    def __init__(self, child: "subprocess.Popen[bytes]", master: int) -> None:
        self.child = child
        self.master = master
        self.seen = b""

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < deadline, self.seen
            try:
                self.seen += os.read(self.master, 65536)
            except OSError:  # nothing there yet; or it is closed, some moments before its process ends
                time.sleep(0.01)

    def end(self) -> str:
        self.until(lambda: self.child.poll() is not None)
        with_rest = b""
        while True:
            try:
                with_rest = os.read(self.master, 65536)
            except OSError:
                break
            self.seen += with_rest
        return self.seen.decode()


@contextmanager
def terminal(desk: Any, *words: str, **environment: str) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    child = subprocess.Popen(
        [sys.executable, "-m", "nodectl", "--socket", str(desk.socket), *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={
            "PYTHONPATH": f"{ROOT}/daemon:{ROOT}/proto",
            "TERM": "xterm-256color",
            "COLUMNS": "120",
            **environment,
        },
    )
    os.close(slave)
    try:
        yield Terminal(child, master)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        os.close(master)


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours(desk: Any, environment: dict[str, str], coloured: bool) -> None:
    desk.control.status.nodes.append(a_node())
    with terminal(desk, "status", **environment) as screen:
        output = screen.end()
    assert ("\x1b[" in output) is coloured
    assert "catalog" in output


@pytest.mark.parametrize("line", ["status", "status catalog", "rollout status catalog", "map"])
def test_tables_fit_into_a_usual_terminal(desk: Any, line: str) -> None:
    words = line.split()
    desk.control.status.nodes.append(a_node(rollout=whole() if "rollout" in words else None))
    flow = {"type": "shop.payment.captured", "publisher": "payments", "consumer": "bookkeeping"}
    desk.control.answers["GetMap"] = mesh_pb2.MapReply(flows=[mesh_pb2.Flow(**flow)])
    with terminal(desk, *words, NO_COLOR="1", COLUMNS="80") as screen:
        narrow = screen.end()
    with terminal(desk, *words, NO_COLOR="1", COLUMNS="200") as screen:
        wide = screen.end()
    for name in ("REQUESTS", "INSTANCES", "WAITING"):
        assert (name in narrow) is (name in wide)
    begins = r" *(NODE|TYPE|INSTANCE|VERSION|old|new|catalog(\.1)?  |shop\.)"
    tables = [line for line in narrow.splitlines() if re.match(begins, line)]
    assert len(tables) >= 2 and max(map(len, tables)) <= 80


def test_a_node_cannot_write_on_the_terminal(desk: Any) -> None:
    evil = "\x1b[2J\x1b]0;title\x07\x9b31mevil\r\x08\u202e"
    desk.control.output = [pb.ReadLogsResponse(instance="catalog.1", text=f"{evil}\nnext\n".encode())]
    told = {
        "reason": evil,
        "frozen": evil,
        "forced": evil,
        "origin": evil,
        "digest": evil,
        "to_version": evil,
    }
    rollout = whole(**told)
    rollout.history.add(at=1.7e9, phase=evil, reason=evil, by=evil)
    rollout.signals.add(signal=evil)
    desk.control.status.nodes.append(a_node(detail=evil, manifest=evil, rollout=rollout))
    desk.control.journal = [pb.ExplainResponse(at=1.7e9, node=evil, name=evil, text=evil)]
    looks = ("logs", "describe", "explain", "rollout status", "rollout history")
    for words in (*([*look.split(), "catalog"] for look in looks), ["rollout", "history", "catalog", "r-7"]):
        with terminal(desk, *words, NO_COLOR="1") as screen:
            output = screen.end()
        assert "evil" in output
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", output)
        assert "title" not in output


def test_an_event_cannot_write_on_the_terminal_either(desk: Any) -> None:
    evil = "\x1b[2J\x1b]0;title\x07\x9b31mevil\r\x08\u202e"
    given: dict[str, Any] = {"type": evil, "subject": evil, "data": b'"evil \xc2\x9b2J \xe2\x80\xae"'}
    given |= {"id": evil, "source": evil, "attributes": {evil: evil}, "trace": evil}
    event = mesh_pb2.Event(time=1.7e9, position=1, **given)
    event.outcomes.add(consumer=evil, state="dead", reason=evil, instance=evil)
    desk.control.events = [event]
    desk.control.answers["Show"] = event
    desk.control.answers["GetTrace"] = mesh_pb2.TraceReply(trace=evil, events=[event])
    flow = mesh_pb2.Flow(type=evil, publisher=evil, consumer=evil)
    desk.control.answers["GetMap"] = mesh_pb2.MapReply(flows=[flow])
    for words in (["events", "tail", "-n", "1"], ["events", "show", "x.1"], ["trace", "x.1"], ["map"]):
        with terminal(desk, *words, NO_COLOR="1") as screen:
            output = screen.end()
        assert "evil" in output
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", output)
        assert "title" not in output
    with terminal(desk, "events", "tail", "-n", "1") as screen:
        assert "\x1b[1m" in screen.end()


def test_a_watch_draws_in_one_place_and_ends_with_the_rollout(desk: Any) -> None:
    desk.control.status.nodes.append(a_node(rollout=a_rollout()))
    with terminal(desk, "rollout", "watch", "catalog") as screen:
        screen.until(lambda: b"step 1 of 3" in screen.seen)
        desk.fake.change(lambda status: setattr(status.nodes[0].rollout, "step", 1))
        screen.until(lambda: b"step 2 of 3" in screen.seen)
        desk.fake.change(lambda status: setattr(status.nodes[0].rollout, "phase", "promoted"))
        output = screen.end()
    assert screen.child.returncode == 0
    assert "\x1b[1A" in output  # up again, to draw over
    assert output.endswith("catalog 1.4.0 -> 1.5.0: promoted\r\n")


@pytest.mark.parametrize(
    "words",
    [
        ["status", "-w"],
        ["explain", "-f"],
        ["logs", "catalog", "-f"],
        ["rollout", "watch", "catalog"],
        ["events", "tail"],
    ],
)
def test_interrupting_is_quiet_and_shows_the_cursor_again(desk: Any, words: list[str]) -> None:
    desk.control.status.nodes.append(a_node(rollout=a_rollout()))
    method = {"explain": "Explain", "logs": "ReadLogs", "events": "Tail"}.get(words[0], "WatchStatus")
    with terminal(desk, *words) as screen:
        desk.fake.wait_for(method)
        if method == "WatchStatus":
            screen.until(lambda: b"1.4.0" in screen.seen)
        screen.child.send_signal(signal.SIGINT)
        output = screen.end()
    assert screen.child.returncode == 130
    assert "Traceback" not in output and "Aborted" not in output
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h")


def test_a_pipe_that_closes_is_no_accident(desk: Any) -> None:
    desk.control.output = [pb.ReadLogsResponse(instance="catalog.1", text=b"x" * 60_000 + b"\n")] * 50
    child = subprocess.Popen(
        [sys.executable, "-m", "nodectl", "--socket", str(desk.socket), "logs", "catalog"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": f"{ROOT}/daemon:{ROOT}/proto"},
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.read(10)
    child.stdout.close()
    stderr = child.stderr.read()
    child.stderr.close()
    child.wait(15)
    assert stderr == b""
