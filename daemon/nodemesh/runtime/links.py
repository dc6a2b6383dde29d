"""How do events of other hosts' meshes come to the nodes here that consume them?

Each mesh is asked for what was published there, by one stream for every consuming node that has an instance
connected here. What comes is never given on to a third: events go one hop.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from nodeapi.v1 import mesh_pb2
from nodemesh.model.table import Table
from nodemesh.ports import Carrying, Clock, Codec, Peer, Refused, Unavailable
from nodemesh.runtime.fleet import announcement
from nodemesh.runtime.inbound import Inbound, wishes
from nodemesh.runtime.joint import Joint
from nodemesh.runtime.session import Session

log = logging.getLogger("nodemesh")
BEAT = 1.0
"""Seconds between two words to another mesh, if there is nothing to say."""
DEAF = 4.0
"""Seconds without a word from it, after which it is gone."""
PAUSES = (0.1, 0.2, 0.5, 1.0)
"""Seconds until a stream is begun again, from try to try."""
COALESCE = 0.001
"""Seconds for which settlements are gathered."""
DRAIN = 5.0
"""Seconds for what is in hand, before a stream is begun anew with other certificates."""


@dataclass(frozen=True, slots=True)
class Here:
    host: str
    codec: Codec
    clock: Clock


class Links:
    def __init__(self, here: Here, peers: Sequence[Peer], table: Table) -> None:
        self._joints: dict[str, list[Joint]] = {}
        self.links = [Link(here, peer, self, table) for peer in peers]
        self._clock = here.clock

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for link in self.links:
                group.create_task(link.run())

    def route(self, table: Table) -> None:
        for link in self.links:
            link.route(table)

    def joined(self, node: str, session: Session) -> Joint:
        joint = Joint(session, self._clock, lambda joint: self._leave(node, joint))
        self._joints.setdefault(node, []).append(joint)
        for link in self.links:
            link.joined(node, joint)
        return joint

    def joints(self, node: str) -> Sequence[Joint]:
        return [joint for joint in self._joints.get(node, ()) if not joint.own.over]

    def states(self) -> list[mesh_pb2.PeerState]:
        return [link.state() for link in self.links]

    def _leave(self, node: str, joint: Joint) -> None:
        with suppress(ValueError):
            self._joints.get(node, []).remove(joint)
        for link in self.links:
            link.stir()


class Link:
    """To one mesh."""

    def __init__(self, here: Here, peer: Peer, links: Links, table: Table) -> None:
        self._here, self._peer, self._links, self._table = here, peer, links, table
        self._up, self._stir = asyncio.Event(), asyncio.Event()
        self._problem = "not asked yet"
        self._problems: dict[str, str] = {}
        """Of streams that the other mesh refuses, by node."""
        self._received = 0
        self._inbounds: dict[str, Inbound] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._announce()
                    self._follow(group)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(BEAT):
                            await self._stir.wait()
                    self._stir.clear()
        finally:
            await self._peer.close()

    def route(self, table: Table) -> None:
        self._table = table
        self._stir.set()
        for node, inbound in self._inbounds.items():
            consumer = table.consumers.get(node)
            if consumer is None or consumer.ordered != inbound.delivery.consumer.ordered:
                inbound.draining = True
            else:
                inbound.route(consumer)

    def joined(self, node: str, joint: Joint) -> None:
        if node in self._inbounds:
            joint.add(self._inbounds[node])
        self._stir.set()

    def stir(self) -> None:
        for inbound in self._inbounds.values():
            inbound.stir.set()

    def state(self) -> mesh_pb2.PeerState:
        inside = sum(inbound.received for inbound in self._inbounds.values())
        problem = self._problem or "; ".join(f"{n}: {why}" for n, why in sorted(self._problems.items()))
        return mesh_pb2.PeerState(
            name=self._peer.name,
            address=self._peer.address,
            connected=self._up.is_set(),
            received=self._received + inside,
            problem=problem,
        )

    async def _announce(self) -> None:
        said = announcement(self._here.host, self._table.consumers, self._table.gone)
        try:
            async with asyncio.timeout(DEAF):
                await self._peer.announce(said)
        except (Refused, Unavailable, TimeoutError) as error:
            self._fell(str(error) or f"did not answer in {DEAF:g} s")
        else:
            if not self._up.is_set():
                log.info("peer %s at %s is there", self._peer.name, self._peer.address)
            self._problem = ""
            self._up.set()

    def _fell(self, problem: str) -> None:
        if self._up.is_set() or self._problem != problem:
            log.warning("peer %s at %s: %s", self._peer.name, self._peer.address, problem)
        self._problem = problem
        self._up.clear()

    def _follow(self, group: asyncio.TaskGroup) -> None:
        for node in self._table.consumers:
            if node not in self._tasks and self._links.joints(node):
                self._tasks[node] = group.create_task(self._carry(node))
        for node, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[node]

    async def _carry(self, node: str) -> None:
        """While the node has an instance connected."""
        tries = 0
        while node in self._table.consumers and self._links.joints(node):
            await self._up.wait()
            began = self._here.clock.now()
            try:
                await self._stream(node)
                self._problems.pop(node, None)
            except* (Refused, Unavailable) as group:
                self._problems[node] = str(group.exceptions[0])
            tries = 0 if self._here.clock.now() - began > DEAF else tries + 1
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
        self._problems.pop(node, None)

    async def _stream(self, node: str) -> None:
        consumer, life = self._table.consumers[node], self._peer.lives
        inbound = Inbound(consumer, self._peer.name, self._here.codec, self._here.clock)
        joints = self._links.joints(node)
        wished = self._wished(node)
        carrying = self._peer.carry()
        self._inbounds[node] = inbound
        try:
            for joint in joints:
                joint.add(inbound)
            asked = mesh_pb2.Subscribe(
                instance=f"peer:{self._here.host}",
                node=node,
                wishes=wishes([joint.own for joint in joints], consumer),
            )
            await _said(carrying, mesh_pb2.ConsumeRequest(subscribe=asked))
            async with asyncio.TaskGroup() as group:
                heard = group.create_task(self._hear(node, inbound, carrying))
                await self._tell(node, inbound, carrying, (life, wished))
                await asyncio.wait([heard], timeout=DEAF)
                heard.cancel()
        finally:
            del self._inbounds[node]
            self._received += inbound.received
            inbound.end()
            carrying.close()

    async def _hear(self, node: str, inbound: Inbound, carrying: Carrying) -> None:
        while True:
            try:
                async with asyncio.timeout(DEAF):
                    data = await carrying.hear()
            except TimeoutError:
                raise Unavailable(f"nothing was heard for {DEAF:g} s") from None
            if data is None:
                return
            self._problems.pop(node, None)
            inbound.take_in(data)

    def _wished(self, node: str) -> frozenset[str]:
        """Types that somebody here handles."""
        consumer = self._table.consumers.get(node)
        types = consumer.types if consumer is not None else ()
        asked = [joint.own.hands.wishes for joint in self._links.joints(node)]
        return frozenset(type for type in types if any(type in wishes or not wishes for wishes in asked))

    async def _tell(
        self, node: str, inbound: Inbound, carrying: Carrying, begun: tuple[int, frozenset[str]]
    ) -> None:
        """Until nobody here consumes any more, or the stream is to be begun anew. `begun`: with which
        certificates, and for which types."""
        clock = self._here.clock
        beat, drained = clock.now(), float("inf")
        while True:
            soonest = min(inbound.tick(), beat + BEAT)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, soonest - clock.now())):
                    await inbound.stir.wait()
            await asyncio.sleep(COALESCE)
            inbound.stir.clear()
            now = self._peer.lives, self._wished(node)
            if drained == float("inf") and (inbound.draining or now != begun):
                inbound.draining = True
                drained = clock.now() + DRAIN
            if (word := inbound.word()) is not None:
                await _said(carrying, mesh_pb2.ConsumeRequest(settle=word))
            if clock.now() >= beat + BEAT:
                beat = clock.now()
                await _said(carrying, mesh_pb2.ConsumeRequest(settle=inbound.beat()))
            is_over = inbound.draining and (inbound.is_idle or clock.now() >= drained)
            # What was settled while the last word went out is told first.
            if (is_over or not self._links.joints(node)) and not inbound.delivery.has_to_tell:
                inbound.is_over = True
                await carrying.finish()
                return


async def _said(carrying: Carrying, request: mesh_pb2.ConsumeRequest) -> None:
    try:
        async with asyncio.timeout(DEAF):
            await carrying.say(request)
    except TimeoutError:
        raise Unavailable(f"nothing was taken for {DEAF:g} s") from None
