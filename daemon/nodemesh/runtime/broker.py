"""Who may speak, what do they publish and consume, and what may be forgotten?"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from nodeapi.v1 import mesh_pb2
from nodekit.schema import SchemaRefused, judge
from nodemesh.model.cursor import Cursor
from nodemesh.model.frame import Stored
from nodemesh.model.table import Contract, Member, Table
from nodemesh.ports import NotFound, Refused, Unavailable
from nodemesh.runtime.commit import Commit
from nodemesh.runtime.consumer import ConsumingNode, Recent, World
from nodemesh.runtime.publisher import Judge, Publisher
from nodemesh.runtime.session import Session, hands

log = logging.getLogger("nodemesh")
RECENT = 16 * 1024 * 1024
"""Bytes of frames held in memory for consumers that keep up."""
UNKNOWN_PATIENCE = 30.0
"""Seconds an instance that the table does not know may wait for one that does."""
SAVE = 0.1
"""Seconds between two writes of what consumers have settled."""
PRUNE = 30.0
MOST_UNSURE = 1000
"""Ended publishers whose last word may not have been heard."""
STEPS = 32
"""Parts of the log that are given up one after the other."""


class Broker:
    def __init__(
        self,
        world: World,
        table: Table,
        cursors: dict[str, Cursor],
        generation: int,
        limits: tuple[int, float],
    ) -> None:
        """`limits`: bytes of the log, and seconds for which settled events are kept while there is room."""
        self.table = Table()
        self.consumers: dict[str, ConsumingNode] = {}
        self.publishers: list[Publisher] = []
        self.published: Counter[tuple[str, str]] = Counter()
        """Events by type and publishing node, since the start."""
        self.generation = generation
        self.world = world
        self.commit = Commit(world.log, world.clock, self._committed, self._room)
        self._limit, self._keep = limits
        self._cursors = cursors
        """Of consumers that the table does not name: their events wait until they are named or gone."""
        self._recent = Recent(RECENT)
        self._judges: dict[str, Judge | None] = {}
        self._tables = asyncio.Event()
        self._uids: set[int] = set()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watchers: set[Callable[[Sequence[Stored]], None]] = set()
        self._streams = dict(world.log.streams)
        self._adopt(table)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name in self.consumers:
                self._start(name)
            group.create_task(self.commit.run())
            group.create_task(self._save_always())
            group.create_task(self._prune_always())

    # The table

    async def set_table(self, table: Table) -> None:
        """Known consumers keep their place; new ones begin with what is committed next. Then it is durable.

        Raises Refused for a table older than the one held, Unavailable when it cannot be kept.
        """
        if table.number < self.table.number:
            raise Refused(f"table {table.number} is older than the one held, {self.table.number}")
        floor = self.world.log.span.newest + 1
        new = {name for name in table.consumers if name not in self.consumers and name not in self._cursors}
        await self.world.index.save({name: Cursor(floor) for name in new}, ())
        for name in new:
            self._cursors[name] = Cursor(floor)
        gone = [name for name in table.gone if name not in table.consumers]
        self._adopt(table)
        for name in gone:
            await self._forget(name)

    def _adopt(self, table: Table) -> None:
        self.table = table
        for name, consumer in table.consumers.items():
            held = self.consumers.get(name)
            if held is not None:
                held.route(consumer)
                continue
            # One that was registered and is not in the index any more: that was lost, its events may not be.
            cursor = self._cursors.pop(name, None) or Cursor(max(1, self.world.log.span.oldest))
            self.consumers[name] = ConsumingNode(consumer, cursor, self.generation, self.world, self._recent)
            self.consumers[name].changed = True
            self._start(name)
        for publisher in self.publishers:
            if not self._is_member(publisher.member):
                publisher.end(_not_there(publisher.member.instance))
        for node in self.consumers.values():
            for session in list(node.sessions):
                member = table.members.get(session.hands.instance)
                if member is None or member.version != session.hands.version:
                    session.end(_not_there(session.hands.instance))
        self._uids = {member.uid for member in table.members.values()}
        self._tables.set()
        self._tables = asyncio.Event()

    def _is_member(self, member: Member) -> bool:
        return self.table.members.get(member.instance) == member

    async def _forget(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
        node = self.consumers.pop(name, None)
        if node is not None:
            node.end(f"{name} was removed")
        self._cursors.pop(name, None)
        with suppress(Unavailable):
            await self.world.index.forget(name)

    def _start(self, name: str) -> None:
        if self._group is not None:
            self._tasks[name] = self._group.create_task(self.consumers[name].run())

    # Who speaks

    async def publisher(self, uid: int, hello: bytes) -> Publisher:
        """Raises Refused."""
        head, instance, checked = self.world.codec.hello(hello)
        member = await self._member(instance, uid)
        await self._check_owner(head.stream, member)
        refused: Sequence[mesh_pb2.Refusal] = ()
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
        through = self._streams.get(head.stream, 0)
        rest = (self.world.codec, self)
        publisher = Publisher(member, head, checked, through, self.commit, rest, refused)
        self._forget_publishers()
        self.publishers.append(publisher)
        return publisher

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
        if through := self._streams.get(stream, 0):
            with suppress(NotFound):
                last = await self.world.log.find(stream, through)
                if last.head.source != f"/{member.node}":
                    raise Refused(_of_another(stream))

    async def session(self, uid: int, subscribe: mesh_pb2.Subscribe) -> Session:
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

    async def known(self, uid: int) -> bool:
        """Waits for a table that names one; False when none comes for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(UNKNOWN_PATIENCE):
                while uid not in self._uids:
                    await self._tables.wait()
        return uid in self._uids

    # What is published

    def contract(self, type: str, node: str) -> Contract | None:
        return self.table.contracts.get((type, node))

    def judge(self, contract: Contract) -> Judge | None:
        if contract.schema not in self._judges:
            if len(self._judges) > 1000:
                self._judges.clear()
            self._judges[contract.schema] = _judge(contract)
        return self._judges[contract.schema]

    def watch(self, call: Callable[[Sequence[Stored]], None]) -> Callable[[], None]:
        """Be told of every commit, until what is returned is called."""
        self._watchers.add(call)
        return lambda: self._watchers.discard(call)

    def _committed(self, frames: Sequence[Stored]) -> None:
        for stored in frames:
            head = stored.head
            if not stored.to:
                self._streams[head.stream] = head.last
                self._count(stored)
            self._recent.add(stored)
            for node in self.consumers.values():
                node.written_now(stored)
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
        floors = [node.delivery.floor for node in self.consumers.values()]
        floors += [cursor.floor for cursor in self._cursors.values()]
        return min(floors, default=self.world.log.span.newest + 1)

    async def _room(self) -> str:
        """Makes room if the log is at its limit; what is wrong if there is none."""
        try:
            return await self._made_room()
        except Unavailable as error:
            return str(error)

    async def _made_room(self) -> str:
        span = self.world.log.span
        while span.bytes >= self._limit:
            floor = self.floor
            if span.oldest >= floor or not await self._give_up(span.oldest, floor):
                slow = min(self.consumers.values(), key=lambda n: n.delivery.floor, default=None)
                who = f"{slow.name} has not handled" if slow else "nobody has handled"
                text = f"the event log is full ({span.bytes} of {self._limit} bytes): {who} its events"
                return f"{text} since position {floor}; start it, or remove it, or raise [mesh] log_limit"
            span = self.world.log.span
        return ""

    async def _give_up(self, oldest: int, floor: int) -> int:
        step = max(1, (self.world.log.span.newest - oldest) // STEPS)
        below, freed = oldest, 0
        while not freed and below < floor:
            below = min(floor, below + step)
            freed = await self.world.log.drop(below)
        return freed

    async def _prune_always(self) -> None:
        while True:
            await asyncio.sleep(PRUNE)
            with suppress(Unavailable):
                await self._prune()

    async def _prune(self) -> None:
        """Settled events older than `keep` go, file by file."""
        span = self.world.log.span
        low, high = span.oldest, min(self.floor, span.newest)
        until = self.world.clock.wall() - self._keep
        while low < high:
            middle = (low + high) // 2
            found, _ = await self.world.log.read(middle, frozenset(), 1)
            if found and found[0].taken < until:
                low = middle + 1
            else:
                high = middle
        await self.world.log.drop(low)

    async def _save_always(self) -> None:
        while True:
            await asyncio.sleep(SAVE)
            try:
                await self.save()
            except Unavailable as error:
                log.error("what consumers have handled cannot be written down: %s", error)
                await asyncio.sleep(1.0)

    async def save(self) -> None:
        """Raises Unavailable."""
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


def _judge(contract: Contract) -> Judge | None:
    try:
        return judge(json.loads(contract.schema))
    except (SchemaRefused, ValueError) as error:
        log.error("events of type %s are not judged: %s", contract.type, error)
        return None
