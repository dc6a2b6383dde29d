"""How do many nodes come onto one host, and what does noded use for them?

One gRPC client in this process: a `nodectl` for each of 500 nodes would cost more than what is measured.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client
from nodectl.failures import Failure
from nodectl.session import Session
from nodespec.release import pack
from tests.e2e.host import Host
from tests.e2e.programs import lay

IDLE = "from nodekit import Node\n\nNode().main()\n"
AT_ONCE = 12
"""Nodes that may be starting at the same time: more would pass their start timeout on a small machine."""
CHUNK = 64 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


class Fleet:
    def __init__(self, host: Host) -> None:
        self.host = host
        self.names: list[str] = []
        self._client = Client(Session(socket=str(host.control)))

    def close(self) -> None:
        self._client.__exit__(None, None, None)

    def grow(self, count: int, timeout: float = 600.0) -> None:
        """Idle nodes are added until there are `count`, and all are ready."""
        until = time.monotonic() + timeout
        while len(self.names) < count:
            name = f"idle{len(self.names)}"
            self.apply(lay(self.host, name, program=IDLE, head='user = "dynamic"'))
            self.names.append(name)
            if len(self.names) % AT_ONCE == 0:
                self.await_ready(until - time.monotonic())
        self.await_ready(until - time.monotonic())

    def apply(self, folder: Path) -> None:
        packed = pack(folder)

        def parts() -> Iterator[pb.ApplyRequest]:
            yield pb.ApplyRequest(header=pb.ApplyHeader(size=len(packed.blob)))
            for start in range(0, len(packed.blob), CHUNK):
                yield pb.ApplyRequest(chunk=packed.blob[start : start + CHUNK])

        self._client.ask(f"apply {packed.spec.name}", self._client.stub.Apply, parts(), within=60.0)

    def await_ready(self, timeout: float) -> None:
        until = time.monotonic() + timeout
        while (ready := self.ready()) < len(self.names):
            if time.monotonic() > until:
                raise TimeoutError(f"{ready} of {len(self.names)} nodes were ready after {timeout:.0f} s")
            time.sleep(0.2)

    def ready(self) -> int:
        """Nodes that run by noded's word; 0 while it does not answer."""
        try:
            answer = self._client.status("look at the nodes")
        except Failure:
            return 0
        return sum(1 for node in answer.nodes if node.condition == "running")

    def whole(self, name: str, instances: int) -> bool:
        """Every instance that is wanted is ready, and none is starting or leaving."""
        for node in self._client.status("look at a node", name).nodes:
            if node.name == name:
                phases = [one.phase for one in node.instances]
                return len(phases) >= instances and set(phases) == {"ready"}
        return False

    def pids(self) -> frozenset[int]:
        nodes = self._client.status("look at the nodes").nodes
        return frozenset(one.pid for node in nodes for one in node.instances)


def cpu_seconds(pid: int) -> float:
    """User and kernel time of all threads so far, fields 14 and 15 of /proc/PID/stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def watched_processes(pid: int) -> int:
    """Pidfds a process holds: one for each instance whose end it waits for."""
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += os.readlink(entry) == "anon_inode:[pidfd]"
        except OSError:
            continue
    return found
