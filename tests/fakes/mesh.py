"""A mesh without a mesh: it keeps the newest table. It refuses what noded-mesh refuses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from nodeapi.v1 import mesh_pb2
from nodeapi.v1.mesh_pb2_grpc import MeshControlServicer, add_MeshControlServicer_to_server
from noded.model.mesh import Table
from noded.ports import Held, Refused, Unavailable


class FakeMesh:
    def __init__(self) -> None:
        self.table: Table | None = None
        self.told: list[int] = []
        """Number of every table, in the order they came."""
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

    async def SetTable(self, said: mesh_pb2.Table, context: Any) -> mesh_pb2.TableSet:
        if said.number < self.table.number:
            text = f"table {said.number} is older than the one held, {self.table.number}"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        self.table = said
        return mesh_pb2.TableSet(number=said.number)

    async def GetMap(self, asked: mesh_pb2.MapRequest, context: Any) -> mesh_pb2.MapReply:
        assert asked.brief
        return mesh_pb2.MapReply(table=self.table.number, generation=f"mesh.{self.starts}")

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
