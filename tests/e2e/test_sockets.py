"""Is no connection refused while the only instance of a node is killed again and again?

A plain program without the SDK takes the socket that the launcher holds (sd_listen_fds(3)). What it had
accepted dies with it, as always; whoever connects meanwhile waits for the next instance.
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.launcher.lab import DEADLINE, PYTHON, Client, Lab, lab
from tests.ports import free_ports

pytestmark = pytest.mark.e2e

KILLS = 20
CLIENTS = 4
ECHO = """
import os, socket
assert (os.environ["LISTEN_FDS"], int(os.environ["LISTEN_PID"])) == ("1", os.getpid())
given = socket.socket(fileno=3)
while True:
    client, _ = given.accept()
    client.sendall(client.recv(100))
    client.close()
"""


@dataclass
class Load:
    """Clients that connect, say something and want it back, one after the other without a pause."""

    port: int
    told: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ending.is_set():
            began = time.monotonic()
            self.told[self._once()] += 1
            self.longest = max(self.longest, time.monotonic() - began)

    def _once(self) -> str:
        try:
            connection = socket.create_connection(("127.0.0.1", self.port), DEADLINE)
        except OSError as error:
            return f"refused: {error}"
        with connection:
            try:
                connection.sendall(b"hello")
                return "answered" if connection.recv(100) == b"hello" else "cut off"
            except OSError:
                return "cut off"


@pytest.fixture
def room() -> Iterator[Lab]:
    yield from lab()


def start(room: Lab, client: Client, number: int, port: int) -> None:
    order = room.order(f"echo.{number}", PYTHON, "-SIEc", ECHO, listen=f"127.0.0.1:{port}")
    client.do("start", **order)


def test_no_connection_is_refused_over_twenty_kills(room: Lab, figures: dict[str, str]) -> None:
    port = free_ports()
    client = room.client()
    start(room, client, 0, port)
    loads = [Load(port) for _ in range(CLIENTS)]
    threads = [threading.Thread(target=load.run) for load in loads]
    for thread in threads:
        thread.start()
    try:
        for number in range(KILLS):
            _until_more_are_answered(loads)
            client.do("signal", instance=f"echo.{number}", signal="KILL")
            assert client.exited(f"echo.{number}")["signal"] in (9, None)  # None: adopted, not its child
            client.do("remove", instance=f"echo.{number}")
            start(room, client, number + 1, port)
            if number == KILLS // 2:
                # A new launcher has the socket from the instance that lives.
                _until_more_are_answered(loads)
                room.end()
                client = room.start().client()
        _until_more_are_answered(loads)
    finally:
        for load in loads:
            load.ending.set()
        for thread in threads:
            thread.join(DEADLINE)
    told = sum((load.told for load in loads), Counter[str]())
    assert [text for text in told if text.startswith("refused")] == []
    # One instance serves one connection at a time: nothing else can have been cut off.
    assert told["cut off"] <= KILLS
    assert told["answered"] >= KILLS
    longest = max(load.longest for load in loads)
    figures["sockets held"] = (
        f"{KILLS} kills, {told['answered']} answered, 0 refused, {told['cut off']} cut off, "
        f"longest {longest:.2f} s"
    )


def _until_more_are_answered(loads: list[Load]) -> None:
    """Everybody's next: what waited while nobody accepted is through."""
    before = [load.told["answered"] for load in loads]
    deadline = time.monotonic() + DEADLINE
    while any(load.told["answered"] <= known for load, known in zip(loads, before, strict=True)):
        assert time.monotonic() < deadline, [load.told for load in loads]
        time.sleep(0.01)
