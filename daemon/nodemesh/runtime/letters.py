"""What was set aside, and what does a person do with it: look at it, send it again, drop it?"""

import logging
from collections.abc import AsyncIterator, Sequence

from nodeapi.v1 import mesh_pb2
from nodemesh.model.cursor import Dead
from nodemesh.model.frame import BEFORE_ALL
from nodemesh.ports import NotFound, Refused
from nodemesh.runtime.broker import Broker
from nodemesh.runtime.consumer import World
from nodemesh.runtime.person import Person
from nodemesh.runtime.views import View, read_id

log = logging.getLogger("nodemesh")
PAGE = 64
"""Letters in memory at once: each has an event of up to 1 MiB."""
MOST_LISTED = 1000
LISTED = 100
MOST_SHOWN = 4096
"""Bytes of the data of each."""
MOST_IDS = 1000
Letter = tuple[Dead, bytes]


class Letters:
    def __init__(self, broker: Broker, world: World, person: Person) -> None:
        self._broker, self._index, self._log = broker, world.index, world.log
        self._person = person

    async def listed(self, asked: mesh_pb2.DeadRequest) -> mesh_pb2.DeadReply:
        """Of one node, or of all. Raises Refused, Unavailable."""
        counts = await self._index.count_dead()
        most = min(asked.limit or LISTED, MOST_LISTED)
        reply = mesh_pb2.DeadReply()
        for node in [asked.node] if asked.node else sorted(counts):
            reply.count += counts.get(node, 0)
            async for page in self._pages(node, asked.ids):
                reply.dead.extend(_told(dead, frame) for dead, frame in page[: most - len(reply.dead)])
                if len(reply.dead) >= most:
                    break
        return reply

    async def requeue(self, asked: mesh_pb2.DeadRequest) -> mesh_pb2.DeadReply:
        """Each is on disk again before its letter goes: a sudden end sends it twice, never not at all."""
        self._check_node(asked)
        consumer = self._broker.wanted.get(asked.node)
        if consumer is None:
            raise Refused(f"{asked.node} consumes nothing here any more: nodectl map")
        done = 0
        async for page in self._pages(asked.node, asked.ids):
            known = []
            for _, frame in page:
                type = View(0, frame).type(0)
                if type not in consumer.types:
                    raise Refused(
                        f"{View(0, frame).id(0)} is of type {type}, which {asked.node} does not consume any"
                        f" more; {done} were sent again before; drop it, or add [[consumes]] to its node.toml"
                    )
                known.append(self._person.again(frame, asked.node))
            await self._broker.commit.keep_all(known)
            await self._index.drop_dead([dead for dead, _ in page])
            done += len(page)
        return self._done(asked, done, "sent again")

    async def drop(self, asked: mesh_pb2.DeadRequest) -> mesh_pb2.DeadReply:
        self._check_node(asked)
        done = 0
        async for page in self._pages(asked.node, asked.ids):
            await self._index.drop_dead([dead for dead, _ in page])
            done += len(page)
        return self._done(asked, done, "dropped")

    async def _pages(self, node: str, ids: Sequence[str]) -> AsyncIterator[list[Letter]]:
        """Those that were set aside by now; of them these, if any are named."""
        if len(ids) > MOST_IDS:
            raise Refused(f"ids: expected at most {MOST_IDS}, found {len(ids)}")
        wanted = {read_id(id) for id in ids}
        newest, after = self._log.span.newest, BEFORE_ALL
        while True:
            page = [each for each in await self._index.dead(node, PAGE, after)]
            if not page:
                return
            after = page[-1][0].address
            # What is set aside once more while this goes on is for the next time.
            chosen = [
                (dead, frame)
                for dead, frame in page
                if dead.address.position <= newest and (not wanted or _named(frame) in wanted)
            ]
            if chosen:
                yield chosen

    def _check_node(self, asked: mesh_pb2.DeadRequest) -> None:
        if not asked.node:
            raise Refused("node: expected one: nodectl events dead list")

    def _done(self, asked: mesh_pb2.DeadRequest, done: int, what: str) -> mesh_pb2.DeadReply:
        if asked.ids and not done:
            raise NotFound(f"{asked.node} has no such dead letter: nodectl events dead list {asked.node}")
        log.info("a person had %d dead letters of %s %s", done, asked.node, what)
        return mesh_pb2.DeadReply(count=done)


def _named(frame: bytes) -> tuple[str, int]:
    head = View(0, frame).frame.head
    return head.stream, head.first


def _told(dead: Dead, frame: bytes) -> mesh_pb2.DeadEvent:
    address = dead.address
    return mesh_pb2.DeadEvent(
        node=dead.node,
        event=View(address.position, frame).event(0, MOST_SHOWN, address.place),
        attempts=dead.attempts,
        reason=dead.reason,
        at=dead.at,
        version=dead.version,
    )
