"""What do noded and administrators ask of the mesh, and what is the answer?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from nodeapi.v1 import mesh_pb2
from nodemesh.model.table import Consumer, Table
from nodemesh.ports import Unavailable
from nodemesh.runtime.broker import Broker
from nodemesh.runtime.consumer import ConsumingNode, World
from nodemesh.runtime.letters import Letters
from nodemesh.runtime.outcomes import Show
from nodemesh.runtime.person import Person
from nodemesh.runtime.tail import Tail
from nodemesh.runtime.traces import Traces

Keep = Callable[[mesh_pb2.Table], None]
"""Write it down. Raises Unavailable."""
Damaged = Callable[[], Sequence[mesh_pb2.Damaged]]
"""Files that could not be read, and what they held."""
Read = Callable[[mesh_pb2.Table], Table]
"""Raises Refused."""


class Desk:
    def __init__(
        self,
        broker: Broker,
        world: World,
        name: str,
        log_limit: int,
        table: tuple[Read, Keep],
        damaged: Damaged = tuple,
    ) -> None:
        """`name` is another one after each start of the mesh."""
        self._broker, self._world, self._name, self._limit = broker, world, name, log_limit
        self._read, self._keep = table
        self._damaged = damaged
        self._dead: Mapping[str, int] = {}
        self.tail = Tail(broker, world)
        self.show = Show(broker, world)
        self.person = Person(broker, world)
        self.letters = Letters(broker, world, self.person)
        self.traces = Traces(broker, world, self.show)

    async def set_table(self, said: mesh_pb2.Table) -> mesh_pb2.TableSet:
        await self._broker.set_table(self._read(said))
        self._keep(said)
        return mesh_pb2.TableSet(number=said.number, generation=self._name)

    async def get_map(self, asked: mesh_pb2.MapRequest) -> mesh_pb2.MapReply:
        number = self._broker.table.number
        if asked.brief:
            told = mesh_pb2.MapReply(table=number, generation=self._name)
            told.flows.extend(self._versions(name) for name in asked.nodes if name in self._broker.consumers)
            told.damaged.extend(self._damaged() if asked.damaged else ())
            return told
        span = self._world.log.span
        return mesh_pb2.MapReply(
            flows=self._flows(await self._waits(), await self._count_dead()),
            log_bytes=span.bytes,
            log_limit=self._limit,
            newest=span.newest,
            oldest=span.oldest,
            table=number,
            generation=self._name,
            peers=self._peers(),
            damaged=self._damaged(),
        )

    def _peers(self) -> list[mesh_pb2.PeerState]:
        states = self._broker.links.states() if self._broker.links is not None else []
        for state in states:
            sessions = [s.hands for node in self._broker.consumers.values() for s in node.sessions]
            state.sent = sum(hands.sent for hands in sessions if hands.instance == f"peer:{state.name}")
        return states

    async def _count_dead(self) -> Mapping[str, int]:
        """What was last known, while the index cannot be read: the rest of the map is of use all the same."""
        with suppress(Unavailable):
            self._dead = await self._world.index.count_dead()
        return self._dead

    async def _waits(self) -> dict[str, float]:
        """Seconds since the oldest event was published that a node has not settled, by node."""
        waits, newest = {}, self._world.log.span.newest
        for name, node in list(self._broker.consumers.items()):
            if node.floor > newest:
                continue
            types = frozenset(node.delivery.consumer.types)
            with suppress(Unavailable):
                found, _ = await self._world.log.read(node.floor, types, 1)
                if found and found[0].to in ("", name):
                    waits[name] = max(0.0, self._world.clock.wall() - found[0].head.at)
        return waits

    def _flows(self, waits: Mapping[str, float], dead: Mapping[str, int]) -> Iterator[mesh_pb2.Flow]:
        """Every type with each who publishes and each who consumes it."""
        table = self._broker.table
        publishers: dict[str, list[str]] = {}
        for type, node in table.contracts:
            publishers.setdefault(type, []).append(node)
        consumers: dict[str, list[Consumer]] = {}
        for consumer in self._broker.wanted.values():
            for type in consumer.types:
                consumers.setdefault(type, []).append(consumer)
        for type in sorted(publishers.keys() | consumers.keys()):
            for publisher in sorted(publishers.get(type, [""])):
                for name in sorted(c.node for c in consumers.get(type, [])) or [""]:
                    flow = self._flow(type, publisher, self._broker.consumers.get(name))
                    flow.dead, flow.oldest = dead.get(name, 0), waits.get(name, 0.0)
                    yield flow

    def _flow(self, type: str, publisher: str, node: ConsumingNode | None) -> mesh_pb2.Flow:
        flow = mesh_pb2.Flow(
            type=type, publisher=publisher, published=self._broker.published[type, publisher]
        )
        if node is not None:
            delivery = node.delivery
            flow.consumer = node.name
            flow.sessions = len(delivery.sessions)
            flow.retried = delivery.retried
            # What was not offered yet is counted in frames: their events are not read for it.
            flow.lag = delivery.waiting + max(0, self._world.log.span.newest - delivery.offered_of(type))
            flow.MergeFrom(self._versions(node.name))
        return flow

    def _versions(self, name: str) -> mesh_pb2.Flow:
        flow = mesh_pb2.Flow(consumer=name)
        for version, count in sorted(self._broker.consumers[name].delivery.counts.items()):
            flow.acked += count.acked
            flow.versions.add(
                version=version,
                delivered=count.delivered,
                acked=count.acked,
                failed=count.failed,
                first=count.first,
                first_failed=count.first_failed,
            )
        return flow
