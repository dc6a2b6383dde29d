"""What if the files noded remembers by are damaged? They are kept aside, told, and written anew."""

import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.follow import Follower, Node, stable, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import of_node
from tests.e2e.programs import SLEEPS, lay
from tests.e2e.traffic import Traffic

pytestmark = pytest.mark.e2e
NONE = '[health]\nreadiness = "none"\n'
PLAN = '[rollout]\nsteps = [50, 100]\ndwell = "200ms"\nsoak = "300ms"\n'
NODES = ("web", "sleeper", "rests")


@pytest.fixture(scope="module")
def nodes(host: Host, follower: Follower) -> tuple[str, ...]:
    """One that serves and has seen a second version, one that only runs, one that is stopped."""
    host.nodectl("apply", str(lay(host, "web", port=1, tables=PLAN)))
    host.nodectl("apply", str(lay(host, "sleeper", program=SLEEPS, tables=NONE)))
    host.nodectl("apply", str(lay(host, "rests", program=SLEEPS, tables=NONE)))
    host.nodectl("apply", str(lay(host, "web", "1.1.0", port=1, tables=PLAN)))
    follower.until("web", lambda n: n["rollout"] and n["rollout"]["phase"] == "step", "its rollout")
    host.nodectl("rollout", "promote", "--now", "web")
    follower.until("web", lambda n: n["version"] == "1.1.0" and whole()(n), "the second version", 60)
    host.nodectl("stop", "rests")
    return NODES


def pids(host: Host) -> dict[str, set[int]]:
    return {name: of_node(host, name) for name in NODES}


def newest_segment(host: Host) -> Path:
    return max((host.state / "ring").glob("*.jsonl"))


def harm(path: Path, how: str, dice: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if how == "header":
        content[:100] = dice.randbytes(100)
    elif how == "page":
        content[4096:8192] = dice.randbytes(4096)
    elif how == "byte":
        content[len(content) // 2] ^= 0xFF
    elif how == "truncated":
        del content[len(content) // 2 :]
    elif how == "garbage":
        content[:] = dice.randbytes(len(content))
    path.write_bytes(content)


def as_before(follower: Follower) -> dict[str, Node]:
    wanted = {
        "web": lambda n: n.get("version") == "1.1.0" and whole()(n),
        "sleeper": whole(),
        "rests": lambda n: n.get("condition") == "stopped" and not n["instances"],
    }
    return follower.until_all(wanted, "every node as it was", 30)


def told(host: Host, follower: Follower, name: str) -> None:
    """It is kept, and a person is told until they take it away."""
    (aside,) = (p for p in host.state.glob(f"**/{name}.corrupt-*") if not p.name.endswith(("-wal", "-shm")))
    wait_for(lambda: any(str(aside) in line for line in follower.host_state()["degraded"]), "the news", 20)
    for path in host.state.glob(f"**/{name}.corrupt-*"):
        path.unlink()
    wait_for(lambda: not any(name in line for line in follower.host_state()["degraded"]), "that it is over")


HARMED = [
    ("registry.db", "page"),
    ("registry.db", "truncated"),
    ("journal.db", "header"),
    ("ring", "header"),
    ("ring", "byte"),
]


@pytest.mark.parametrize(("name", "how"), HARMED)
def test_damage_found_at_the_start_costs_no_process_and_no_request(
    host: Host,
    follower: Follower,
    nodes: tuple[str, ...],
    traffic: Callable[..., Traffic],
    name: str,
    how: str,
) -> None:
    before = pids(host)
    dice = random.Random(f"{name} {how}")
    with traffic(rate=30.0) as load:
        host.stop("noded")  # so that all is in the file itself
        path = newest_segment(host) if name == "ring" else host.state / name
        harm(path, how, dice)
        host.start_noded()
        as_before(follower)
        load.goes_on()
    assert (load.tally()["failed"], pids(host)) == (0, before)
    told(host, follower, path.name)
    refused = host.nodectl("apply", str(other_content(host)), check=False)
    assert refused.returncode == 1 and "exists with other content" in refused.stderr, (
        "what a version is, is kept"
    )


def other_content(host: Host) -> Path:
    folder = lay(host, "web", "1.0.0", port=1, tables=PLAN)
    (folder / "new").write_text("changed")
    return folder


def test_with_registry_and_ring_gone_what_runs_says_what_is_to_run(
    host: Host, follower: Follower, nodes: tuple[str, ...], traffic: Callable[..., Traffic]
) -> None:
    before = pids(host)
    with traffic(rate=30.0) as load:
        host.kill("noded")
        harm(host.state / "registry.db", "garbage", random.Random(1))
        for segment in (host.state / "ring").glob("*.jsonl"):
            harm(segment, "garbage", random.Random(2))
        host.start_noded()
        found = follower.until_all(
            {"web": lambda n: n.get("version") == "1.1.0" and whole()(n), "sleeper": whole()}, "what ran", 30
        )
        load.goes_on()
    assert (load.tally()["failed"], pids(host)) == (0, before)
    assert {stable(node)[0]["pid"] for node in found.values()} == before["web"] | before["sleeper"]
    with sqlite3.connect(host.state / "registry.db") as base:
        keys = {key for (key,) in base.execute("select key from record")}
    assert {"nodes/web", "nodes/sleeper", "releases/web/1.0.0", "releases/rests/1.0.0"} <= keys
    for path in host.state.glob("**/*.corrupt-*"):
        path.unlink()
    host.nodectl("apply", str(lay(host, "rests", program=SLEEPS, tables=NONE)))
    host.nodectl("stop", "rests")


def test_a_registry_damaged_while_noded_runs_is_written_anew(
    host: Host, follower: Follower, nodes: tuple[str, ...]
) -> None:
    before = pids(host)
    content = bytearray((host.state / "registry.db").read_bytes())
    (host.state / "registry.db-wal").unlink(missing_ok=True)
    os.truncate(host.state / "registry.db", 0)
    (host.state / "registry.db").write_bytes(b"\xff" * len(content))
    host.nodectl("stop", "sleeper")
    host.nodectl("start", "sleeper")
    follower.until("sleeper", whole(), "its start", 20)
    host.kill("noded")
    host.start_noded()
    as_before(follower)
    assert of_node(host, "web") == before["web"]


def test_noded_that_finds_nothing_of_its_state_adopts_nothing_it_cannot_name_and_ends_nothing_else(
    host: Host, follower: Follower, nodes: tuple[str, ...]
) -> None:
    """Somebody removed all databases: releases still lie there, and what runs in them goes on."""
    before = pids(host)
    host.kill("noded")
    for path in (*host.state.glob("*.db*"), *(host.state / "ring").iterdir()):
        path.unlink()
    host.start_noded()
    follower.until_all({"web": whole(), "sleeper": whole()}, "what ran", 30)
    assert {name: pids(host)[name] for name in ("web", "sleeper")} == {
        name: before[name] for name in ("web", "sleeper")
    }
