"""Does a good version get all the traffic, and a bad one lose it before it does harm?"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.follow import Follower, Node, last_rollout, ready, stable, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import of_node
from tests.e2e.programs import FAILING, SLEEPS, WEB, lay
from tests.e2e.traffic import Traffic

pytestmark = pytest.mark.e2e
FAST = '[rollout]\nsteps = [50, 100]\ndwell = "1s"\nsoak = "2s"\n'
CAREFUL = '[rollout]\nsteps = [10, 50, 100]\ndwell = "1s"\nsoak = "2s"\n'
SLOW = '[rollout]\nsteps = [10, 50, 100]\ndwell = "10m"\nsoak = "10m"\n'
MOST_USER_ERRORS = 6
LEASE = 16.0
"""Seconds after which a canary nobody renews has no share: 15, and up to one for whole seconds."""


def ended(node: Node) -> bool:
    """No rollout goes on and no canary is left."""
    roles = {one["role"] for one in node.get("instances", ())}
    return not node.get("rollout") and bool(node.get("past_rollouts")) and "canary" not in roles


def rolled_back(follower: Follower, name: str, timeout: float = 30.0) -> str:
    """The reason; the old version stands as before."""
    node = follower.until(name, ended, "the end of the rollout", timeout)
    rollout = last_rollout(node)
    assert (rollout["phase"], node["version"]) == ("rolled back", "1.0.0")
    assert [one["version"] for one in stable(node)] == ["1.0.0"]
    reason: str = rollout["reason"]
    return reason


def test_a_good_version_is_promoted_step_by_step_and_no_request_fails(
    host: Host, follower: Follower, traffic: Callable[..., Traffic]
) -> None:
    host.nodectl("apply", str(lay(host, "good", port=1, head="spares = 1")))
    follower.until("good", whole(1), "its spare")
    with traffic(1, 250.0) as load:
        folder = lay(host, "good", "1.1.0", port=1, head="spares = 1", tables=FAST)
        assert "a rollout has begun" in host.nodectl("apply", str(folder)).stderr
        during = follower.now("good")
        assert len(ready(during)) == 1, "stable keeps its capacity"
        watch = host.nodectl("rollout", "watch", "good", timeout=90)
        assert "good 1.0.0 -> 1.1.0: promoted" in watch.stdout
        node = follower.until("good", lambda n: ended(n) and whole(1)(n), "the end of the old version", 40)
        load.goes_on()
    assert (load.tally()["failed"], load.faults()) == (0, [])
    assert node["version"] == "1.1.0"
    assert {one["version"] for one in node["instances"]} == {"1.1.0"}
    rollout = last_rollout(node)
    assert [step["share"] for step in rollout["done"]] == [0.5, 1.0]
    assert all(step["canary_requests"] > 0 for step in rollout["done"])
    assert sum(step["canary_bad"] + 0 for step in rollout["done"]) == 0
    assert rollout["done"][1]["seconds"] >= 2.0, "the soak"


def test_a_failing_version_is_rolled_back_after_a_handful_of_errors(
    host: Host, follower: Follower, traffic: Callable[..., Traffic], figures: dict[str, str]
) -> None:
    host.nodectl("apply", str(lay(host, "bad", port=2)))
    with traffic(2, 100.0) as load:
        host.nodectl("apply", "--no-wait", str(lay(host, "bad", "2.0.0", FAILING, port=2, tables=CAREFUL)))
        reason = rolled_back(follower, "bad")
        load.goes_on()
    figures["failing release"] = (
        f"{load.tally()['failed']} errors of users, at most {MOST_USER_ERRORS} wanted"
    )
    assert 1 <= load.tally()["failed"] <= MOST_USER_ERRORS, load.faults()
    assert "failed requests" in reason or "the canary is worse" in reason
    watch = host.nodectl("rollout", "watch", "bad", check=False)
    assert (watch.returncode, "no rollout of bad is under way" in watch.stderr) == (1, True)
    again = host.nodectl("plan", str(host.folder / "nodes/bad-1.0.0"), check=False)
    assert again.returncode == 0, "the old version is what runs"


def test_a_canary_that_does_not_live_is_rolled_back_and_nobody_notices(
    host: Host, follower: Follower, traffic: Callable[..., Traffic]
) -> None:
    dies = WEB.replace(
        "node.main()",
        "import threading\nthreading.Timer(2.0, lambda: os._exit(9)).start()\nnode.main()",
    )
    cases = {"falls": "raise SystemExit(4)", "dumb": SLEEPS, "dies": dies}
    ports = dict(zip(cases, (3, 4, 5), strict=True))
    for name, port in ports.items():
        host.nodectl("apply", str(lay(host, name, port=port)))
    before = {name: of_node(host, name) for name in cases}
    with traffic(3, 30.0) as first, traffic(5, 60.0) as last:
        for name, program in cases.items():
            head = 'start_timeout = "1s"' if name == "dumb" else ""
            folder = lay(host, name, "1.1.0", program, port=ports[name], head=head, tables=SLOW)
            host.nodectl("apply", "--no-wait", str(folder))
        reasons = {name: rolled_back(follower, name) for name in cases}
        for load in (first, last):
            load.goes_on()
    assert "its canary falls.2 exited: code 4" in reasons["falls"]
    assert "was not ready within 1 s" in reasons["dumb"]
    assert "its canary dies.2 exited: code 9" in reasons["dies"]
    for load in (first, last):
        assert (load.tally()["failed"], load.faults()) == (0, [])
    for name, pids in before.items():
        wait_for(lambda name=name, pids=pids: of_node(host, name) == pids, f"only the old {name}")


def test_a_person_steers(host: Host, follower: Follower) -> None:
    host.nodectl("apply", str(lay(host, "steered", port=6)))
    none = host.nodectl("rollout", "abort", "steered", check=False)
    assert (none.returncode, "no rollout of steered is under way" in none.stderr) == (1, True)
    host.nodectl("apply", str(lay(host, "steered", "1.1.0", port=6, tables=SLOW)))
    shares = [follower.now("steered")["rollout"]["share"]]
    other = host.nodectl("apply", str(lay(host, "steered", "1.2.0", port=6, tables=SLOW)), check=False)
    assert other.returncode == 1
    assert (
        "a rollout of steered to 1.1.0 is under way: wait, or nodectl rollout abort"
        in (other.stderr.replace("\ntry", ""))
        or "nodectl rollout abort steered" in other.stderr
    )

    assert "step 2 of 3, share 50 %" in host.nodectl("rollout", "promote", "steered").stdout
    shares.append(follower.now("steered")["rollout"]["share"])
    assert shares == [0.1, 0.5]
    assert "rolled back" in host.nodectl("rollout", "abort", "steered").stdout
    assert rolled_back(follower, "steered") == f"uid {os.geteuid()} aborted it"

    host.nodectl("apply", str(lay(host, "steered", "1.2.0", port=6, tables=SLOW)))
    assert "promoted" in host.nodectl("rollout", "promote", "--now", "steered").stdout
    node = follower.until("steered", whole(), "one instance")
    assert (node["version"], stable(node)[0]["version"]) == ("1.2.0", "1.2.0")
    history = json.loads(host.nodectl("-o", "json", "rollout", "history", "steered").stdout)
    assert [(one["to_version"], one["phase"]) for one in history] == [
        ("1.2.0", "promoted"),
        ("1.1.0", "rolled back"),
    ]


def test_stop_and_remove_end_a_rollout(host: Host, follower: Follower) -> None:
    host.nodectl("apply", str(lay(host, "halted", port=7)))
    host.nodectl("apply", str(lay(host, "halted", "1.1.0", port=7, tables=SLOW)))
    host.nodectl("stop", "halted")
    node = follower.until("halted", lambda n: n["condition"] == "stopped" and not n["instances"], "its stop")
    assert (last_rollout(node)["phase"], node["version"]) == ("rolled back", "1.0.0")
    host.nodectl("start", "halted")
    host.nodectl("apply", str(lay(host, "halted", "1.2.0", port=7, tables=SLOW)))
    host.nodectl("remove", "-y", "halted")
    wait_for(lambda: not of_node(host, "halted"), "the end of its instances")


WATCHED = WEB.replace(
    "    return",
    """    print("asked", flush=True)
    if node.version == "1.1.0" and os.path.exists(FLAG):
        raise RuntimeError("broken")
    return""",
)


def asked(host: Host, instance: str) -> int:
    log = host.folder / f"logs/{instance.partition('.')[0]}/{instance}.log"
    return log.read_bytes().count(b"asked\n")


def on_trial(host: Host, follower: Follower, name: str, port: int, plan: str) -> tuple[str, Path]:
    """A rollout at half of the traffic: the canary's name, and the file that makes it fail."""
    flag = host.folder / f"{name}-fails"
    program = WATCHED.replace("FLAG", repr(str(flag)))
    host.nodectl("apply", str(lay(host, name, program=program, port=port)))
    host.nodectl("apply", str(lay(host, name, "1.1.0", program, port=port, tables=plan)))
    node = follower.until(name, lambda n: n["rollout"]["share"] == 0.5, "half of the traffic", 40)
    return ready(node, "canary")[0]["id"], flag


def test_while_noded_is_dead_the_proxy_ends_a_share_and_cuts_what_fails(
    host: Host, follower: Follower, traffic: Callable[..., Traffic], figures: dict[str, str]
) -> None:
    plan = '[rollout]\nsteps = [50, 100]\ndwell = "25s"\nsoak = "1s"\n'
    leased, _ = on_trial(host, follower, "leased", 8, plan)
    fused, flag = on_trial(host, follower, "fused", 9, plan)
    with traffic(8, 60.0) as load, traffic(9, 60.0) as other:
        wait_for(lambda: asked(host, leased) > 20 and asked(host, fused) > 20, "requests to the canaries")
        pids = of_node(host, "leased") | of_node(host, "fused")
        host.kill("noded")
        killed = time.monotonic()
        flag.touch()
        before = asked(host, leased)
        wait_for(lambda: asked(host, leased) > before + 20, "requests to the canary without noded", 10)
        last = expired(host, leased, killed)
        other.goes_on()
        errors = other.tally()["failed"]
        assert 1 <= errors <= MOST_USER_ERRORS, other.faults()
        load.goes_on()
        assert of_node(host, "leased") | of_node(host, "fused") == pids
        host.start_noded()
        count = asked(host, leased)
        follower.until(
            "leased",
            lambda n: ended(n) or asked(host, leased) > count + 20,
            "the rollout going on, or its end",
            30,
        )
        assert "failed requests" in rolled_back(follower, "fused")
        node = follower.until("leased", ended, "the end of the rollout", 60)
        load.goes_on()
    figures["share"] = f"expired {last:.1f} s after noded died, at most {LEASE:.0f} wanted"
    assert last <= LEASE, f"the canary was asked {last:.1f} s after noded died"
    assert (load.tally()["failed"], load.faults()) == (0, [])
    assert other.tally()["failed"] == errors, "the cut canary was asked no more"
    assert last_rollout(node)["phase"] == "promoted"


def expired(host: Host, canary: str, since: float) -> float:
    """Seconds after `since` at which the canary was last asked, once it is asked no more."""
    count, at = asked(host, canary), time.monotonic()

    def quiet() -> bool:
        nonlocal count, at
        now = asked(host, canary)
        if now != count:
            count, at = now, time.monotonic()
        return time.monotonic() - at > 2.0

    wait_for(quiet, "the end of the share", 40, 0.02)
    return at - since
