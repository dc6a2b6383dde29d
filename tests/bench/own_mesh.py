"""How is noded-mesh started for a load, and told by a table who speaks and who listens? As noded tells it."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc

from nodeapi.v1 import mesh_pb2, mesh_pb2_grpc
from tests.bench.brokers import Broker
from tests.bench.load.events import SCHEMA, Job
from tests.bench.measured import Program, module
from tests.e2e.ground import ROOT, connects, wait_for

CONF = """
[host]
name = "{host}"

[mesh]
socket = "{sockets}/mesh.sock"
state = "{state}"
listen = "off"
"""
VERSION = "1.0.0"


class Mesh(Broker):
    load = "tests.bench.load.through_mesh"
    host = "bench"
    more = ""
    """Keys of [mesh]."""

    def _begin(self) -> Program:
        self._tables = 0
        self._control = self.sockets / "control.sock"
        self.address = f"unix:{self.sockets}/mesh.sock"
        conf = self.state / "noded.toml"
        said = CONF.format(host=self.host, sockets=self.sockets, state=self.state / "state")
        conf.write_text(said + self.more)
        profile = self.profiles / "mesh.prof" if self.profiles else None
        argv = module("nodemesh", "--config", str(conf), profile=profile)
        env = {**os.environ, "PYTHONPATH": f"{ROOT}/daemon:{ROOT}/proto:{ROOT}/nodes"}
        return Program(argv, self.state, env, self.state / "mesh.err")

    def _is_up(self) -> bool:
        return all(map(connects, (self.sockets / "mesh.sock", self._control)))

    def admit(self, publishers: Sequence[Job], consumers: Sequence[Job]) -> None:
        self._tables += 1
        table = mesh_pb2.Table(number=self._tables, host=self.host)
        for job in (*publishers, *consumers):
            table.members.add(instance=f"{job.name}.1", node=job.name, version=VERSION, uid=os.getuid())
        for job in consumers:
            consumed = [mesh_pb2.Consumed(type=kind) for _, kind in job.flows]
            table.consumers.add(node=job.name, consumed=consumed, stable=VERSION)
        for job in publishers:
            self._lay(job)
            for _, kind in job.flows:
                table.contracts.add(type=kind, node=job.name, version=VERSION, **_contract(job))
        with grpc.insecure_channel(f"unix:{self._control}") as channel:
            mesh_pb2_grpc.MeshControlStub(channel).SetTable(table, timeout=10)

    def _lay(self, job: Job) -> None:
        """The manifest and contract that nodekit reads where the node runs."""
        folder = self.folder(job)
        (folder / "contract.json").write_text(json.dumps(SCHEMA))
        of = '\nschema = "contract.json"' if job.format == "json" else '\ncheck = "off"'
        lines = [f'[[publishes]]\ntype = "{kind}"{of}\n' for _, kind in job.flows]
        (folder / "node.toml").write_text(f'[node]\nname = "{job.name}"\n' + "\n".join(lines))

    def folder(self, job: Job) -> Path:
        folder = self.state / "releases" / job.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def environment(self, job: Job) -> Mapping[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT}/nodes",
            "NODED_NODE": job.name,
            "NODED_INSTANCE": f"{job.name}.1",
            "NODED_VERSION": VERSION,
            "NODED_MESH": self.address,
        }

    def await_consumers(self, consumers: Sequence[Job]) -> None:
        names = {job.name for job in consumers}
        with grpc.insecure_channel(f"unix:{self._control}") as channel:
            control = mesh_pb2_grpc.MeshControlStub(channel)

            def all_listen() -> bool:
                flows = control.GetMap(mesh_pb2.MapRequest(), timeout=10).flows
                return names <= {flow.consumer for flow in flows if flow.sessions}

            wait_for(all_listen, "every consumer's session", step=0.02)


def _contract(job: Job) -> dict[str, object]:
    if job.format == "json":
        return {"schema": json.dumps(SCHEMA), "mode": mesh_pb2.Contract.REJECT}
    return {"mode": mesh_pb2.Contract.OFF}
