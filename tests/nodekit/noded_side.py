"""noded's end of the two sockets, for tests: it hears what a node says and gives orders."""

import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nodekit

DEADLINE = 10.0
SDK = str(Path(nodekit.__file__).parent.parent)
NODES = Path(__file__).resolve().parents[2] / "nodes"


def environ(**more: str) -> dict[str, str]:
    """A clean environment for a program that imports nodekit."""
    kept = {key: os.environ[key] for key in os.environ if not key.startswith(("NODED_", "NOTIFY_", "PYTHON"))}
    return {**kept, "PYTHONPATH": SDK, "PYTHONDONTWRITEBYTECODE": "1", **more}


class NodedSide:
    def __init__(self) -> None:
        # Paths of unix sockets end at 107 bytes; pytest's own folders may be longer.
        self.folder = tempfile.mkdtemp(dir="/tmp", prefix="nd")
        self.notify = os.path.join(self.folder, "notify.sock")
        self.orders = os.path.join(self.folder, "orders.sock")
        self.http = os.path.join(self.folder, "http.sock")
        self.said: list[str] = []
        self.last_order = 0
        self.inbox: socket.socket | None = None
        self.open()

    def open(self) -> None:
        self.inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.inbox.bind(self.notify)

    def shut(self) -> None:
        """noded is away: its socket's file stays, as after a kill."""
        if self.inbox:
            self.inbox.close()
        self.inbox = None

    def close(self) -> None:
        self.shut()
        shutil.rmtree(self.folder)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "NODED_NODE": "trial",
            "NODED_INSTANCE": "trial.1",
            "NODED_VERSION": "1.2.3",
            "NODED_LISTEN": f"unix:{self.http}",
            "NODED_ORDERS": self.orders,
            "NOTIFY_SOCKET": self.notify,
            "NODED_HEARTBEAT": "0.1",
        }

    def hear(self, wanted: Callable[[str], bool]) -> str:
        """The next datagram that is wanted; those passed over are kept in `said`."""
        deadline = time.monotonic() + DEADLINE
        while (left := deadline - time.monotonic()) > 0:
            assert self.inbox
            self.inbox.settimeout(left)
            try:
                text = self.inbox.recv(1 << 20).decode()
            except TimeoutError:
                break
            self.said.append(text)
            if wanted(text):
                return text
        raise AssertionError(f"not heard within {DEADLINE} s; heard {self.said[-5:]}")

    def hear_line(self, line: str) -> None:
        self.hear(lambda text: line in text.splitlines())

    def hear_message(self, kind: str, **fields: object) -> dict[str, Any]:
        def wanted(text: str) -> bool:
            if not text.startswith("NODED="):
                return False
            message = json.loads(text[6:])
            return message["kind"] == kind and all(message.get(key) == value for key, value in fields.items())

        found: dict[str, Any] = json.loads(self.hear(wanted)[6:])
        return found

    def say(self, datagram: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outgoing:
            outgoing.connect(self.orders)
            outgoing.send(datagram)

    def order(self, do: object, **fields: object) -> dict[str, Any]:
        self.last_order += 1
        self.say(json.dumps({"order": self.last_order, "do": do, **fields}).encode())
        return self.hear_message("done", order=self.last_order)
