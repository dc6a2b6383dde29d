"""Is a node in another language one like any other to noded: handed over, ready, asked, stopped?"""

import json
import shutil
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.follow import Follower, ready, whole
from tests.e2e.ground import readable, wait_for
from tests.e2e.host import Host
from tests.e2e.programs import change
from tests.nodes import nodejs

pytestmark = pytest.mark.e2e


@pytest.fixture
def echo(host: Host) -> Path:
    """The example's folder. Its interpreter lies where the node's user can read it."""
    folder = nodejs.release(host.folder / "echo-js")
    shutil.copy(nodejs.node(), host.folder / "node")
    change(folder, '"node", "echo.js"', f'"{host.folder}/node", "echo.js"')
    change(folder, "port = 8104", f"port = {host.first_port}")
    readable(folder)
    return folder


def traced(host: Host, question: str) -> list[str]:
    """Types of all events in its trace."""
    trace = json.loads(host.nodectl("-o", "json", "trace", question).stdout)
    return [event["type"] for event in trace["events"]]


def test_the_example_lives_under_noded(host: Host, follower: Follower, echo: Path) -> None:
    host.start_mesh()
    host.nodectl("apply", str(echo))
    follower.until("echo-js", whole(), "the example")
    with urllib.request.urlopen(f"http://127.0.0.1:{host.first_port}/", timeout=10) as answer:
        assert json.loads(answer.read())["connected"] is True
    said = host.nodectl("events", "publish", "echo.asked", '{"text": "hello"}').stdout
    question = said.split()[-1]
    wait_for(lambda: "echo.answered" in traced(host, question), "an answer", 20.0)
    host.nodectl("stop", "echo-js")
    follower.until("echo-js", lambda node: not ready(node), "its end")
    assert "exited: code 0" in host.nodectl("explain", "-v", "echo-js").stdout
