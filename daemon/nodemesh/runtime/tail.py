"""What is being published, for people who look on?

Who looks on reads the log at its own pace: nothing is held in memory for one that is slow. What it has not
read when the log gives it up is missing, which ends its stream with words.
"""

import asyncio
from collections.abc import AsyncIterator

from nodeapi.v1 import mesh_pb2
from nodemesh.model.frame import Stored
from nodemesh.ports import Refused
from nodemesh.runtime.broker import Broker
from nodemesh.runtime.consumer import World
from nodemesh.runtime.views import View, first_since

MOST = 16
"""Who may look on at once."""
RATE = 5000
"""Events per second for all who look on together: some third of the time that nodes need too."""
READ = 256 * 1024
"""Bytes read from the log at once."""
MOST_TYPES = 100


class Tail:
    def __init__(self, broker: Broker, world: World) -> None:
        self._broker, self._log = broker, world.log
        self._there = 0

    async def follow(self, asked: mesh_pb2.TailRequest) -> AsyncIterator[mesh_pb2.Event]:
        """Raises Refused, Unavailable."""
        if len(asked.types) > MOST_TYPES:
            raise Refused(f"types: expected at most {MOST_TYPES}, found {len(asked.types)}")
        if self._there >= MOST:
            raise Refused(f"{self._there} are looking on already, more would slow down the nodes; try later")
        stir = asyncio.Event()
        unwatch = self._broker.watch(lambda _: stir.set())
        self._there += 1
        try:
            left = asked.limit or 1 << 62
            async for stored in self._frames(asked, stir):
                events = _wanted(stored, asked)
                for event in events:
                    yield event
                    left -= 1
                    if not left:
                        return
                await asyncio.sleep(len(events) * self._there / RATE)
        finally:
            self._there -= 1
            unwatch()

    async def _frames(self, asked: mesh_pb2.TailRequest, stir: asyncio.Event) -> AsyncIterator[Stored]:
        end = self._log.span.newest if asked.stop_at_end else 1 << 62
        start, types = await self._start(asked), frozenset(asked.types)
        while True:
            stir.clear()
            if start <= self._log.span.newest:
                self._check(start)
                found, start = await self._log.read(start, types, READ)
                for stored in found:
                    if stored.position > end:
                        return
                    if not stored.to:
                        yield stored
                continue
            if start > end or asked.stop_at_end:
                return
            await stir.wait()

    async def _start(self, asked: mesh_pb2.TailRequest) -> int:
        if asked.after:
            return asked.after + 1
        if asked.since > 0:
            return await first_since(self._log, asked.since)
        return self._log.span.newest + 1

    def _check(self, start: int) -> None:
        oldest = self._log.span.oldest
        if start < oldest:
            text = f"{oldest - start} frames of events were given up by the log before you read them"
            raise Refused(f"{text}; narrow it by type, or begin later: nodectl events tail --since 1m")


def _wanted(stored: Stored, asked: mesh_pb2.TailRequest) -> list[mesh_pb2.Event]:
    """Of one frame: bounded, as its data is."""
    head = stored.head
    if asked.source and head.source.removeprefix("/") != asked.source.removeprefix("/"):
        return []
    view = View.of(stored)
    return [
        view.event(place)
        for place in view.places
        if (not asked.types or view.type(place) in asked.types)
        and (not asked.subject or view.subject(place) == asked.subject)
        and (asked.since <= 0 or view.time(place) >= asked.since)
    ]
