"""How are two meshes joined by TLS for a load? What is published at one is consumed at the other."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.load.events import Job
from tests.bench.measured import Program
from tests.bench.own_mesh import Mesh
from tests.nodemesh.peers.hosts import Authority
from tests.ports import free_ports

PEERS = """
peer_listen = "127.0.0.1:{port}"
peers = {{ {peer} = "127.0.0.1:{other}" }}
tls = {{ cert = "{tls}/host.pem", key = "{tls}/host.key", ca = "{tls}/ca.pem" }}
"""


class Joined(Mesh):
    def __init__(self, disk: Path, profiles: Path | None, name: str, more: str) -> None:
        self.host, self.more = name, more
        super().__init__(disk, profiles)


class Both(Program):
    """Two daemons that are measured as one."""

    def __init__(self, *daemons: Program) -> None:
        self._daemons = daemons

    def cpu(self) -> float:
        return sum(each.cpu() for each in self._daemons)

    def resident(self, field: str = "VmRSS") -> int:
        return max(each.resident(field) for each in self._daemons)


class TwoMeshes:
    def __init__(self, disk: Path, profiles: Path | None = None) -> None:
        port = free_ports(2)
        self._tls = Path(tempfile.mkdtemp(prefix="nm-", dir="/tmp"))
        authority = Authority(self._tls / "ca")
        made: list[Joined] = []
        self._made = made
        try:
            for name, peer, own, other in (("a", "b", port, port + 1), ("b", "a", port + 1, port)):
                tls = self._tls / name
                authority.give(tls, f"DNS:{name}")
                more = PEERS.format(port=own, peer=peer, other=other, tls=tls)
                folder = profiles / name if profiles else None
                if folder:
                    folder.mkdir(parents=True, exist_ok=True)
                made.append(Joined(disk, folder, name, more))
        except BaseException:
            self.close()
            raise
        self.here, self.there = made
        self.address = self.here.address
        self.daemon = Both(self.here.daemon, self.there.daemon)

    def admit(self, publishers: Sequence[Job], consumers: Sequence[Job]) -> None:
        self.here.admit(publishers, ())
        self.there.admit((), consumers)

    def program(self, role: str, job: Job) -> Program:
        return (self.there if role == "consume" else self.here).program(role, job)

    def await_consumers(self, consumers: Sequence[Job]) -> None:
        """Also where the events are: the other mesh asks for them by then."""
        for mesh in (self.there, self.here):
            mesh.await_consumers(consumers)

    def close(self) -> None:
        for mesh in self._made:
            mesh.close()
        shutil.rmtree(self._tls, ignore_errors=True)

    def __enter__(self) -> "TwoMeshes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
