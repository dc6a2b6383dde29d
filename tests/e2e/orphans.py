"""Two rollouts at half of the traffic, and noded dies: what do the proxy and the canaries do without it?"""

import time
from pathlib import Path

from tests.e2e.background import Hosted
from tests.e2e.follow import Follower, Node, ended, last_rollout, ready
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import of_node
from tests.e2e.programs import WEB, lay
from tests.e2e.traffic import Traffic

PLAN = '[rollout]\nsteps = [50, 100]\ndwell = "25s"\nsoak = "1s"\n'
RATE = 60.0
WATCHED = WEB.replace(
    "    return",
    """    print("asked", flush=True)
    if node.version == "1.1.0" and os.path.exists(FLAG):
        raise RuntimeError("broken")
    return""",
)


class Orphans(Hosted):
    """`leased` has a good canary; the one of `fused` begins to fail when noded is dead."""

    expired_after = -1.0
    """Seconds after noded's death at which the good canary was last asked."""
    errors: tuple[int, int]
    """Of the users of `fused`: while noded was dead, and at the end of all."""
    failed: int
    faults: tuple[str, ...]
    """Of the users of `leased`."""
    lived_on: bool
    leased: Node
    fused: Node

    def begin(self) -> None:
        self.canaries = {name: self._on_trial(name, port) for name, port in (("leased", 1), ("fused", 2))}

    def go_on(self, follower: Follower) -> None:
        host, canary = self.host, self._canary(follower, "leased")
        other = self._canary(follower, "fused")
        first = host.first_port
        with (
            Traffic(host.folder / "leased.jsonl", first, RATE) as load,
            Traffic(host.folder / "fused.jsonl", first + 1, RATE, method="POST") as fused,
        ):
            wait_for(
                lambda: min(asked(host, canary), asked(host, other)) > 20, "requests to the canaries", 40
            )
            pids = of_node(host, "leased") | of_node(host, "fused")
            host.kill("noded")
            killed = time.monotonic()
            self.canaries["fused"].touch()
            before = asked(host, canary)
            wait_for(lambda: asked(host, canary) > before + 20, "requests to the canary without noded", 10)
            self.expired_after = expired(host, canary) - killed
            dead = fused.goes_on()["failed"]
            self.lived_on = of_node(host, "leased") | of_node(host, "fused") == pids
            host.start_noded()
            both = follower.until_all({"leased": ended, "fused": ended}, "the end of both rollouts", 90)
            self.failed = load.goes_on()["failed"]
            self.errors = dead, fused.goes_on()["failed"]
        self.faults = tuple(load.faults())
        self.leased, self.fused = (last_rollout(both[name]) for name in ("leased", "fused"))

    def _on_trial(self, name: str, port: int) -> Path:
        """The file that makes the canary fail."""
        flag = self.host.folder / f"{name}-fails"
        program = WATCHED.replace("FLAG", repr(str(flag)))
        self.host.nodectl("apply", str(lay(self.host, name, program=program, port=port)))
        self.host.nodectl("apply", str(lay(self.host, name, "1.1.0", program, port=port, tables=PLAN)))
        return flag

    def _canary(self, follower: Follower, name: str) -> str:
        node = follower.until(name, lambda n: ready(n, "canary") and n["rollout"]["share"] == 0.5, "half", 40)
        identity: str = ready(node, "canary")[0]["id"]
        return identity


def asked(host: Host, instance: str) -> int:
    log = host.folder / f"logs/{instance.partition('.')[0]}/{instance}.log"
    return log.read_bytes().count(b"asked\n")


def expired(host: Host, canary: str) -> float:
    """When the canary was last asked, once it is asked no more."""
    count, at = asked(host, canary), time.monotonic()

    def quiet() -> bool:
        nonlocal count, at
        now = asked(host, canary)
        if now != count:
            count, at = now, time.monotonic()
        return time.monotonic() - at > 2.0

    wait_for(quiet, "the end of the share", 40, 0.02)
    return at
