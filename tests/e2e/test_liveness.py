"""Is what hangs replaced in time, with a reason people can read, and nothing else?

Shipped defaults: a heartbeat each second, questions each half second, four without an answer.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.e2e.follow import Follower, ready, stable, whole
from tests.e2e.ground import wait_for
from tests.e2e.hangs import CHECK, DUTIFUL, PLAIN, SDK, ask, cpu_pressure, send, stop, until_another_serves
from tests.e2e.host import Host
from tests.e2e.kernel import alive
from tests.e2e.programs import lay
from tests.e2e.test_lifecycle import texts

pytestmark = pytest.mark.e2e
SERVING = 3.0
"""Longest time from the beginning of a hang to the first answer of another."""
BUSY_HOST = 0.3
"""Pressure of CPU from which on times say more of the host than of noded."""
LOAD = 8
STALL = 4.0
"""Longer than any silence that is granted."""
RUN = ("python3", "main.py", "{listen}")
HTTP = '[health]\nreadiness = "http"\n'


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    port: int
    program: str
    cause: Callable[[Host, int, int], None]
    kind: str
    """Words of the reason."""
    run: tuple[str, ...] = RUN
    head: str = ""
    tables: str = ""

    @property
    def spares(self) -> int:
        return 1 if "spares" in self.head else 0


EXEC = f'[health]\nreadiness = "exec"\nperiod = "500ms"\ncommand = ["python3", "-S", "-c", "{CHECK}"]\n'
CASES = [
    Case("stopped", 1, SDK, stop, "it is stopped"),
    Case("spared", 2, SDK, stop, "it is stopped", head="spares = 1"),
    Case("locked", 3, SDK, send("/lock"), "idle without progress"),
    Case("busy", 4, SDK, send("/busy"), "busy without progress"),
    Case("accepts", 5, PLAIN, send("/accept"), "idle without progress", (*RUN, "0", "alone"), tables=HTTP),
    Case("threads", 6, PLAIN, send("/deadlock"), "idle without progress", tables=HTTP),
    Case("tcp", 7, PLAIN, stop, "it is stopped", tables='[health]\nreadiness = "tcp"\n'),
    Case("checked", 8, DUTIFUL, send("/ill"), "code 1", tables=EXEC),
]
PATIENT = [
    Case("slow", 9, PLAIN, stop, "", (*RUN, "0.4"), tables=HTTP),
    Case("ill", 10, PLAIN, send("/ill"), "", tables=HTTP),
    Case("calm", 11, SDK, stop, ""),
]
"""What must never be ended."""


@pytest.fixture(scope="module")
def nodes(host: Host, follower: Follower) -> None:
    for case in (*CASES, *PATIENT):
        folder = lay(
            host,
            case.name,
            program=case.program,
            port=case.port,
            run=case.run,
            head=case.head,
            tables=case.tables,
        )
        host.nodectl("apply", "--no-wait", str(folder))
    wanted = {case.name: whole(case.spares) for case in (*CASES, *PATIENT)}
    follower.until_all(wanted, "every node", 60)
    for case in (*CASES, *PATIENT):
        wait_for(lambda case=case: ask(host, case.port, timeout=2).pid, f"an answer of {case.name}")
    send("/ill")(host, 10, 0)
    wait_for(lambda: ask(host, 10, timeout=2).status == 503, "an ill answer")


def silences(host: Host, name: str) -> list[str]:
    return [text for text in texts(host, name, "KillInstance") if "no sign of life" in text]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_hangs_is_replaced_in_time_and_says_why(
    host: Host, follower: Follower, nodes: None, figures: dict[str, str], case: Case
) -> None:
    victim = stable(follower.until(case.name, whole(case.spares), "its instances"))[0]
    time.sleep(1.0)  # a hang begins at any time; at least one heartbeat was heard
    case.cause(host, case.port, victim["pid"])
    pressed = cpu_pressure()
    try:
        took = until_another_serves(host, case.port, victim["pid"], 30)
    except TimeoutError:
        if "short of CPU" in host.nodectl("explain", case.name).stdout:
            pytest.skip(f"the host is short of CPU ({pressed:.0%}), and rightly nothing was ended")
        raise
    figures[f"hang {case.name}"] = f"{took:.2f} s to serving (CPU pressure {pressed:.0%})"
    (told,) = silences(host, case.name)
    assert case.kind in told or pressed >= BUSY_HOST, told
    assert not alive(victim["pid"])
    assert took <= SERVING or pressed >= BUSY_HOST, f"{took:.2f} s"


def test_the_reason_names_the_line(host: Host, nodes: None) -> None:
    """Of the nodes that hung in a handler above."""
    told = host.nodectl("explain", "locked").stdout
    assert "no sign of life for" in told
    assert re.search(r"main\.py:\d+ lock", told), told
    (told,) = silences(host, "threads")
    assert "threads: " in told


def test_slow_and_ill_ones_are_never_ended(host: Host, follower: Follower, nodes: None) -> None:
    """After all the time the others took."""
    assert ask(host, 9, timeout=2).status == 200
    assert ask(host, 10, timeout=2).status == 503
    nodes_now = {node["name"]: node for node in follower.nodes()}
    for case in PATIENT:
        assert silences(host, case.name) == []
        assert nodes_now[case.name]["restarts"] == 0
        assert [one["id"] for one in stable(nodes_now[case.name])] == [f"{case.name}.1"]


@contextmanager
def load(count: int) -> Iterator[None]:
    """That many programs that never rest."""
    busy = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in busy:
            program.kill()
            program.wait(10)


def hold(host: Host, follower: Follower, seconds: float) -> int:
    """How many were ended while the host had far too much to do, and noded itself stood still for a while."""
    before = {node["name"]: node["restarts"] for node in follower.nodes()}
    until = time.monotonic() + seconds
    with load(LOAD):
        time.sleep(seconds / 3)
        os.kill(host.running["noded"].pid, signal.SIGSTOP)
        time.sleep(STALL)
        os.kill(host.running["noded"].pid, signal.SIGCONT)
        while time.monotonic() < until:
            time.sleep(1.0)
    return sum(node["restarts"] - before[node["name"]] for node in follower.nodes())


def test_nothing_is_ended_on_a_host_that_has_too_much_to_do(
    host: Host, follower: Follower, nodes: None
) -> None:
    follower.until_all({case.name: whole(case.spares) for case in (*CASES, *PATIENT)}, "every node", 60)
    assert hold(host, follower, 20.0) == 0


@pytest.mark.soak
def test_half_an_hour_of_load_ends_nothing(
    host: Host, follower: Follower, nodes: None, figures: dict[str, str]
) -> None:
    minutes = float(os.environ.get("NODED_SOAK_MINUTES", "30"))
    follower.until_all({case.name: whole(case.spares) for case in (*CASES, *PATIENT)}, "every node", 60)
    count = hold(host, follower, minutes * 60)
    figures["false restarts"] = f"{count} in {minutes:g} minutes at load {LOAD}"
    assert count == 0


def test_a_stopped_one_that_was_there_before_noded_is_found_too(
    host: Host, follower: Follower, nodes: None
) -> None:
    victim = stable(follower.until("calm", whole(), "its instance"))[0]
    host.kill("noded")
    os.kill(victim["pid"], signal.SIGSTOP)
    host.start_noded()
    until_another_serves(host, 11, victim["pid"], 30)
    assert "it is stopped" in silences(host, "calm")[-1]
    assert ready(follower.until("calm", whole(), "another"))[0]["pid"] != victim["pid"]
