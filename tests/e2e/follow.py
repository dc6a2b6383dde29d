"""What does noded say about its nodes, as a test sees it: the newest picture, and waiting for one.

The pictures come from `nodectl -o json status -w`, one JSON object a line, in a thread.
"""

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.e2e.host import Host

Node = Mapping[str, Any]
Condition = Callable[[Node], object]
AGAIN = 0.2


class Follower:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._news = threading.Condition()
        self._nodes: dict[str, Node] = {}
        self._state: Node = {}
        self._at = 0.0
        self._closed = False
        self._stream: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def until(self, name: str, wanted: Condition, what: str, timeout: float = 30.0) -> Node:
        """The first picture from now on that is as wanted. A node that is not known is shown as {}."""
        return self.until_all({name: wanted}, what, timeout)[name]

    def until_all(self, wanted: Mapping[str, Condition], what: str, timeout: float = 30.0) -> dict[str, Node]:
        """The first picture from now on in which every node is as wanted."""
        asked = time.monotonic()
        with self._news:
            while True:
                nodes = {name: self._nodes.get(name, {}) for name in wanted}
                if self._at > asked and all(wanted[name](node) for name, node in nodes.items()):
                    return nodes
                left = asked + timeout - time.monotonic()
                if left <= 0:
                    shown = {name: node for name, node in nodes.items() if not wanted[name](node)}
                    text = f"{what} did not come within {timeout:.0f} s; it is {json.dumps(shown)}"
                    raise TimeoutError(f"{text}; this picture is {time.monotonic() - self._at:.1f} s old")
                self._news.wait(min(left, 0.5))

    def now(self, name: str) -> Node:
        return self.until(name, lambda _: True, "a picture")

    def nodes(self) -> list[Node]:
        self.now("")
        return list(self._nodes.values())

    def host_state(self) -> Node:
        self.now("")
        return self._state

    def close(self) -> None:
        self._closed = True
        if self._stream is not None:
            self._stream.terminate()
        self._thread.join(10)

    def _read(self) -> None:
        while not self._closed:
            with self._host.begin_nodectl("-o", "json", "status", "-w") as self._stream:
                if self._closed:
                    self._stream.terminate()
                assert self._stream.stdout is not None
                for line in self._stream.stdout:
                    with contextlib.suppress(ValueError):
                        self._take(json.loads(line))
            time.sleep(AGAIN)

    def _take(self, picture: Mapping[str, Any]) -> None:
        with self._news:
            self._nodes = {node["name"]: node for node in picture["nodes"]}
            self._state = picture["host"]
            self._at = time.monotonic()
            self._news.notify_all()


def stable(node: Node) -> list[Node]:
    return [one for one in node.get("instances", ()) if one["role"] == "stable"]


def ready(node: Node, role: str = "stable") -> list[Node]:
    return [one for one in node.get("instances", ()) if (one["role"], one["phase"]) == (role, "ready")]


def whole(spares: int = 0, instances: int = 1) -> Condition:
    """Every instance that is wanted is ready, and no other is there."""

    def is_whole(node: Node) -> bool:
        counts = len(ready(node)), len(ready(node, "spare")), len(node.get("instances", ()))
        return counts == (instances, spares, instances + spares)

    return is_whole


def ended(node: Node) -> bool:
    """No rollout goes on and no canary is left."""
    roles = {one["role"] for one in node.get("instances", ())}
    return not node.get("rollout") and bool(node.get("past_rollouts")) and "canary" not in roles


def last_rollout(node: Node) -> Node:
    past = node.get("past_rollouts") or [{}]
    found: Node = past[-1]
    return found
