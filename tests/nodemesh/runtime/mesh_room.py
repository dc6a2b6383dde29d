"""A broker on fakes, with who speaks to it: `a` publishes, `b` and `c` consume."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from zlib import crc32

from nodeapi.v1 import mesh_pb2
from nodemesh.adapters import frames
from nodemesh.adapters.clock import BootClock
from nodemesh.model.table import Consumer, Contract, Member, Table
from nodemesh.runtime.broker import Broker
from nodemesh.runtime.consumer import World
from nodemesh.runtime.publisher import Publisher
from nodemesh.runtime.session import Session
from tests.fakes.mesh_index import FakeIndex
from tests.fakes.mesh_log import FakeLog

UID = os.getuid()
PLACED, PAID = "shop.placed", "shop.paid"


def table(number: int = 1, **changes: object) -> Table:
    made = Table(
        number=number,
        members={
            name: Member(name, name.partition(".")[0], "1", UID)
            for name in ("a.1", "a.2", "b.1", "b.2", "c.1")
        },
        consumers={
            "b": Consumer("b", {PLACED: False}, "1"),
            "c": Consumer("c", {PLACED: True, PAID: False}, "1"),
        },
        contracts={(type, "a"): Contract(type, "a", "1") for type in (PLACED, PAID)},
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names of its fields


@dataclass
class Room:
    broker: Broker
    log: FakeLog
    index: FakeIndex

    async def publisher(self, stream: str = "s", instance: str = "a.1", checked: bool = False) -> "Speaker":
        head = mesh_pb2.Head(stream=stream, instance=instance, checked=checked)
        made = await self.broker.publisher(UID, mesh_pb2.Frame(head=head).SerializeToString())
        return Speaker(made, stream)

    async def session(self, instance: str = "b.1", granted: int = 1000, **more: object) -> Session:
        types = self.broker.table.consumers[instance.partition(".")[0]].types
        wishes = [mesh_pb2.Wish(type=type, attempts=2, timeout=30) for type in types]
        asked = mesh_pb2.Subscribe(instance=instance, granted=granted, wishes=wishes, **more)  # type: ignore[arg-type]  # fields by name
        return await self.broker.session(UID, asked)


@dataclass
class Speaker:
    publisher: Publisher
    stream: str
    sent: int = 0

    async def say(self, *data: bytes, type: str = PLACED, subjects: Sequence[str] = ()) -> None:
        frame = made(self.stream, self.sent + 1, data, type, subjects)
        self.sent += len(data)
        await self.publisher.feed(frame)

    async def until(self, through: int, within: float = 5.0) -> list[mesh_pb2.Published]:
        heard = []
        async with asyncio.timeout(within):
            while not heard or heard[-1].through < through:
                heard.append(mesh_pb2.Published.FromString(await self.publisher.take()))
        return heard


def made(stream: str, first: int, data: Sequence[bytes], type: str, subjects: Sequence[str] = ()) -> bytes:
    head = mesh_pb2.Head(
        source="/a", stream=stream, first=first, count=len(data), at=10**15, types=[type], version="1"
    )
    columns = mesh_pb2.Columns(subject=subjects, key=[crc32(s.encode()) for s in subjects])
    return mesh_pb2.Frame(head=head, columns=columns, data=data).SerializeToString()


@asynccontextmanager
async def room(
    first: Table | None = None,
    log: FakeLog | None = None,
    index: FakeIndex | None = None,
    limit: int = 1 << 30,
) -> AsyncIterator[Room]:
    log, index = log or FakeLog(), index or FakeIndex()
    world = World(log, index, frames, BootClock())
    broker = Broker(world, first or table(), dict(await index.cursors()), 7, (limit, 86_400.0))
    task = asyncio.get_running_loop().create_task(broker.run())
    try:
        yield Room(broker, log, index)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def taken(session: Session) -> mesh_pb2.Frame:
    async with asyncio.timeout(5):
        return mesh_pb2.Frame.FromString(await session.take())


async def nothing(session: Session) -> bool:
    try:
        async with asyncio.timeout(0.1):
            await session.take()
    except TimeoutError:
        return True
    return False
