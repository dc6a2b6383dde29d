"""A launcher under test: its own process, its own folders, its own control groups, and a client."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[2] / "daemon/launcher"
DEADLINE = 20.0
STEP = 0.01
NOBODY = 65534
# The tests' own interpreter may lie where other users cannot go.
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else os.path.realpath(sys.executable)
is_root = os.geteuid() == 0
needs_root = pytest.mark.skipif(not is_root, reason="needs root")
Reply = dict[str, Any]


def host_kind() -> str:
    """Which control groups the tests may make here: "v2", "hybrid" or "none"."""
    top = Path("/sys/fs/cgroup")
    if not is_root or not os.access(top, os.W_OK):
        return "none"
    if (top / "cgroup.controllers").exists():
        offered = set((top / "cgroup.controllers").read_text().split())
        return "v2" if {"memory", "cpu", "pids"} <= offered else "none"
    roots = [top / name for name in ("memory", "cpu", "pids", "unified")]
    return "hybrid" if all(root.is_dir() and os.access(root, os.W_OK) for root in roots) else "none"


KIND = host_kind()
MODES = {"v2": ("v2", "none"), "hybrid": ("hybrid", "v1", "none"), "none": ("none",)}[KIND]
needs_limits = pytest.mark.skipif(KIND == "none", reason="needs cgroups that may be written")


def holds_only(pid: int, *wanted: str) -> None:
    """Of descriptors. A program's own loader opens files while it begins; what leaked would stay."""
    until(lambda: sorted(os.listdir(f"/proc/{pid}/fd")) == [*wanted], f"pid {pid} to hold {wanted} alone")


def until(condition: Callable[[], Any], what: str) -> Any:
    """Waits for a true answer and gives it back."""
    deadline = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(STEP)
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


class Client:
    """One connection. Replies are matched by id, events are kept."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(path)
        self.events: list[Reply] = []
        self._replies: dict[int | None, Reply] = {}
        self._rest = b""
        self._number = 0

    def send(self, op: str, **content: Any) -> int:
        self._number += 1
        self.socket.sendall(json.dumps({"id": self._number, "op": op, **content}).encode() + b"\n")
        return self._number

    def reply(self, number: int | None) -> Reply:
        while number not in self._replies:
            self._take(self.line())
        return self._replies.pop(number)

    def line(self) -> Reply:
        while b"\n" not in self._rest:
            news = self.socket.recv(1 << 20)
            if not news:
                raise EOFError(self._rest)
            self._rest += news
        line, _, self._rest = self._rest.partition(b"\n")
        message: Reply = json.loads(line)
        return message

    def _take(self, message: Reply) -> None:
        if "event" in message:
            self.events.append(message)
        else:
            self._replies[message["id"]] = message

    def ask(self, op: str, **content: Any) -> Reply:
        return self.reply(self.send(op, **content))

    def do(self, op: str, **content: Any) -> Reply:
        """The result of an order that has to succeed."""
        reply = self.ask(op, **content)
        assert reply["ok"], reply
        result: Reply = reply["result"]
        return result

    def refused(self, op: str, **content: Any) -> tuple[str, str]:
        """Kind and text of the error of an order that has to fail."""
        reply = self.ask(op, **content)
        assert not reply["ok"], reply
        return reply["kind"], reply["error"]

    def exited(self, instance: str) -> Reply:
        while True:
            for event in self.events:
                if event["instance"] == instance:
                    self.events.remove(event)
                    return event
            self._take(self.line())

    def close(self) -> None:
        self.socket.close()


class Lab:
    """Folders and settings of one launcher, which may be started several times."""

    def __init__(self, cgroups: str = "auto", uid: int | None = None, **settings: Any) -> None:
        self.home = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
        self.home.chmod(0o755)
        self.uid = uid
        self.subtree = f"noded-t-{self.home.name}"
        self.socket = str(self.home / "l.sock")
        self.settings: dict[str, Any] = {
            "socket": self.socket,
            "run": str(self.home / "i"),
            "logs": str(self.home / "logs"),
            "data": str(self.home / "data"),
            "dynamic": [64200, 64999],
            "cgroup": self.subtree,
            "cgroups": cgroups,
            **settings,
        }
        self.command = [sys.executable, "-m", "launcher"]
        self.environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []
        if uid is not None:
            self._for_another_user(uid)

    def _for_another_user(self, uid: int) -> None:
        # The checkout and its Python may be closed to that user: it gets a copy and the system's Python.
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, self.home / "lib/launcher", ignore=ignore)
        self.environment["PYTHONPATH"] = str(self.home / "lib")
        os.chown(self.home, uid, uid)
        switch = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        self.command = [*switch, PYTHON, "-B", "-m", "launcher"]

    def start(self, **more: Any) -> "Lab":
        config = self.home / "launcher.toml"
        config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in self.settings.items()))
        with (self.home / "launcher.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=self.environment,
                **more,
            )
        until(self.answers, "the launcher to listen")
        return self

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            Client(self.socket).close()
        except OSError:
            return False
        return True

    @property
    def log(self) -> str:
        return (self.home / "launcher.log").read_text()

    def client(self) -> Client:
        client = Client(self.socket)
        self._clients.append(client)
        return client

    def order(self, instance: str, *argv: str, **more: Any) -> Reply:
        """The fields of a start order for a program in its plainest form."""
        order = {"instance": instance, "node": instance.rpartition(".")[0], "argv": list(argv), "cwd": "/"}
        return {**order, "env": {"PATH": "/usr/local/bin:/usr/bin:/bin"}, "user": "dynamic", **more}

    def output(self, instance: str) -> str:
        path = self.home / "logs" / instance.rpartition(".")[0] / f"{instance}.log"
        return path.read_text() if path.exists() else ""

    def end(self, by: str = "kill") -> int:
        assert self.process is not None
        getattr(self.process, by)()
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        """Nothing stays: neither processes nor groups nor files."""
        for client in self._clients:
            client.close()
        try:
            if self.process is not None and self.process.poll() is None:
                self.end()
            if self.process is not None:
                self._kill_nodes()
            for root in self.groups():
                until(partial(_removed, root), f"{root} to go")
        finally:
            shutil.rmtree(self.home)

    def _kill_nodes(self) -> None:
        """Through a launcher of its own, which finds whatever the last one left."""
        self.start()
        client = Client(self.socket)
        for found in client.do("list")["instances"]:
            client.do("kill", instance=found["instance"], timeout=DEADLINE)
            client.do("remove", instance=found["instance"])
        client.close()
        self.end()

    def groups(self) -> list[Path]:
        places = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/")]
        return [place / self.subtree for place in places if (place / self.subtree).is_dir()]


def _removed(root: Path) -> bool:
    for folder in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
        try:
            folder.rmdir()
        except OSError:
            return False
    try:
        root.rmdir()
    except OSError:
        return not root.exists()
    return True


def lab(**settings: Any) -> Iterator[Lab]:
    made = Lab(**settings)
    try:
        yield made.start()
    finally:
        made.close()
