"""Who asks nodes for pages while they roll out, and what must be so of each rollout at its end?"""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.e2e.follow import Node
from tests.e2e.ground import wait_for
from tests.e2e.host import Host

LEGAL = {
    "preparing": {"preparing", "step", "soak", "rolled back"},
    "step": {"step", "soak", "promoted", "rolled back"},
    "soak": {"soak", "promoted", "rolled back"},
    "promoted": set[str](),
    "rolled back": set[str](),
}
"""What may follow a stage; a person's hold is a transition within one."""

PAGES = """
import asyncio, os, random
from nodekit import Node

node = Node()

async def answer(request, **parts):
    return {"instance": node.instance, "version": node.version}

async def late(request):
    with open(os.path.join(os.environ["NODED_DATA"], "late"), "a") as told:
        told.write("x\\n")
    await asyncio.sleep(3600 if "forever" in request.path else 2.0)
    return {"instance": node.instance, "version": node.version}

for path in ("/", "/healthz"):
    node.get(path)(answer)
for path in ("/late", "/forever"):
    node.get(path)(late)
node.post("/")(answer)
node.main()
"""


@dataclass(frozen=True, slots=True)
class Asked:
    at: float
    """When it was sent."""
    took: float
    version: str
    fault: str


@dataclass
class Users:
    """One after the other asks a port, as often as told, until the end of the block."""

    port: int
    rate: float = 20.0
    method: str = "GET"
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Users":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _ask(self) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self._over.wait(1.0 / self.rate):
            began = time.time()
            version = fault = ""
            try:
                line.request(self.method, "/")
                answer = line.getresponse()
                text = answer.read()
                fault = "" if answer.status == 200 else str(answer.status)
                version = json.loads(text)["version"] if not fault else ""
            except (OSError, http.client.HTTPException) as error:
                fault = type(error).__name__
                line.close()
            self.asked.append(Asked(began, time.time() - began, version, fault))

    def faults(self, since: float = 0.0, until: float = 1e12) -> list[Asked]:
        return [one for one in self.asked if one.fault and since <= one.at < until]

    def versions(self, since: float) -> set[str]:
        return {one.version for one in self.asked if one.at >= since and one.version}

    def more(self, count: int, timeout: float = 20.0) -> None:
        before = len(self.asked)
        wait_for(lambda: len(self.asked) > before + count, f"{count} more requests", timeout)


def all_more(users: Iterable[Users], count: int) -> None:
    """So many more requests of each."""
    wanted = [(one, len(one.asked) + count) for one in users]
    wait_for(lambda: all(len(one.asked) >= least for one, least in wanted), f"{count} more requests each")


def ask_once(port: int, path: str, timeout: float = 20.0) -> str:
    """Status and version, or how it failed."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        line.request("GET", path)
        answer = line.getresponse()
        text = answer.read()
        return (
            f"{answer.status} {json.loads(text).get('version', '') if answer.status == 200 else ''}".strip()
        )
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        with contextlib.suppress(OSError):
            line.close()


def histories(host: Host, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Every rollout of each with every transition, newest first."""
    asking = {name: host.begin_nodectl("-o", "json", "rollout", "history", name) for name in names}
    return {name: json.loads(one.communicate(timeout=60)[0]) for name, one in asking.items()}


def is_told(rollout: dict[str, Any]) -> None:
    """Its transitions are in order, allowed, each with a reason and a share of the plan."""
    told = rollout["history"]
    assert told and told[0]["phase"] == "preparing", told
    assert all(len(each["reason"].split()) > 1 for each in told), told
    assert [each["at"] for each in told] == sorted(each["at"] for each in told)
    assert {each["share"] for each in told} <= {0.0, *rollout["steps"]}, told
    for before, after in pairwise(told):
        assert after["phase"] in LEGAL[before["phase"]], f"{before} -> {after}"
    assert told[-1]["phase"] == rollout["phase"], told
    if rollout["phase"] in ("promoted", "rolled back"):
        assert told[-1]["reason"] == rollout["reason"], told


def under_way(host: Host, node: str, count: int) -> None:
    """So many requests for a late answer have come to it since it was first started."""
    wait_for(lambda: len(data(host, node, "late")) >= count, f"{count} requests under way", 20)


def data(host: Host, node: str, name: str) -> list[str]:
    path: Path = host.state / f"data/{node}/{name}"
    return path.read_text().splitlines() if path.exists() else []


def sharing(share: float) -> Any:
    return lambda node: bool(node.get("rollout")) and abs(node["rollout"].get("share", 0.0) - share) < 1e-9


def pids(node: Node, role: str) -> list[int]:
    return [one["pid"] for one in node.get("instances", ()) if one["role"] == role]
