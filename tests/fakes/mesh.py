"""A mesh without a mesh: it keeps the newest table. It refuses what noded-mesh refuses."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from nodeapi.v1 import mesh_pb2
from nodeapi.v1.mesh_pb2_grpc import MeshControlServicer, add_MeshControlServicer_to_server
from noded.model.mesh import Table
from noded.model.signals import Handled
from noded.ports import Held, Refused, Unavailable


class FakeMesh:
    def __init__(self) -> None:
        self.table: Table | None = None
        self.told: list[int] = []
        """Number of every table, in the order they came."""
        self.done: dict[tuple[str, str], tuple[int, int]] = {}
        """Events of a node's version at their first try, and those that failed."""
        self.is_away = False
        self._starts = 1

    async def held(self) -> Held:
        self._reach()
        return Held(f"mesh.{self._starts}", self.table.number if self.table else 0)

    async def install(self, table: Table) -> None:
        self._reach()
        if self.table is not None and table.number < self.table.number:
            raise Refused(f"table {table.number} is older than the one held, {self.table.number}")
        self.table = table
        self.told.append(table.number)

    async def handled(self, versions: Mapping[str, Collection[str]]) -> tuple[Handled, ...]:
        self._reach()
        known = self.table.parts if self.table else {}
        asked = [(node, v) for node in sorted(versions) if node in known for v in versions[node]]
        return tuple(Handled(*each, *self.done.get(each, (0, 0))) for each in asked)

    def restart(self) -> None:
        """Another process that has kept the table on disk."""
        self._starts += 1

    def _reach(self) -> None:
        if self.is_away:
            raise Unavailable("noded-mesh does not answer")


@dataclass
class FakeDesk(MeshControlServicer):  # type: ignore[misc]
    """What stands behind the control socket of noded-mesh, as far as noded itself asks it."""

    starts: int = 1
    table: mesh_pb2.Table = field(default_factory=mesh_pb2.Table)
    done: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """Events of a node's version at their first try, and those that failed."""
    damaged: list[mesh_pb2.Damaged] = field(default_factory=list)

    async def SetTable(self, said: mesh_pb2.Table, context: Any) -> mesh_pb2.TableSet:
        if said.number < self.table.number:
            text = f"table {said.number} is older than the one held, {self.table.number}"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        self.table = said
        return mesh_pb2.TableSet(number=said.number)

    async def GetMap(self, asked: mesh_pb2.MapRequest, context: Any) -> mesh_pb2.MapReply:
        assert asked.brief
        told = mesh_pb2.MapReply(table=self.table.number, generation=f"mesh.{self.starts}")
        told.damaged.extend(self.damaged if asked.damaged else ())
        for name in asked.nodes:
            if name in {consumer.node for consumer in self.table.consumers}:
                flow = told.flows.add(consumer=name)
                for (node, version), (first, failed) in self.done.items():
                    if node == name:
                        flow.versions.add(version=version, acked=99, first=first, first_failed=failed)
        return told

    @asynccontextmanager
    async def serving(self, control: Path) -> AsyncIterator[None]:
        server = grpc.aio.server()
        add_MeshControlServicer_to_server(self, server)  # type: ignore[no-untyped-call]
        server.add_insecure_port(f"unix:{control}")
        await server.start()
        try:
            yield
        finally:
            await server.stop(0)
