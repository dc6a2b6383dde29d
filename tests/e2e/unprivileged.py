"""A host without any right beyond an ordinary user's, from a first node to its end: what works, what is told?

Run as a program, so that it can be another user: prints what it found as JSON.
"""

import json
import os
import signal
import sys
from typing import Any

from tests.e2e import host as hosts
from tests.e2e.follow import Follower, Node, ready, stable, whole
from tests.e2e.host import Host
from tests.e2e.kernel import of_node, uids
from tests.e2e.programs import SLEEPS, lay
from tests.e2e.traffic import Traffic


def story(host: Host, follower: Follower) -> dict[str, Any]:
    found: dict[str, Any] = {"uid": os.geteuid()}
    limits = '[resources]\nmemory = "256M"\n'
    found["applied"] = host.nodectl(
        "apply", str(lay(host, "web", port=1, head="spares = 1", tables=limits))
    ).stderr
    node = follower.until("web", whole(1), "its spare", 40)
    found["uids"] = sorted(uids(of_node(host, "web")))
    with Traffic(host.folder / "load.jsonl", host.first_port, 50.0) as load:
        node = crash(node, follower)
        host.nodectl("restart", "web")
        load.goes_on()
    found["failed"] = load.tally()["failed"]
    found["total"] = load.tally()["total"]
    found["memory"] = stable(follower.now("web"))[0]["memory"]
    pids = of_node(host, "web")
    host.kill("noded")
    host.start_noded()
    follower.until("web", whole(1), "both instances again", 40)
    found["adopted"] = of_node(host, "web") == pids
    rollout(host, follower)
    found["version"] = follower.now("web")["version"]
    other = lay(
        host, "other", program=SLEEPS, tables='[health]\nreadiness = "none"\n', head='user = "nobody"'
    )
    host.nodectl("apply", "--no-wait", str(other))
    found["other_user"] = follower.until("other", lambda n: n.get("detail"), "why it does not run")["detail"]
    found["status"] = host.nodectl("status").stdout
    found["degraded"] = list(follower.host_state()["degraded"])
    host.nodectl("remove", "-y", "web")
    found["left"] = sorted(of_node(host, "web"))
    return found


def crash(node: Node, follower: Follower) -> Node:
    victim = stable(node)[0]
    os.kill(victim["pid"], signal.SIGKILL)

    def healed(found: Node) -> bool:
        return whole(1)(found) and victim["id"] not in [one["id"] for one in found["instances"]]

    return follower.until("web", healed, "a new pair", 40)


def rollout(host: Host, follower: Follower) -> None:
    plan = '[rollout]\nsteps = [50, 100]\ndwell = "10m"\nsoak = "0s"\n'
    host.nodectl("apply", str(lay(host, "web", "1.1.0", port=1, tables=plan)))
    host.nodectl("rollout", "promote", "--now", "web")
    follower.until("web", lambda n: n["version"] == "1.1.0" and len(ready(n)) == 1, "the new version", 40)


def stop(*_: object) -> None:
    """Whoever does not wait for the end gets no host left running; said again, it does not disturb that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def main() -> None:
    signal.signal(signal.SIGTERM, stop)
    host = hosts.make("ndu")
    try:
        host.start()
        follower = Follower(host)
        try:
            found = story(host, follower)
        finally:
            follower.close()
    except (OSError, RuntimeError, TimeoutError):
        sys.stderr.write(host.log("noded")[-3000:] + host.log("launcher")[-1000:])
        raise
    finally:
        host.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
