"""What if the wall clock jumps? noded lives by a steady clock: nothing is restarted, nothing waits for it."""

import json
import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.e2e.follow import Follower, ready, stable, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import of_node
from tests.e2e.programs import lay
from tests.e2e.traffic import Traffic

pytestmark = pytest.mark.e2e
DAY = 86_400
JUMPS = """
import sys, time
real, shift = time.time, sys.argv.pop(1)
def jumping():
    return real() + (float(shift) if shift != "wild" else 86400 * (int(time.monotonic()) % 3 - 1))
time.time = jumping
from noded.main import main
sys.exit(main())
"""
"""noded itself, with a wall clock that is a day off, or another day off every second."""


def start_noded(host: Host, shift: str) -> None:
    command = [host.python, "-c", JUMPS, shift, "--config", str(host.folder / "etc/noded.toml")]
    host._spawn("noded", command)
    wait_for(host._answers, "noded's answer")


@pytest.fixture(scope="module")
def served(host: Host, follower: Follower) -> None:
    host.nodectl("apply", str(lay(host, "web", port=1, head="spares = 1")))
    follower.until("web", whole(1), "both instances")


def times(host: Host) -> list[float]:
    """Of all that the journal tells, in the order it was written."""
    lines = host.nodectl("-o", "json", "explain", "-n", "1000").stdout.splitlines()
    return [json.loads(line)["at"] for line in lines if line.startswith("{")]


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("shift", [str(-DAY), str(DAY), "wild"])
def test_a_wall_clock_that_jumps_moves_nothing(
    host: Host, follower: Follower, traffic: Callable[..., Traffic], shift: str
) -> None:
    before = of_node(host, "web")
    with traffic(rate=30.0) as load:
        host.kill("noded")
        start_noded(host, shift)
        follower.until("web", lambda n: ready(n) and ready(n, "spare"), "both again", 20)
        assert of_node(host, "web") == before
        victim = stable(follower.now("web"))[0]
        os.kill(victim["pid"], signal.SIGKILL)
        began = time.monotonic()
        follower.until(
            "web",
            lambda n: (
                ready(n) and ready(n, "spare") and victim["id"] not in [i["id"] for i in n["instances"]]
            ),
            "its successor and another spare",
            20,
        )
        assert time.monotonic() - began < 15.0
        load.goes_on()
    assert (load.tally()["failed"], load.faults()) == (0, [])
    found = times(host)
    assert found == sorted(found) and len(found) > 10


@pytest.mark.usefixtures("served")
def test_with_the_right_time_again_all_is_as_it_was(host: Host, follower: Follower) -> None:
    """Time never goes back: it stands ahead until noded's journal has been caught up with."""
    before = of_node(host, "web")
    host.kill("noded")
    host.start_noded()
    follower.until("web", lambda n: ready(n) and ready(n, "spare"), "both again", 20)
    assert of_node(host, "web") >= before
    found = times(host)
    assert found == sorted(found)
