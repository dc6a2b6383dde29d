"""What happens on a full disk? Processes are kept alive, everything else waits and says why."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.follow import Follower, Node, ready, stable, whole
from tests.e2e.ground import ROOT, wait_for
from tests.e2e.kernel import of_node
from tests.e2e.programs import SLEEPS, lay
from tests.e2e.traffic import Traffic
from tests.faults.narrow import NarrowHost, fill, narrow_host
from tests.mounts import needs_mounts

pytestmark = [pytest.mark.e2e, needs_mounts]
MIB = 2**20
SETTINGS = '\n[journal]\nballast = "4M"\n\n[logs]\nsize = "16M"\nkept = 2\n'
NONE = '[health]\nreadiness = "none"\n'
PLAN = '[rollout]\nsteps = [50, 100]\ndwell = "200ms"\nsoak = "300ms"\n'
TALKS = """
import itertools
for number in itertools.count():
    print(f"{number:063}")
"""


@pytest.fixture(scope="module")
def host() -> Iterator[NarrowHost]:
    with narrow_host("48m", "96m", SETTINGS) as made:
        yield made


def degraded(follower: Follower, word: str) -> list[str]:
    return [line for line in follower.host_state()["degraded"] if word in line]


def covered(node: Node) -> bool:
    """As wanted; a second spare may stand by for a while after a crash."""
    return len(ready(node)) == 1 and len(ready(node, "spare")) >= 1


def crash(host: NarrowHost, follower: Follower) -> None:
    """Its stable instance dies; the spare takes over and a new one comes."""
    victim = stable(follower.now("web"))[0]
    os.kill(victim["pid"], signal.SIGKILL)
    follower.until(
        "web",
        lambda n: covered(n) and victim["id"] not in [one["id"] for one in n["instances"]],
        "another instance and another spare",
        40,
    )


def test_a_disk_that_fills_stops_nothing_but_what_can_wait(
    host: NarrowHost, follower: Follower, traffic: Callable[..., Traffic]
) -> None:
    host.nodectl("apply", str(lay(host, "web", port=1, head="spares = 1", tables=PLAN)))
    filler = host.state / "data/filler"
    with traffic(rate=30.0) as load:
        fill(filler, leave=512 * 1024)
        wait_for(lambda: degraded(follower, "disk full"), "the news", 20)
        assert not (host.state / "ballast").exists()
        crash(host, follower)
        refused = host.nodectl("apply", str(lay(host, "web", "1.1.0", port=1, tables=PLAN)), check=False)
        assert refused.returncode == 1 and "cannot apply web 1.1.0: the disk is full" in refused.stderr
        assert "the disk is full" in host.nodectl("explain").stdout

        fill(filler)
        crash(host, follower)
        wait_for(
            lambda: "decisions cannot be written down" in host.log("noded"), "a journal that is full", 20
        )
        refused = host.nodectl("stop", "web", check=False)
        assert refused.returncode == 1 and "the disk is full" in refused.stderr

        host.kill("noded")
        host.start_noded()
        follower.until("web", covered, "both instances again", 20)
        assert degraded(follower, "disk full")
        crash(host, follower)

        filler.unlink()
        wait_for(lambda: not degraded(follower, "disk full"), "room again", 20)
        assert (host.state / "ballast").stat().st_size == 4 * MIB
        host.nodectl("apply", str(lay(host, "web", "1.1.0", port=1, head="spares = 1", tables=PLAN)))
        follower.until("web", lambda n: n["rollout"] and n["rollout"]["phase"] == "step", "its rollout")
        host.nodectl("rollout", "promote", "--now", "web")
        follower.until("web", lambda n: n["version"] == "1.1.0" and covered(n), "the new version", 40)
        load.goes_on()
    assert (load.tally()["failed"], load.faults()) == (0, [])
    assert "the disk has room again" in host.nodectl("explain").stdout


def test_every_segment_written_around_it_replays(host: NarrowHost) -> None:
    host.stop("noded")
    try:
        command = [sys.executable, "-m", "tests.e2e.replaying", str(host.state / "ring")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    finally:
        host.start_noded()
    found = json.loads(done.stdout)
    assert found["differences"] == []
    assert found["segments"] >= 2 and found["inputs"]["DiskFilled"] >= 1


def test_a_release_that_does_not_fit_is_refused_whole(host: NarrowHost, follower: Follower) -> None:
    folder = lay(host, "large", program=SLEEPS, tables=NONE)
    with (folder / "ballast.bin").open("wb") as file:
        file.truncate(60 * MIB)
    before = sorted(path.name for path in (host.state / "releases").iterdir())
    refused = host.nodectl("apply", str(folder), check=False)
    assert refused.returncode == 1
    assert "releases" in refused.stderr and "MiB" in refused.stderr, refused.stderr
    assert sorted(path.name for path in (host.state / "releases").iterdir()) == before
    assert not follower.now("large")
    assert not degraded(follower, "disk full"), "it was seen before anything was written"


def test_a_node_that_talks_without_end_fills_no_disk(host: NarrowHost, follower: Follower) -> None:
    host.nodectl("apply", str(lay(host, "talks", program=TALKS, tables=NONE)))
    log = host.logs / "talks" / "talks.1.log"
    wait_for(lambda: log.exists() and log.stat().st_size > 112 * MIB, "more than the disk holds", 60)
    least = min(free(host) for _ in range(20) if not wait_a_moment())
    assert least > 16 * MIB
    text = host.nodectl("logs", "talks", "-n", "5").stdout.splitlines()
    numbers = [int(line.rpartition("|")[2]) for line in text]
    assert numbers == list(range(numbers[0], numbers[0] + 5)) and numbers[0] > 500_000
    host.nodectl("remove", "-y", "talks")
    follower.until("talks", lambda n: not n, "its end")
    assert not of_node(host, "talks")


def wait_a_moment() -> bool:
    with_pause = iter((False, True))
    wait_for(lambda: next(with_pause), "a moment", 5, 0.05)
    return False


def free(host: NarrowHost) -> int:
    found = os.statvfs(host.logs)
    return found.f_bavail * found.f_frsize


def test_full_logs_keep_nobody_from_starting(
    host: NarrowHost, follower: Follower, traffic: Callable[..., Traffic]
) -> None:
    filler = fill(host.logs / "filler")
    try:
        wait_for(lambda: degraded(follower, "logs:"), "the news", 20)
        with traffic(rate=30.0) as load:
            crash(host, follower)
            host.nodectl("apply", str(lay(host, "quiet", program=SLEEPS, tables=NONE)))
            follower.until("quiet", whole(), "a new node", 20)
            load.goes_on()
        assert load.tally()["failed"] == 0
    finally:
        filler.unlink()
    wait_for(lambda: not degraded(follower, "logs:"), "room again", 20)
    assert ready(follower.now("web")) and json.loads(host.nodectl("-o", "json", "status").stdout)
