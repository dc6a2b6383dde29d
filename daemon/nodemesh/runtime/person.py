"""What may a person put into the log: an event of their own, or events of before once more?"""

import difflib
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from zlib import crc32

from nodeapi.v1 import mesh_pb2
from nodemesh.model.frame import LONGEST_EVENT, Stored
from nodemesh.model.table import Consumer, Judging
from nodemesh.ports import NotFound, Refused, Unavailable
from nodemesh.runtime.broker import Broker
from nodemesh.runtime.consumer import World
from nodemesh.runtime.views import View, find, first_since, runs

log = logging.getLogger("nodemesh")
SOURCE = "/nodectl"
STEP = 1024 * 1024
"""Bytes that are read, and then written, before the next are: nodes publish in between."""


class Person:
    def __init__(self, broker: Broker, world: World) -> None:
        self._broker, self._world = broker, world
        self._stream = f"nodectl-{broker.generation}"
        self._sequence = world.log.streams.get(self._stream, 0)

    async def send(self, asked: mesh_pb2.SendRequest) -> mesh_pb2.SendReply:
        """Returns when it is on disk. Raises Refused, Unavailable."""
        self._check_type(asked.type)
        if len(asked.data) > LONGEST_EVENT:
            raise Refused(f"data: expected at most {LONGEST_EVENT} bytes, found {len(asked.data)}")
        self._judge(asked)
        sequence = self._sequence + 1
        data = self._frame(asked, sequence)
        head, columns = self._world.codec.read(data)
        self._sequence = sequence
        await self._broker.commit.keep(Stored(0, head, data, columns))
        log.info("a person published %s.%d of type %s", self._stream, sequence, asked.type)
        return mesh_pb2.SendReply(id=f"{self._stream}.{sequence}")

    async def replay(self, asked: mesh_pb2.ReplayRequest) -> mesh_pb2.ReplayReply:
        """In the order of the log. Raises Refused, NotFound; Unavailable, which tells how many were sent."""
        consumer = self._broker.wanted.get(asked.node)
        if consumer is None or asked.node not in self._broker.consumers:
            raise NotFound(f"{asked.node or 'nobody'} consumes nothing here: nodectl map")
        types = _types(asked, consumer)
        if asked.id:
            return mesh_pb2.ReplayReply(events=await self._replay_one(asked.id, asked.node, types))
        if not math.isfinite(asked.since) or asked.since <= 0:
            raise Refused("since: expected a moment, in seconds since the epoch, or an id")
        return mesh_pb2.ReplayReply(events=await self._replay_all(asked, types))

    async def _replay_one(self, id: str, node: str, types: frozenset[str]) -> int:
        view, address = await find(self._world.log, id)
        type = view.type(address.place)
        if type not in types:
            raise Refused(f"{id} is of type {type}, which {node} does not consume")
        data = self._world.codec.piece(view.frame.SerializeToString(), address.place, address.place + 1)
        await self._broker.commit.keep(self.again(data, node))
        return 1

    async def _replay_all(self, asked: mesh_pb2.ReplayRequest, types: frozenset[str]) -> int:
        logged, sent = self._world.log, 0
        # What is appended from now on, our own copies too, is not sent again.
        end = logged.span.newest
        start = await first_since(logged, asked.since)
        while start <= end:
            found, start = await logged.read(start, types, STEP)
            frames = [
                made
                for stored in found
                if stored.position <= end and not stored.to
                for made in self._copies(stored, asked, types)
            ]
            try:
                await self._broker.commit.keep_all(frames)
            except Unavailable as error:
                raise Unavailable(f"{error}; {sent} events were sent again before") from error
            sent += sum(frame.head.count for frame in frames)
        log.info("a person sent %d events again to %s", sent, asked.node)
        return sent

    def _copies(
        self, stored: Stored, asked: mesh_pb2.ReplayRequest, types: frozenset[str]
    ) -> Iterator[Stored]:
        view, until = View.of(stored), asked.until or math.inf
        places = [
            place
            for place in view.places
            if view.type(place) in types and asked.since <= view.time(place) < until
        ]
        if len(places) == stored.head.count:
            yield replace(stored, position=0, to=asked.node)
            return
        for start, stop in runs(places):
            yield self.again(self._world.codec.piece(stored.data, start, stop), asked.node)

    def again(self, data: bytes, node: str) -> Stored:
        head, columns = self._world.codec.read(data)
        return Stored(0, head, data, columns, node)

    def _check_type(self, type: str) -> None:
        table = self._broker.table
        known = {type for type, _ in table.contracts}
        known.update(*(consumer.types for consumer in self._broker.wanted.values()))
        if type not in known:
            near = difflib.get_close_matches(type, known, 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ": nodectl map"
            raise Refused(f"nobody publishes or consumes {type[:100]!r}{hint}")

    def _judge(self, asked: mesh_pb2.SendRequest) -> None:
        for (type, node), contract in self._broker.table.contracts.items():
            if type != asked.type or not contract.schema or contract.judging is Judging.OFF:
                continue
            judge = self._broker.judge(contract)
            wrong = judge(asked.data, asked.content) if judge is not None else ""
            if wrong and contract.judging is Judging.REJECT:
                raise Refused(f"data: it breaks the contract of {type} in {node} {contract.version}: {wrong}")
            if wrong:
                log.warning("a person's event breaks the contract of %s: %s", type, wrong)

    def _frame(self, asked: mesh_pb2.SendRequest, sequence: int) -> bytes:
        frame = mesh_pb2.Frame(
            head=mesh_pb2.Head(
                source=SOURCE,
                stream=self._stream,
                first=sequence,
                count=1,
                at=int(self._world.clock.wall() * 1e6),
                types=[asked.type],
                content=asked.content,
            ),
            data=[asked.data],
        )
        if asked.subject:
            frame.columns.subject.append(asked.subject)
            frame.columns.key.append(crc32(asked.subject.encode()))
        if asked.attributes:
            frame.extra.add(event=0, attributes=asked.attributes)
        return frame.SerializeToString()


def _types(asked: mesh_pb2.ReplayRequest, consumer: Consumer) -> frozenset[str]:
    for type in asked.types:
        if type not in consumer.types:
            text = f"types: {asked.node} does not consume {type[:100]!r}"
            raise Refused(f"{text}, but {', '.join(sorted(consumer.types))}")
    return frozenset(asked.types or consumer.types)
