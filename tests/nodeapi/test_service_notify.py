"""Does systemd hear that noded is up, turning, and ending?"""

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nodeapi.service_notify import ServiceNotify


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    with (
        tempfile.TemporaryDirectory(dir="/tmp", prefix="nd") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound,
    ):
        bound.bind(f"{folder}/notify")
        bound.settimeout(5.0)
        yield bound


def heard(ear: socket.socket) -> str:
    return ear.recv(4096).decode()


def test_says_ready_and_stopping(ear: socket.socket) -> None:
    notify = ServiceNotify({"NOTIFY_SOCKET": ear.getsockname()})
    notify.ready()
    notify.stopping()
    assert [heard(ear), heard(ear)] == ["READY=1", "STOPPING=1"]


def test_reaches_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        name = f"noded-test-{os.getpid()}"
        bound.bind(f"\0{name}")
        bound.settimeout(5.0)
        ServiceNotify({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert heard(bound) == "READY=1"


def test_the_loop_feeds_the_watchdog_twice_per_period(ear: socket.socket) -> None:
    notify = ServiceNotify({"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": "100000"})

    async def turn() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(notify.keep_alive(), 0.5)

    asyncio.run(turn())
    ear.settimeout(0.0)
    beats = []
    with suppress(BlockingIOError):
        while True:
            beats.append(heard(ear))
    assert set(beats) == {"WATCHDOG=1"}
    assert len(beats) >= 3


def test_a_loop_that_hangs_falls_silent(ear: socket.socket) -> None:
    notify = ServiceNotify({"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": "20000"})

    async def hang() -> None:
        task = asyncio.ensure_future(notify.keep_alive())
        await asyncio.sleep(0)
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            pass
        task.cancel()

    asyncio.run(hang())
    ear.settimeout(0.0)
    assert heard(ear) == "WATCHDOG=1"
    with pytest.raises(BlockingIOError):
        heard(ear)


@pytest.mark.parametrize(
    ("environment", "period"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "-5"}, 0.0),
        ({"WATCHDOG_USEC": ""}, 0.0),
        ({}, 0.0),
    ],
)
def test_reads_how_long_it_may_be_silent(environment: dict[str, str], period: float) -> None:
    assert ServiceNotify({"NOTIFY_SOCKET": "/nowhere", **environment}).watchdog == period


def test_without_systemd_nothing_is_said_and_nothing_fails(tmp_path: Path) -> None:
    silent = ServiceNotify({"WATCHDOG_USEC": "1000"})
    silent.ready()
    asyncio.run(asyncio.wait_for(silent.keep_alive(), 5.0))
    ServiceNotify({"NOTIFY_SOCKET": str(tmp_path / "gone")}).stopping()
