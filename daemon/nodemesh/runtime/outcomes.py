"""What became of an event, at everybody who consumes it?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nodeapi.v1 import mesh_pb2
from nodemesh.model.frame import Address
from nodemesh.policy.whereabouts import State, Whereabouts
from nodemesh.ports import Clock, Index
from nodemesh.runtime.broker import Broker
from nodemesh.runtime.consumer import World
from nodemesh.runtime.views import find, read_id


@dataclass(frozen=True, slots=True)
class Copy:
    """It was sent again, to one node."""

    to: str
    address: Address


class Show:
    def __init__(self, broker: Broker, world: World) -> None:
        self._broker, self._world = broker, world

    async def event(self, asked: mesh_pb2.ShowRequest) -> mesh_pb2.Event:
        """Raises Refused, NotFound, Unavailable."""
        view, address = await find(self._world.log, asked.id)
        event = view.event(address.place, most=None)
        copies = await self.copies(asked.id)
        event.outcomes.extend(
            await Outcomes(self._broker, self._world.index, self._world.clock).of(event.type, address, copies)
        )
        return event

    async def copies(self, id: str) -> list[Copy]:
        stream, sequence = read_id(id)
        found = await self._world.log.copies(stream, sequence)
        return [Copy(s.to, Address(s.position, sequence - s.head.first)) for s in found]


class Outcomes:
    """Of one moment, for many events."""

    def __init__(self, broker: Broker, index: Index, clock: Clock) -> None:
        self._index, self._clock = index, clock
        self._consumers = broker.wanted
        self._nodes = {
            name: Whereabouts(node.delivery.cursor, node.delivery.sessions)
            for name, node in broker.consumers.items()
        }

    async def of(self, type: str, address: Address, copies: Sequence[Copy]) -> Iterable[mesh_pb2.Outcome]:
        found = []
        for name, consumer in sorted(self._consumers.items()):
            its = [copy.address for copy in copies if copy.to == name]
            if type in consumer.types or its:
                published = [address] if type in consumer.types and not self._is_before(name, address) else []
                if published or its:
                    found.append(await self._outcome(name, type, published, its))
        return found

    def _is_before(self, node: str, address: Address) -> bool:
        """Whether the event is older than the consumer: it never was for it."""
        where = self._nodes.get(node)
        return where is not None and address.position < where.begun

    async def _outcome(
        self, node: str, type: str, published: list[Address], copies: list[Address]
    ) -> mesh_pb2.Outcome:
        """The last word counts: that of the newest copy."""
        told = await self._at(node, type, (copies or published)[-1])
        if copies and told.state == State.HANDLED:
            told.state = "replayed"
        if len(copies) + len(published) > 1:
            told.reason = "; ".join(filter(None, (told.reason, f"sent {len(copies) + 1} times")))
        return told

    async def _at(self, node: str, type: str, address: Address) -> mesh_pb2.Outcome:
        letter = await self._index.letter(node, address)
        if letter is not None:
            dead = letter[0]
            return mesh_pb2.Outcome(
                consumer=node, state="dead", attempts=dead.attempts, at=dead.at, reason=dead.reason
            )
        where = self._nodes.get(node)
        if where is None:
            return mesh_pb2.Outcome(consumer=node, state=State.WAITING)
        place = where.of(address, type)
        due = self._clock.wall() + place.due - self._clock.now() if place.due else 0.0
        return mesh_pb2.Outcome(
            consumer=node,
            state=place.state,
            attempts=place.attempts,
            at=due,
            reason=place.reason,
            instance=place.instance,
        )
