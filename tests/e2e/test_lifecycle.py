"""Does what should run run, and does nothing else?"""

import http.client
import json
import os
import re
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.follow import Follower, Node, ready, stable, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import NODED_UID, Host
from tests.e2e.kernel import of_node, processes, uids
from tests.e2e.programs import PLAIN_HTTP, SAYS_READY, SLEEPS, WEB, lay
from tests.e2e.traffic import Traffic

pytestmark = pytest.mark.e2e
NONE = '[health]\nreadiness = "none"\n'
HTTP = '[health]\nreadiness = "http"\n'
NOTIFY = '[health]\nreadiness = "notify"\n'
LISTENS = ("python3", "main.py", "{listen}")

DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(60)
    os._exit(0)
os.wait()
print("deaf", flush=True)
while True:
    time.sleep(60)
"""
"""Hears no SIGTERM, and has a child in a session of its own."""

LEAVES_A_CHILD = DEAF.replace('print("deaf"', 'signal.signal(signal.SIGTERM, signal.SIG_DFL); print("deaf"')

TALKS = """
import os, time
number = 0
while True:
    number += 1
    print("line", number, flush=True)
    time.sleep(0.05)
"""


def apply(host: Host, folder: Path) -> None:
    host.nodectl("apply", "--no-wait", str(folder))


def get(host: Host, port: int, path: str = "/healthz") -> tuple[int, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", host.first_port + port - 1, timeout=10)
    try:
        line.request("GET", path)
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


def story(host: Host, name: str) -> list[dict[str, Any]]:
    """What `explain` tells, oldest first."""
    lines = host.nodectl("-o", "json", "explain", name, "-n", "1000").stdout.splitlines()
    return [json.loads(line) for line in lines]


def texts(host: Host, name: str, kind: str) -> list[str]:
    return [entry["text"] for entry in story(host, name) if entry["name"] == kind]


def test_each_kind_of_readiness(host: Host, follower: Follower) -> None:
    apply(host, lay(host, "by-sdk", port=1))
    apply(host, lay(host, "by-notify", program=SAYS_READY, tables=NOTIFY))
    apply(host, lay(host, "by-http", program=PLAIN_HTTP, run=LISTENS, port=2, tables=HTTP))
    apply(host, lay(host, "by-nothing", program=SLEEPS, tables=NONE))
    names = ("by-sdk", "by-notify", "by-http", "by-nothing")
    nodes = follower.until_all(dict.fromkeys(names, whole()), "their instances")
    assert {node["condition"] for node in nodes.values()} == {"running"}
    assert texts(host, "by-notify", "InstanceReady") == ["by-notify.1 is ready (it said so)"]
    assert texts(host, "by-http", "InstanceReady") == ["by-http.1 is ready (GET /healthz)"]
    wait_for(lambda: get(host, 1)[0] == 200, "an answer of by-sdk")
    wait_for(lambda: get(host, 2) == (200, b"by-http.1 1.0.0\n"), "an answer of by-http")


def test_a_program_without_sdk_on_a_port_of_its_own(host: Host, follower: Follower) -> None:
    program = """
import http.server, os
host, port = os.environ["NODED_LISTEN"].split(":")
http.server.ThreadingHTTPServer((host, int(port)), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
    folder = lay(host, "files", program=program, port=3, tables='[health]\nreadiness = "http"\npath = "/"\n')
    manifest = folder / "node.toml"
    manifest.write_text(manifest.read_text().replace("[serves]", '[serves]\nlisten = "port"'))
    host.nodectl("apply", str(folder))
    wait_for(lambda: get(host, 3, "/main.py")[0] == 200, "an answer")
    assert get(host, 3, "/main.py")[1] == program.encode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives nodes users of their own")
def test_nodes_run_as_users_of_their_own(host: Host, follower: Follower) -> None:
    for name in ("alpha", "beta"):
        host.nodectl("apply", str(lay(host, name, program=SLEEPS, tables=NONE)))
    found = [uids(of_node(host, name)) for name in ("alpha", "beta")]
    assert all(len(each) == 1 for each in found)
    assert len({0, NODED_UID}.union(*found)) == 4


def test_a_program_that_cannot_be_started_says_why_and_backs_off(host: Host, follower: Follower) -> None:
    apply(host, lay(host, "missing", program=SLEEPS, run=("./nothere",), tables=NONE))
    apply(host, lay(host, "closed", program=SLEEPS, run=("./main.py",), tables=NONE))
    missing = follower.until("missing", lambda n: n.get("condition") == "backing off", "backing off")
    assert "exec ./nothere: No such file or directory" in missing["detail"]
    closed = follower.until("closed", lambda n: n.get("condition") == "backing off", "backing off")
    assert "exec ./main.py: Permission denied (file is not executable)" in closed["detail"]
    told = host.nodectl("explain", "missing").stdout
    assert "exec ./nothere: No such file or directory" in told
    assert not of_node(host, "missing")
    for name in ("missing", "closed"):
        host.nodectl("remove", "-y", "--no-wait", name)


def test_restarts_come_later_and_later_and_an_order_begins_anew(host: Host, follower: Follower) -> None:
    apply(host, lay(host, "falls", program="raise SystemExit(7)", tables=NONE))
    node = follower.until("falls", lambda n: n.get("restarts", 0) >= 5, "five restarts", 40)
    assert node["condition"] == "backing off"
    assert "exited: code 7" in node["detail"]
    began = [entry["at"] for entry in story(host, "falls") if entry["name"] == "StartInstance"]
    ended = [entry["at"] for entry in story(host, "falls") if entry["name"] == "InstanceExited"]
    pauses = [start - end for end, start in zip(ended, began[1:], strict=False)]
    assert pauses[0] < 0.5
    for pause, least in zip(pauses[1:4], (0.5, 1.0, 2.0), strict=True):
        assert least <= pause < least * 1.1 + 1.5, pauses
    assert all(short < long for short, long in pairwise(pauses[:4]))

    host.nodectl("start", "--no-wait", "falls")
    again = follower.until("falls", lambda n: n["restarts"] > node["restarts"], "another start at once", 3)
    assert again["restarts"] >= node["restarts"] + 1
    apply(host, lay(host, "falls", "1.0.1", program=SLEEPS, tables=NONE))
    follower.until("falls", lambda n: n["condition"] == "running" and not n["detail"], "a version that runs")


def test_what_is_not_ready_in_time_is_killed(host: Host, follower: Follower) -> None:
    failing = PLAIN_HTTP.replace("send_response(200)", "send_response(500)")
    timeout = 'start_timeout = "1s"'
    apply(host, lay(host, "silent", program=SLEEPS, tables=NOTIFY, head=timeout))
    folder = lay(host, "unwell", program=failing, run=LISTENS, port=4, tables=HTTP, head=timeout)
    apply(host, folder)
    for name in ("silent", "unwell"):
        node = follower.until(name, lambda n: n.get("restarts", 0) >= 1, "the end of its patience")
        # The next one may have ended meanwhile, by the same fault.
        assert re.search(rf"{name}\.\d was not ready within 1 s of its start", node["detail"])
        wait_for(lambda name=name: f"{name}.1" not in processes(host), f"the end of {name}.1")
        assert any("was not ready within 1 s" in text for text in texts(host, name, "KillInstance"))
        host.nodectl("remove", "-y", "--no-wait", name)


@pytest.mark.parametrize("program", [DEAF, LEAVES_A_CHILD], ids=["deaf", "leaves-a-child"])
def test_a_whole_tree_is_killed_after_the_stop_timeout(
    host: Host, follower: Follower, program: str, request: pytest.FixtureRequest
) -> None:
    name = "deaf" if program == DEAF else "leaver"
    host.nodectl(
        "apply", str(lay(host, name, program=program, tables=NONE, head='stop = { timeout = "1s" }'))
    )
    wait_for(lambda: "deaf" in host.nodectl("logs", name, check=False).stdout, "its word")
    assert len(of_node(host, name)) == 2
    began = time.monotonic()
    host.nodectl("stop", name)
    took = time.monotonic() - began
    wait_for(lambda: not of_node(host, name), "the end of every process", 5)
    if program == DEAF:
        assert took >= 1.0
        assert any("after it was told to stop" in text for text in texts(host, name, "KillInstance"))


def test_stop_start_restart_remove(host: Host, follower: Follower) -> None:
    folder = lay(host, "web", port=5)
    host.nodectl("apply", str(folder))
    first = stable(follower.now("web"))[0]
    wait_for(lambda: get(host, 5)[0] == 200, "an answer")

    assert "web is stopped" in host.nodectl("stop", "web").stdout
    node = follower.now("web")
    assert (node["condition"], list(node["instances"])) == ("stopped", [])
    assert not of_node(host, "web")
    assert get(host, 5)[0] == 503
    assert host.nodectl("restart", "web", check=False).returncode == 1

    host.nodectl("start", "web")
    second = stable(follower.until("web", whole(), "its instance"))[0]
    assert second["id"] != first["id"]
    host.nodectl("restart", "web")
    third = stable(follower.until("web", whole(), "its instance"))[0]
    assert third["pid"] != second["pid"]
    assert of_node(host, "web") == {third["pid"]}

    host.nodectl("remove", "-y", "web")
    assert not follower.now("web")
    assert not of_node(host, "web")
    assert (host.state / "releases" / node["digest"].removeprefix("sha256:")).is_dir()
    done = host.nodectl("stop", "web", check=False)
    assert (done.returncode, "no such node" in done.stderr) == (1, True)
    host.nodectl("apply", str(folder))
    wait_for(lambda: get(host, 5)[0] == 200, "an answer again")


def test_a_restart_under_load_loses_no_request_with_a_spare_and_without(
    host: Host, follower: Follower, traffic: Callable[..., Traffic]
) -> None:
    host.nodectl("apply", str(lay(host, "alone", port=6)))
    host.nodectl("apply", str(lay(host, "backed", port=7, head="spares = 1")))
    follower.until("backed", whole(1), "its spare")
    before = {name: {one["id"] for one in follower.now(name)["instances"]} for name in ("alone", "backed")}
    with traffic(6) as alone, traffic(7) as backed:
        for name in before:
            host.nodectl("restart", name)
        follower.until("alone", whole(), "one new instance")
        node = follower.until("backed", whole(1), "a new pair")
        alone.goes_on()
        backed.goes_on()
    stayed = {one["id"] for one in stable(node)} & before["backed"]
    assert len(stayed) == 1, "the spare took the place"
    assert not {one["id"] for one in follower.now("alone")["instances"]} & before["alone"]
    for load in (alone, backed):
        assert (load.tally()["failed"], load.faults()) == (0, [])
        assert load.tally()["total"] > 50


def test_a_killed_instance_with_a_spare_costs_no_request(
    host: Host, follower: Follower, traffic: Callable[..., Traffic]
) -> None:
    host.nodectl("apply", str(lay(host, "doubled", port=8, head="spares = 1")))
    node = follower.until("doubled", whole(1), "its spare")
    with traffic(8, 100.0) as load:
        for _ in range(2):
            victim, heir = stable(node)[0], ready(node, "spare")[0]
            os.kill(victim["pid"], signal.SIGKILL)

            def healed(found: Node, victim: Node = victim) -> bool:
                return whole(1)(found) and victim["id"] not in [one["id"] for one in found["instances"]]

            node = follower.until("doubled", healed, "a new pair")
            assert stable(node)[0]["id"] == heir["id"], "the spare took over"
            load.goes_on()
    assert (load.tally()["failed"], load.faults()) == (0, [])
    assert texts(host, "doubled", "InstanceExited")[-2:] == [
        text for text in texts(host, "doubled", "InstanceExited") if "signal 9" in text
    ]


def test_logs_of_a_node_of_an_instance_and_on_and_on(host: Host, follower: Follower) -> None:
    host.nodectl("apply", str(lay(host, "talks", program=TALKS, tables=NONE)))
    wait_for(lambda: "line 20\n" in host.nodectl("logs", "talks").stdout, "twenty lines")
    lines = host.nodectl("logs", "talks", "-n", "3").stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("talks.1 | line ") for line in lines)
    numbers = [int(line.split()[-1]) for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert host.nodectl("logs", "talks.1", "-n", "1").stdout.startswith("line ")
    for words, code in ((("logs", "nobody"), 1), (("logs", "talks.99"), 1), (("logs", "Bad"), 2)):
        assert host.nodectl(*words, check=False).returncode == code, words

    with host.begin_nodectl("logs", "-f", "-n", "1", "talks") as follow:
        assert follow.stdout is not None
        newest = int(follow.stdout.readline().split()[-1])
        assert int(follow.stdout.readline().split()[-1]) == newest + 1
        os.kill(stable(follower.now("talks"))[0]["pid"], signal.SIGKILL)
        for line in follow.stdout:
            if line.startswith("talks.2 | line 1"):
                break
        follow.terminate()


def test_a_spare_does_not_act_before_its_time(host: Host, follower: Follower) -> None:
    program = WEB.replace(
        "node.main()",
        """
@node.task
async def act():
    await node.active()
    print("acts", flush=True)

node.main()
""",
    )
    host.nodectl("apply", str(lay(host, "pair", program=program, port=9, head="spares = 1")))
    node = follower.until("pair", whole(1), "its spare")
    active, spare = stable(node)[0], ready(node, "spare")[0]
    wait_for(lambda: host.nodectl("logs", active["id"]).stdout == "acts\n", "the act of the stable one")
    assert host.nodectl("logs", spare["id"]).stdout == ""
    os.kill(active["pid"], signal.SIGKILL)
    wait_for(lambda: host.nodectl("logs", spare["id"]).stdout == "acts\n", "the act of its successor")
