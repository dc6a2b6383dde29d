"""A desk on a broker on fakes; how frames with traces are made."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from nodeapi.v1 import mesh_pb2
from nodemesh.adapters.table_file import table_of
from nodemesh.runtime.desk import Desk
from tests.nodemesh.runtime.mesh_room import PLACED, Room, room

AT = 1_000_000_000.0
"""When every event of mesh_room is published, in seconds."""


@dataclass
class DeskRoom:
    mesh: Room
    desk: Desk

    async def tailed(self, **asked: Any) -> list[mesh_pb2.Event]:
        """What there is now."""
        request = mesh_pb2.TailRequest(**{"since": 1.0, "stop_at_end": True, **asked})
        return [event async for event in self.desk.tail.follow(request)]

    async def shown(self, id: str) -> dict[str, mesh_pb2.Outcome]:
        event = await self.desk.show.event(mesh_pb2.ShowRequest(id=id))
        return {outcome.consumer: outcome for outcome in event.outcomes}


@asynccontextmanager
async def desk_room(**given: Any) -> AsyncIterator[DeskRoom]:
    async with room(**given) as mesh:
        yield DeskRoom(mesh, Desk(mesh.broker, mesh.broker.world, "1.7", 1 << 30, (table_of, lambda _: None)))


def answer(stream: str, first: int, cause: str, trace: bytes, count: int = 1) -> bytes:
    """Events that answer another one."""
    head = mesh_pb2.Head(
        source="/a", stream=stream, first=first, count=count, at=int(AT * 1e6), types=[PLACED]
    )
    extra = [mesh_pb2.Extra(event=n, trace=trace, span=b"s" * 8, cause=cause) for n in range(count)]
    return mesh_pb2.Frame(head=head, data=[b"{}"] * count, extra=extra).SerializeToString()
