"""Do events go round at the author's desk, without a mesh?"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodekit.run import Mistake, read_event
from tests.nodekit.noded_side import DEADLINE, environ

MANIFEST = '[node]\nname = "desk"\nversion = "1.0.0"\nrun = ["python3", "desk.py"]\n'
SOURCE = """
from nodekit import Node

node = Node()

@node.on("order", attempts=2)
async def order(event, ctx):
    await ctx.publish({"paid": event["id"]}, type="paid", subject="s")
    if ctx.attempt == 1:
        raise ValueError("once more")

@node.on("paid", attempts=1)
def paid(event, ctx):
    print("got", event["paid"], flush=True)
    raise LookupError("poison")

node.main()
"""
Start = Callable[..., tuple[subprocess.Popen[bytes], Path]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "node.toml").write_text(MANIFEST)
    (tmp_path / "desk.py").write_text(SOURCE)
    (tmp_path / "order.json").write_text('{"id": 7}')
    started: list[subprocess.Popen[bytes]] = []

    def begin(*events: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = tmp_path / "log"
        words = [sys.executable, "-m", "nodekit", "run", str(tmp_path), "--data", str(tmp_path / "d")]
        words += [word for event in events for word in ("--event", event)]
        with log.open("wb") as out:
            program = subprocess.Popen(words, env=environ(), stdout=out, stderr=out, cwd=tmp_path)
        started.append(program)
        return program, log

    yield begin
    for program in started:
        program.kill()
        program.wait()


def test_an_event_is_fed_published_and_comes_back(start: Start) -> None:
    program, log = start("order=order.json", "other=order.json")
    deadline = time.monotonic() + DEADLINE
    while log.read_text().count("set aside") < 2:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    program.send_signal(signal.SIGTERM)
    assert program.wait(DEADLINE) == 0
    told = log.read_text()
    assert "event other of" in told and "no handler here for this type" in told
    assert "event published paid desk.0-" in told
    assert "subject 's': {\"paid\":7}" in told
    assert told.count("got 7\n") == 2
    assert "event handled order test-" in told
    assert "event set aside after 1 attempts: paid desk.0-" in told
    assert "LookupError: poison" in told


def test_events_that_cannot_be_fed(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "big.json").write_text('"' + "x" * 1024 * 1024 + '"')
    for text, told in (
        ("order", "expected TYPE=FILE.json, got 'order'"),
        ("=x", "expected TYPE=FILE.json"),
        (f"a={tmp_path}/none", "cannot be read: No such file"),
        (f"a={tmp_path}/bad.json", "expected JSON"),
        (f"a={tmp_path}/big.json", "expected"),
    ):
        with pytest.raises(Mistake, match=told):
            read_event(text)
    (tmp_path / "good.json").write_text("1")
    assert read_event(f"a={tmp_path}/./good.json") == ("a", str(tmp_path / "good.json"))
