"""Do a node's handlers do right whatever the mesh and the host do? A mesh in memory, for tests.

    mesh = testing.Mesh(node, seed=7, duplicates=0.2, crashes=0.1)
    mesh.publish("shop.order.placed", {"order_id": "1", "total": 12}, subject="1")
    await mesh.run()
    assert [event.type for event in mesh.published] == ["shop.payment.captured"]

Events take the SDK's own way, frames and all; only the socket, the disk and the waiting are missing: between
two attempts the mesh's clock jumps.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from .events import Events
from .node import Node, called
from .standin import Dead, Event, Item, StandIn, Wire

__all__ = ["Dead", "Event", "Mesh", "Stuck"]
# How long a life may go on before it is cut off: turns of the loop, or seconds.
TURNS = 8
MOMENT = 0.003


class Stuck(AssertionError):
    """Handlers did not come to an end; the text says with which events."""


class Mesh(StandIn):
    """`duplicates`: share of handled events that come again. `crashes`: share of deliveries after which the
    node is cut off, as by `kill -9`, and started again: `async def` handlers end at an await, and what they
    have not settled comes again. `reorder`: events come in any order, but for those of one subject when order
    is kept.

    `ordered`: None takes it from the manifest in `release` (the current folder), and without one keeps order.
    """

    def __init__(
        self,
        node: Node,
        *,
        seed: int = 0,
        duplicates: float = 0.0,
        crashes: float = 0.0,
        reorder: bool = False,
        ordered: bool | None = None,
        release: Path | None = None,
    ) -> None:
        super().__init__(seed, ordered is not False)
        self.node, self.release = node, release or Path.cwd()
        self.duplicates, self.crashes, self.shuffled = duplicates, crashes, reorder
        self.lives = 0
        """How often the node was started."""
        self._ordered = ordered
        self._changed = asyncio.Event()
        self._time = 0.0
        self._cut: asyncio.Task[None] | None = None
        self._crashed = False

    def now(self) -> float:
        """Seconds on the mesh's own clock: how long all retries together have waited."""
        return self._time

    async def run(self, timeout: float = 10.0) -> None:
        """Starts the node's event side, delivers until nothing is left to deliver, and stops it.

        Raises Stuck when handlers take longer than `timeout` seconds of real time, and what on_start raises.
        """
        deadline = time.monotonic() + timeout
        self._changed = asyncio.Event()
        while True:
            self._crashed = False
            life = asyncio.get_running_loop().create_task(self._live(deadline))
            await self._watch(life)
            if not self._crashed:
                return

    async def _watch(self, life: asyncio.Task[None]) -> None:
        self._life = life
        try:
            await asyncio.wait([life])
        except asyncio.CancelledError:
            life.cancel()
            raise
        finally:
            cut, self._cut = self._cut, None
            if cut:
                cut.cancel()
        if life.cancelled() and self._crashed:
            await self._bury()
        else:
            life.result()

    async def _live(self, deadline: float) -> None:
        self.lives += 1
        events = self._fresh()
        events.connect = self.connect
        events.open(self.release)
        if self._ordered is None:
            self.ordered = events.contracts.ordered
        for hook in self.node._starts:
            await called(hook)
        async with asyncio.TaskGroup() as group:
            events.consume(group)
            try:
                await self._until_idle(deadline)
            finally:
                # Cut off or stuck, the node says nothing any more.
                if self._crashed or time.monotonic() > deadline:
                    self._silence()
                else:
                    await events.stop_consuming(deadline)
            for hook in self.node._stops:
                await called(hook)
            await events.close(deadline)

    def _fresh(self) -> Events:
        """A new life: handlers are the author's, everything else is forgotten."""
        before = self.node.events
        events = Events(before.name, before.instance, before.version, {})
        events.handlers = before.handlers
        self.node.use(events)
        return events

    async def _until_idle(self, deadline: float) -> None:
        while True:
            self._changed.clear()
            self.pump()
            if self._busy():
                try:
                    async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                        await self._changed.wait()
                except TimeoutError:
                    raise Stuck(f"not handled in time: {', '.join(self._in_hand()) or 'outbox'}") from None
            elif not self._changed.is_set() and not self._jump():
                return

    def _busy(self) -> bool:
        publisher, outboxes = self.node.events.publisher, self.node.events._outboxes
        relays = outboxes.relays if outboxes else []
        for relay in relays:
            relay.on_empty = self.notice
        return (
            any(wire.busy for wire in self.wires)
            or bool(publisher and publisher.events)
            or not all(relay.empty.is_set() for relay in relays)
        )

    def _in_hand(self) -> Iterator[str]:
        for wire in self.wires:
            for items in wire.hand.values():
                yield from (f"{item.event.type} {item.event.id}" for item in items if item)

    def _jump(self) -> bool:
        """To the next attempt."""
        wanted = {type for wire in self.wires for type in wire.wishes}
        due = [item.due for item in self.queue if item.event.type in wanted and item.due > self._time]
        if due:
            self._time = min(due)
        return bool(due)

    # Faults

    def notice(self) -> None:
        self._changed.set()

    def settled(self, item: Item, wire: Wire) -> None:
        super().settled(item, wire)
        if self.random.random() < self.duplicates:
            self.queue.append(Item(item.event, item.order))

    def pump(self) -> None:
        before = self.deliveries
        super().pump()
        for _ in range(self.deliveries - before):
            if self.random.random() < self.crashes and self._cut is None:
                after = self.random.choice([0.0, MOMENT]), self.random.randrange(TURNS)
                self._cut = asyncio.get_running_loop().create_task(self._crash(*after))

    async def _crash(self, seconds: float, turns: int) -> None:
        await asyncio.sleep(self.random.uniform(0.0, seconds))
        for _ in range(turns):
            await asyncio.sleep(0)
        self._crashed = True
        self._silence()
        self._life.cancel()

    def _silence(self) -> None:
        """What was in hand goes back as it was: it is not the event's fault."""
        for wire in list(self.wires):
            wire.life += 1
            self.wires.remove(wire)
            self.queue += [item for items in wire.hand.values() for item in items if item]
            wire.hand.clear()
            wire.gone = True

    async def _bury(self) -> None:
        """Threads cannot be cut off: `def` handlers run to their end, unheard."""
        consumer = self.node.events.consumer
        if consumer is None:
            return
        consumer.timer.cancel()
        for handling in consumer.handlings.values():
            if handling.threads:
                with contextlib.suppress(RuntimeError):
                    await asyncio.to_thread(handling.threads.shutdown)
