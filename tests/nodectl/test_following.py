"""Does what follows go on over a restart of a real noded, with nothing lost and nothing twice?"""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import host as hosts
from tests.e2e.host import Host
from tests.e2e.programs import lay

pytestmark = pytest.mark.e2e


@pytest.fixture
def host() -> Iterator[Host]:
    made = hosts.make("ndf")
    try:
        made.start()
        made.nodectl("apply", str(lay(made, "web", port=1)))
        yield made
    finally:
        made.close()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def follow(host: Host, out: Path, *words: str) -> "subprocess.Popen[bytes]":
    with out.open("wb") as file:
        return subprocess.Popen(
            [host.python, "-m", "nodectl", "--socket", str(host.control), *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=host.env(),
        )


def test_logs_and_explain_go_on_where_they_were(host: Host, tmp_path: Path) -> None:
    (log,) = (host.folder / "logs/web").glob("*.log")
    with log.open("a") as file:
        file.write("before\n")
    logs, reasons, states = (tmp_path / name for name in ("logs", "explain", "status"))
    followers = [
        follow(host, logs, "logs", "web", "-f"),
        follow(host, reasons, "explain", "web", "-f"),
        follow(host, states, "status", "-w"),
    ]
    try:
        until(lambda: "before" in logs.read_text(), "the line from before")
        until(lambda: "InstallRoute" in reasons.read_text() and "web" in states.read_text(), "the reasons")
        host.stop("noded")
        with log.open("a") as file:
            file.write("meanwhile\n")
        until(lambda: all("is away" in path.read_text() for path in (logs, reasons, states)), "noded is away")
        host.start_noded()
        with log.open("a") as file:
            file.write("after\n")
        until(lambda: "after" in logs.read_text(), "the line from afterwards")
        until(lambda: "AdoptInstance" in reasons.read_text(), "the reason from afterwards")
        until(lambda: "noded is back" in states.read_text(), "the status from afterwards")
    finally:
        for one in followers:
            one.kill()
            one.wait(10)
    lines = [line.partition(" | ")[2] or line for line in logs.read_text().splitlines()]
    marks = [
        line for line in lines if line in ("before", "meanwhile", "after") or line.startswith("noded is")
    ]
    assert marks == ["before", "noded is away; waiting for it", "noded is back", "meanwhile", "after"]
    told = [line for line in reasons.read_text().splitlines() if "ApplyRequested" in line]
    assert len(told) == 1
