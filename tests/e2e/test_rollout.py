"""Does a good version get all the traffic, and a bad one lose it before it does harm?"""

import json
import os
from collections.abc import Callable

import pytest

from tests.e2e.follow import Follower, ended, last_rollout, ready, stable, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import of_node
from tests.e2e.programs import FAILING, SLEEPS, WEB, lay
from tests.e2e.traffic import Traffic

pytestmark = pytest.mark.e2e
FAST = '[rollout]\nsteps = [50, 100]\ndwell = "1s"\nsoak = "2s"\n'
CAREFUL = '[rollout]\nsteps = [10, 50, 100]\ndwell = "1s"\nsoak = "2s"\n'
SLOW = '[rollout]\nsteps = [10, 50, 100]\ndwell = "10m"\nsoak = "10m"\n'


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


@pytest.mark.parametrize(("name", "port", "method", "most"), [("bad", 2, "POST", 3), ("quiet", 8, "GET", 0)])
def test_a_failing_version_is_rolled_back_after_a_handful_of_errors(
    host: Host, follower: Follower, figures: dict[str, str], name: str, port: int, method: str, most: int
) -> None:
    """None where a request may be asked again: stable answers it."""
    host.nodectl("apply", str(lay(host, name, port=port)))
    with Traffic(host.folder / f"{name}.jsonl", host.first_port + port - 1, 100.0, method=method) as load:
        host.nodectl("apply", "--no-wait", str(lay(host, name, "2.0.0", FAILING, port=port, tables=CAREFUL)))
        reason = rolled_back(follower, name)
        load.goes_on()
    figures[f"failing release, {method}"] = f"{load.tally()['failed']} errors of users, at most {most} wanted"
    assert load.tally()["failed"] <= most, load.faults()
    assert reason.startswith("the canary is worse")
    watch = host.nodectl("rollout", "watch", name, check=False)
    assert (watch.returncode, f"no rollout of {name} is under way" in watch.stderr) == (1, True)
    again = host.nodectl("plan", str(host.folder / f"nodes/{name}-1.0.0"), check=False)
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
    told = "a rollout of steered to 1.1.0 is under way, wait for its end or end it"
    assert f"{told}\ntry: nodectl rollout abort steered\n" in other.stderr

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
