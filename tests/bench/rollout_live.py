"""What do users feel of rollouts that go well, go wrong, or are killed? On a real host, under load."""

import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

from tests.e2e.follow import Follower, ended, last_rollout, ready, whole
from tests.e2e.host import Host
from tests.e2e.programs import FAILING, WEB, lay
from tests.e2e.traffic import Traffic

LONG = '[rollout]\nsteps = [10, 50, 100]\ndwell = "10m"\nsoak = "10m"\n'
QUICK = '[rollout]\nsteps = [10, 100]\ndwell = "1s"\nsoak = "1s"\n'
CLIENTS = 64
APART = 33.0
"""Seconds between two kills of stable: noded counts what fails more often as a crash loop, and waits."""


class Live:
    def __init__(self, host: Host, follower: Follower) -> None:
        self.host = host
        self.follower = follower
        self._versions: dict[str, int] = {}

    # Kills

    def kills(self, requests: int) -> dict[str, float]:
        """A canary, then the only stable instance beside its spare, killed again and again under load."""
        self._fresh("killed", 1, "spares = 1")
        back: list[float] = []
        stable = 0
        with self._load("killed", 1, 800.0) as load:
            due = time.monotonic() + APART / 3
            while load.tally()["total"] < requests or stable < 3:
                back.append(self._canary_killed("killed", 1))
                if time.monotonic() > due:
                    self._stable_killed("killed")
                    stable += 1
                    due = time.monotonic() + APART
            load.goes_on()
        told = load.tally()
        print(f"kills: {len(back)} canaries, {stable} stable; {told['total']} requests, {load.faults()}")
        print(f"kill of the canary to rollback, ms: {spread(back)}", flush=True)
        return {
            "kill_requests": told["total"],
            "kill_failed": told["failed"],
            "kill_to_rollback_ms": round(max(back), 1),
        }

    def _canary_killed(self, name: str, port: int) -> float:
        """Milliseconds from the kill to the rollback, by noded's own clock."""
        self._next(name, port, LONG, head="spares = 1")
        node = self.follower.until(name, _asked, "requests to the canary")
        canary = ready(node, "canary")[0]
        killed = time.time()
        os.kill(canary["pid"], signal.SIGKILL)
        node = self.follower.until(name, ended, "the end of the rollout")
        return float((last_rollout(node)["ended_at"] - killed) * 1000)

    def _stable_killed(self, name: str) -> None:
        node = self.follower.until(name, whole(1), "its spare")
        os.kill(ready(node)[0]["pid"], signal.SIGKILL)
        self.follower.until(name, whole(1), "another spare", 60)

    # A broken canary

    def broken(self, method: str, rate: float, rounds: int, name: str, port: int) -> list[tuple[int, float]]:
        """Of each round what users saw fail, and seconds from the first share to the rollback."""
        self._fresh(name, port)
        found: list[tuple[int, float]] = []
        with self._load(name, port, rate, method=method, clients=16) as load:
            for _ in range(rounds):
                before = load.tally()["failed"]
                self._next(name, port, LONG, program=FAILING)
                node = self.follower.until(name, ended, "the end of the rollout", 300)
                load.goes_on()
                rollout = last_rollout(node)
                seconds = rollout["done"][0]["seconds"] if rollout["done"] else 0.0
                found.append((load.tally()["failed"] - before, seconds))
        return found

    # Cycles

    def cycles(self, count: int) -> dict[str, float]:
        """Rollouts that go well to their end: promote, drain, remove."""
        self._fresh("turning", 4)
        with self._load("turning", 4, 400.0) as load:
            for _ in range(count):
                self._next("turning", 4, QUICK)
                self.follower.until("turning", _taking, "its first step")
                self.host.nodectl("rollout", "promote", "turning")
                version = f"1.0.{self._versions['turning']}"
                self.follower.until("turning", _runs(version), "the end of the old version", 60)
            load.goes_on()
        told = load.tally()
        print(f"cycles: {count}; {told['total']} requests, {load.faults()}", flush=True)
        return {"cycles": count, "cycle_failed": told["failed"]}

    # The lease

    def lease(self) -> float:
        """Seconds from the stop of noded to the last answer of its canary."""
        self._fresh("leased", 5)
        with self._load("leased", 5, 100.0):
            self._next("leased", 5, LONG)
            self.follower.until("leased", _taking, "its first step")
            self.host.nodectl("rollout", "promote", "leased")
            self.host.kill("noded")
            killed = last = time.monotonic()
            while time.monotonic() - killed < 20.0:
                if self._version(5) != "1.0.0":
                    last = time.monotonic()
        self.host.start_noded()
        return last - killed

    # How it is done

    def _fresh(self, name: str, port: int, head: str = "") -> None:
        self._versions[name] = 0
        self.host.nodectl("apply", str(lay(self.host, name, "1.0.0", WEB, port=port, head=head)))

    def _next(self, name: str, port: int, tables: str, *, program: str = WEB, head: str = "") -> None:
        self._versions[name] += 1
        version = f"1.0.{self._versions[name]}"
        folder = lay(self.host, name, version, program, port=port, head=head, tables=tables)
        self.host.nodectl("apply", "--no-wait", str(folder))

    @contextmanager
    def _load(
        self, name: str, port: int, rate: float, *, method: str = "GET", clients: int = CLIENTS
    ) -> Iterator[Traffic]:
        out = self.host.folder / f"{name}.load"
        with Traffic(out, self.host.first_port + port - 1, rate, clients=clients, method=method) as load:
            yield load

    def _version(self, port: int) -> str:
        with urlopen(f"http://127.0.0.1:{self.host.first_port + port - 1}/", timeout=5) as answer:
            return str(json.loads(answer.read())["version"])


def _taking(node: Any) -> bool:
    return bool(node.get("rollout")) and node["rollout"].get("share", 0.0) > 0.0


def _asked(node: Any) -> bool:
    return any(one["requests"] for one in ready(node, "canary"))


def _runs(version: str) -> Callable[[Any], bool]:
    return lambda node: whole()(node) and node.get("version") == version and ended(node)


def spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.1f}, worst {max(values):.1f} of {len(values)}"
