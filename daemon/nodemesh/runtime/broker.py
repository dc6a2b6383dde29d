"""Who may speak, what do they publish and consume, and what may be forgotten?"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress

from nodeapi.v1 import mesh_pb2
from nodemesh.model.cursor import Cursor
from nodemesh.model.frame import Stored
from nodemesh.model.table import Consumer, Contract, Member, Table
from nodemesh.ports import NotFound, Refused, Unavailable
from nodemesh.runtime.commit import Commit
from nodemesh.runtime.consumer import ConsumingNode, World
from nodemesh.runtime.fleet import Fleet, together
from nodemesh.runtime.joint import Joint
from nodemesh.runtime.judges import Judges
from nodemesh.runtime.links import Links
from nodemesh.runtime.publisher import Judge, Publisher
from nodemesh.runtime.recent import Recent
from nodemesh.runtime.room import Room
from nodemesh.runtime.session import Session, hands
from nodemesh.runtime.takers import Takers

log = logging.getLogger("nodemesh")
RECENT = 16 * 1024 * 1024
"""Bytes of frames held in memory for consumers that keep up."""
UNKNOWN_PATIENCE = 30.0
"""Seconds an instance that the table does not know may wait for one that does."""
SHARE, SHARE_OF_INSTANCE = 64, 4
"""Connections of one user, and more for each instance that runs as that user."""
SAVE = 0.1
"""Seconds between two writes of what consumers have settled."""
FORGOTTEN = "the mesh refused it and ended; why is not known any more: publish it again if it is still meant"
MOST_UNSURE = 1000
"""Ended publishers whose last word may not have been heard."""


class Broker:
    def __init__(
        self,
        world: World,
        table: Table,
        cursors: dict[str, Cursor],
        generation: int,
        limits: tuple[int, float],
        fleet: Fleet | None = None,
    ) -> None:
        """`limits`: bytes of the log, and seconds for which settled events are kept while there is room."""
        self.table = Table()
        self.fleet = fleet or Fleet({})
        self.links: Links | None = None
        """To other meshes, if there are any."""
        self.wanted: dict[str, Consumer] = {}
        """For whom events are kept: consumers of this host and of its peers."""
        self._changing = asyncio.Lock()
        self.consumers: dict[str, ConsumingNode] = {}
        self._takers = Takers(self.consumers)
        self.publishers: list[Publisher] = []
        self.published: Counter[tuple[str, str]] = Counter()
        """Events by type and publishing node, since the start."""
        self.generation = generation
        self.world = world
        self._room = Room(world, limits, lambda: self.floor, self._slowest)
        self.commit = Commit(world.log, world.clock, self._committed, self._room.make)
        self._cursors = cursors
        """Of consumers that the table does not name: their events wait until they are named or gone."""
        self._recent = Recent(RECENT)
        self._judges = Judges()
        self._tables = asyncio.Event()
        self._uids: Counter[int] = Counter()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watchers: set[Callable[[Sequence[Stored]], None]] = set()
        self._unforgotten: set[str] = set()
        """Consumers that are gone, and in the index still."""
        self._adopt(table)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name in self.consumers:
                self._start(name)
            group.create_task(self.commit.run())
            group.create_task(self._save_always())
            group.create_task(self._room.prune_always())

    # The table

    async def set_table(self, table: Table) -> None:
        """Known consumers keep their place; new ones begin with what is committed next. Then it is durable.

        Raises Refused for a table older than the one held, Unavailable when it cannot be kept.
        """
        async with self._changing:
            if table.number < self.table.number:
                raise Refused(f"table {table.number} is older than the one held, {self.table.number}")
            await self._begin(table.consumers)
            self._adopt(table)
            for name in table.gone:
                if name not in self.wanted:
                    await self._forget(name)

    async def announce(self, said: mesh_pb2.Announcement) -> None:
        """Another host's consumers, durable when it returns. Raises Refused, Unavailable."""
        async with self._changing:
            told = self.fleet.with_said(said)
            if told is None:
                return
            await self._begin(told[said.host])
            self.fleet.take(told)
            self._adopt(self.table)
            for name in said.gone:
                if name not in self.wanted:
                    await self._forget(name)

    async def part_from(self, hosts: Collection[str]) -> None:
        """Nothing is kept for any other host's nodes any more."""
        left = {name for host, told in self.fleet.hosts.items() if host not in hosts for name in told}
        if any(host not in hosts for host in self.fleet.hosts):
            self.fleet.take({host: told for host, told in self.fleet.hosts.items() if host in hosts})
            self._adopt(self.table)
        for name in left - self.wanted.keys():
            with suppress(Unavailable):
                await self._forget(name)

    async def _begin(self, consumers: Iterable[str]) -> None:
        cursor = Cursor(floor := self.world.log.span.newest + 1, begun=floor)
        new = {name for name in consumers if name not in self.consumers and name not in self._cursors}
        if new:
            await self.world.index.save(dict.fromkeys(new, cursor), ())
        for name in new:
            self._unforgotten.discard(name)
            self._cursors[name] = cursor

    def _adopt(self, table: Table) -> None:
        self.table = table
        self.wanted = together(table.consumers, self.fleet.hosts.values())
        for name, consumer in self.wanted.items():
            held = self.consumers.get(name)
            if held is not None:
                held.route(consumer)
                continue
            # One that was registered and is not in the index any more: that was lost, its events may not be.
            cursor = self._cursors.pop(name, None) or Cursor(max(1, self.world.log.span.oldest))
            self.consumers[name] = ConsumingNode(consumer, cursor, self.generation, self.world, self._recent)
            self.consumers[name].changed = True
            self._start(name)
        self._takers.sort()
        for publisher in self.publishers:
            if not self._is_member(publisher.member):
                publisher.end(_not_there(publisher.member.instance))
        for node in self.consumers.values():
            for session in [s for s in node.sessions if not s.hands.is_peer]:
                member = table.members.get(session.hands.instance)
                if member is None or member.version != session.hands.version:
                    session.end(_not_there(session.hands.instance))
        if self.links is not None:
            self.links.route(table)
        self._uids = Counter(member.uid for member in table.members.values())
        self._tables.set()
        self._tables = asyncio.Event()

    def _is_member(self, member: Member) -> bool:
        return self.table.members.get(member.instance) == member

    async def _forget(self, name: str) -> None:
        """Raises Unavailable; then `save` tries it again."""
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
        node = self.consumers.pop(name, None)
        if node is not None:
            self._takers.sort()
            node.end(f"{name} was removed")
        self._cursors.pop(name, None)
        self._unforgotten.add(name)
        await self._forget_all()

    async def _forget_all(self) -> None:
        """A place that stayed in the index would hold the log after the next start. Raises Unavailable."""
        for name in tuple(self._unforgotten):
            await self.world.index.forget(name)
            self._unforgotten.discard(name)

    def _start(self, name: str) -> None:
        if self._group is not None:
            self._tasks[name] = self._group.create_task(self.consumers[name].run())

    # Who speaks

    async def publisher(self, uid: int, hello: bytes) -> Publisher:
        """Raises Refused."""
        head, instance, checked = self.world.codec.hello(hello)
        member = await self._member(instance, uid)
        await self._check_owner(head.stream, member)
        refused = await self._refused_before(head.stream)
        while (earlier := self._speaker_of(head.stream)) is not None:
            if earlier.member.node != member.node:
                raise Refused(_of_another(head.stream))
            earlier.end("the same stream was begun again on another connection")
            # Others who want the stream wait here, too: the last one has it.
            await self.commit.idle(earlier)
            if earlier in self.publishers:
                self.publishers.remove(earlier)
                refused = tuple(earlier.refused)
        if not self._is_member(member):
            raise Refused(_not_there(member.instance))
        through = self.world.log.streams.get(head.stream, 0)
        rest = (self.world.codec, self)
        publisher = Publisher(member, head, checked, through, self.commit, rest, refused)
        self._forget_publishers()
        self.publishers.append(publisher)
        return publisher

    async def _refused_before(self, stream: str) -> Sequence[mesh_pb2.Refusal]:
        """By an earlier life of the mesh: its publisher may not have heard of it. Raises Unavailable."""
        gaps = await self.world.log.gaps(stream) if self.world.log.streams.get(stream) else ()
        return [mesh_pb2.Refusal(first=a, count=b + 1 - a, reason=FORGOTTEN) for a, b in gaps]

    def _speaker_of(self, stream: str) -> Publisher | None:
        return next((p for p in self.publishers if p.stream == stream), None)

    def _forget_publishers(self) -> None:
        """Those that ended and have nothing to tell whoever goes on; of the others the oldest, if many."""
        unsure = [p for p in self.publishers if p.over and (p.refused or self.commit.has(p))]
        kept = set(map(id, unsure[-MOST_UNSURE:]))
        self.publishers = [p for p in self.publishers if not p.over or id(p) in kept]

    async def _check_owner(self, stream: str, member: Member) -> None:
        """Ids tell the name of a stream to everybody: who went on with another's would silence it.

        Raises Refused, Unavailable.
        """
        if through := self.world.log.streams.get(stream, 0):
            with suppress(NotFound):
                last = await self.world.log.find(stream, through)
                if last.head.source != f"/{member.node}":
                    raise Refused(_of_another(stream))

    async def session(self, uid: int, subscribe: mesh_pb2.Subscribe) -> Session | Joint:
        """Raises Refused."""
        member = await self._member(subscribe.instance, uid)
        node = self.consumers.get(member.node)
        if node is None:
            raise Refused(f"{member.node} consumes nothing: add [[consumes]] to its node.toml")
        types = node.delivery.consumer.types
        session = Session(
            node, hands(member.instance, member.version, subscribe, tuple(types)), self.world.clock
        )
        for earlier in [s for s in node.sessions if s.hands.instance == member.instance]:
            earlier.end("the same instance subscribed again on another connection")
        node.join(session)
        return session if self.links is None else self.links.joined(node.name, session)

    def peer_session(self, host: str, subscribe: mesh_pb2.Subscribe) -> Session:
        """For a consuming node of another host, whichever instance takes what comes. Raises Refused."""
        node = self.consumers.get(subscribe.node)
        if node is None or subscribe.node not in self.fleet.hosts.get(host, {}):
            raise Refused(f"node: {host} has not announced {subscribe.node!r}")
        consumer, instance = node.delivery.consumer, f"peer:{host}"
        made = hands(instance, consumer.stable, subscribe, tuple(consumer.types))
        made.is_peer = True
        for earlier in [s for s in node.sessions if s.hands.instance == instance]:
            earlier.end("the same host subscribed again on another stream")
        session = Session(node, made, self.world.clock)
        node.join(session)
        return session

    async def _member(self, instance: str, uid: int) -> Member:
        try:
            async with asyncio.timeout(UNKNOWN_PATIENCE):
                while instance not in self.table.members:
                    await self._tables.wait()
        except TimeoutError as error:
            text = (
                f"noded has not told of an instance {instance!r}: is it one that noded runs, and is noded up?"
            )
            raise Refused(text) from error
        member = self.table.members[instance]
        if member.uid != uid:
            raise Refused(f"{instance} runs as uid {member.uid}, the caller is uid {uid}")
        return member

    def knows(self, uid: int) -> bool:
        """Whether an instance runs as that user."""
        return uid in self._uids

    def share(self, uid: int) -> int:
        """Connections it may have: what its instances need, and more for those that end and begin."""
        return SHARE + SHARE_OF_INSTANCE * self._uids[uid]

    async def known(self, uid: int) -> bool:
        """Waits for a table that names one; False when none comes for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(UNKNOWN_PATIENCE):
                while uid not in self._uids:
                    await self._tables.wait()
        return uid in self._uids

    # What is published

    def contract(self, type: str, publisher: Member) -> Contract | None:
        """That of its own release, if it has one of this type."""
        own = self.table.of_releases.get((type, publisher.node, publisher.version))
        return own or self.table.contracts.get((type, publisher.node))

    def judge(self, contract: Contract) -> Judge | None:
        return self._judges.of(contract)

    def watch(self, call: Callable[[Sequence[Stored]], None]) -> Callable[[], None]:
        """Be told of every commit, until what is returned is called."""
        self._watchers.add(call)
        return lambda: self._watchers.discard(call)

    def _committed(self, frames: Sequence[Stored]) -> None:
        able: dict[ConsumingNode, None] = {}
        for stored in frames:
            if not stored.to:
                self._count(stored)
            self._recent.add(stored)
            self._recent.newest = stored.position
            for node in self._takers.of(stored):
                if node.written_now(stored):
                    able[node] = None
        for node in able:
            node.hand_out()
        for call in tuple(self._watchers):
            call(frames)

    def _count(self, stored: Stored) -> None:
        head, node = stored.head, stored.head.source.removeprefix("/")
        if len(head.types) == 1:
            self.published[head.types[0], node] += head.count
        else:
            for number, events in Counter(stored.columns.type).items():
                self.published[head.types[number], node] += events

    # What may be forgotten

    @property
    def floor(self) -> int:
        """Every consumer has settled all below."""
        floors = [node.floor for node in self.consumers.values()]
        floors += [cursor.least for cursor in self._cursors.values()]
        return min(floors, default=self.world.log.span.newest + 1)

    def _slowest(self) -> str:
        slow = min(self.consumers.values(), key=lambda n: n.floor, default=None)
        return slow.name if slow else ""

    async def _save_always(self) -> None:
        pause = SAVE
        while True:
            await asyncio.sleep(pause)
            began = self.world.clock.now()
            try:
                await self.save()
            except Unavailable as error:
                log.error("what consumers have handled cannot be written down: %s", error)
                await asyncio.sleep(1.0)
            # With many failed events there is much to write: others have the time in between.
            pause = max(SAVE, 4.0 * (self.world.clock.now() - began))

    async def save(self) -> None:
        """Raises Unavailable."""
        await self._forget_all()
        changed = [node for node in self.consumers.values() if node.changed]
        if not changed:
            return
        letters = [(node, *await node.letters()) for node in changed]
        # One that was removed meanwhile must not come back: nobody would ever settle its events.
        letters = [told for told in letters if self.consumers.get(told[0].name) is told[0]]
        changed = [node for node, _, _ in letters]
        for node in changed:
            node.changed = False
        try:
            dead = [pair for _, _, made in letters for pair in made]
            await self.world.index.save({node.name: node.delivery.cursor for node in changed}, dead)
        except Unavailable:
            for node in changed:
                node.changed = True
            raise
        for node, aside, _ in letters:
            if aside:
                node.kept(aside)


def _not_there(instance: str) -> str:
    return f"{instance} does not run any more, says noded"


def _of_another(stream: str) -> str:
    return f"head.stream: {stream!r} is spoken by another node"
