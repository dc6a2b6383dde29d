"""Which handler gets an event, in which order, and what is said about it when it is done?"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from time import monotonic

from .context import Side
from .fields import WireError
from .frames import decode_frame
from .handling import Entry, Handler, Handling, Outcome, Worker
from .link import Link
from .settling import Delivery, Lately, Session
from .wire import RELEASE, RETRY, Settle, Subscribe, Wish

# Words to the mesh are gathered for so long.
SETTLE_TIME = 0.002
# After a failure, what was sent before the mesh knew of it arrives within this time or not at all.
BLOCKED = 30.0
logger = logging.getLogger("nodekit")


class Blocked:
    """A key with a failed event. What lies behind is given back; when some of it comes again, the mesh has
    heard of the failure."""

    __slots__ = ("failed", "released", "until")

    def __init__(self, failed: tuple[str, int]) -> None:
        self.failed = failed
        self.released: set[tuple[str, int]] = set()
        self.until = monotonic() + BLOCKED


class Consumer:
    """All handlers of one node. On the event loop only."""

    def __init__(self, side: Side, instance: str, handlers: Sequence[Handler], ordered: bool) -> None:
        self._side, self.instance, self.handlers, self.ordered = side, instance, handlers, ordered
        self.least = 2 * sum(handler.concurrency for handler in handlers)
        self.patience = min((handler.timeout for handler in handlers), default=30.0) / 3
        self._before = 0
        self.session = Session(self.least, self.plan)
        self.stopping = False
        self.idle = asyncio.Event()
        self.lines: dict[int, deque[tuple[Handling, Entry]]] = {}
        """By key: what waits behind the one that is at work."""
        self.blocked: dict[int, Blocked] = {}
        self.lately = Lately()
        self.strange: set[str] = set()
        """Types without a handler that came."""
        self.adrift: dict[tuple[str, int], tuple[Worker, Delivery, int]] = {}
        """What is at work still, of connections that are lost."""

    @property
    def side(self) -> Side:
        return self._side

    @property
    def done(self) -> int:
        """Events that came to an end, ever."""
        return self._before + self.session.finished

    def start(self, link: Link, group: asyncio.TaskGroup) -> None:
        self.link, self.loop = link, asyncio.get_running_loop()
        self.handlings = {each.type: Handling(each, self, group) for each in self.handlers}
        wishes = tuple(Wish(each.type, each.attempts, each.timeout) for each in self.handlers)
        link.subscribe(Subscribe(self.instance, wishes, self.session.granted, keeps_order=True))
        self.timer = self.loop.call_later(self.patience, self.tell_working)

    async def finish(self, deadline: float) -> int:
        """Gives back what was not begun, waits for what was. Returns how many were cut off at `deadline`."""
        self.stopping = self.session.closing = True
        self.timer.cancel()
        for handling in self.handlings.values():
            while (entry := handling.take()) is not None:
                self.release(*entry)
        for line in self.lines.values():
            while line:
                self.release(*line.popleft()[1])
        self.settle()
        if self.at_work():
            self.idle = asyncio.Event()
            await wait_until(self.idle, deadline)
        cut = self.at_work()
        tasks = [task for handling in self.handlings.values() for task in handling.tasks]
        for handling in self.handlings.values():
            handling.close()
        if tasks:
            await asyncio.wait(tasks, timeout=0.5)
        self.settle()
        return cut

    def at_work(self) -> int:
        return sum(len(handling.in_hand()) for handling in self.handlings.values())

    # What the mesh says

    def on_open(self) -> None:
        self.session = Session(self.least, self.plan)
        self.session.closing = self.stopping

    def on_lost(self) -> None:
        if not self.session.number:
            return
        self.lately.lost(self.session)
        self._before += self.session.finished
        self.session = Session(self.least, self.plan)
        self.lines.clear()
        self.blocked.clear()
        for handling in self.handlings.values():
            handling.ready.clear()
            for worker in handling.in_hand():
                assert worker.delivery
                still = worker, worker.delivery, worker.place
                self.adrift[worker.delivery.identity(worker.place)] = still

    def on_frame(self, raw: bytes) -> None:
        frame = decode_frame(raw)
        head = frame.head
        if not frame.delivery.number or not head.types or len(frame.data) != head.count:
            raise WireError("a frame without a delivery, or without what its head says")
        if {len(frame.type), len(frame.key), len(frame.index)} - {0, head.count}:
            raise WireError("a frame whose columns are of another length")
        if frame.type and max(frame.type) >= len(head.types):
            raise WireError("a frame with a type that its head does not name")
        delivery = self.session.take(frame)
        if self.stopping:
            self.give_back(delivery, range(len(frame.data)))
            return
        places: Iterable[int] = range(len(frame.data))
        if self.adrift or self.lately.known:
            places = self.unknown(delivery)
        handlings = [self.handlings.get(type) for type in head.types]
        ordered = self.ordered and bool(frame.key)
        if len(handlings) == 1 and not ordered and handlings[0]:
            handlings[0].ready.append((delivery, iter(places)))
        else:
            self.sort(delivery, places, handlings, ordered)
        for handling in handlings:
            if handling:
                handling.wake()

    def unknown(self, delivery: Delivery) -> list[int]:
        """Settles what was handled before the connection was lost, and has settled what is still at work."""
        handled, left = self.lately.handled(delivery.frame), []
        for place in range(len(delivery.frame.data)):
            worker, then, there = self.adrift.pop(delivery.identity(place), (None, None, 0))
            if place in handled:
                delivery.session.handled(delivery, place)
            elif worker is not None and worker.delivery is then and worker.place == there:
                worker.delivery, worker.place = delivery, place
                if self.ordered and delivery.frame.key:
                    self.lines.setdefault(delivery.frame.key[place], deque())
            else:
                left.append(place)
        return left

    def sort(
        self, delivery: Delivery, places: Iterable[int], handlings: Sequence[Handling | None], ordered: bool
    ) -> None:
        frame = delivery.frame
        chosen: dict[Handling, list[int]] = {}
        for place in places:
            handling = handlings[frame.type[place] if frame.type else 0]
            if handling is None:
                self.unknown_type(delivery, place, frame.head.types[frame.type[place] if frame.type else 0])
            elif not ordered or not frame.key[place]:
                chosen.setdefault(handling, []).append(place)
            elif not self.holds_up(frame.key[place], delivery, place):
                line = self.lines.get(frame.key[place])
                if line is None:
                    self.lines[frame.key[place]] = deque()
                    chosen.setdefault(handling, []).append(place)
                else:
                    line.append((handling, (delivery, place)))
        for handling, mine in chosen.items():
            handling.ready.append((delivery, iter(mine)))

    def holds_up(self, key: int, delivery: Delivery, place: int) -> bool:
        """Whether an earlier event of the key failed, and the mesh sent this one before it knew."""
        blocked = self.blocked.get(key)
        if blocked is None:
            return False
        event = delivery.identity(place)
        if event == blocked.failed or event in blocked.released or monotonic() > blocked.until:
            del self.blocked[key]
            return False
        blocked.released.add(event)
        self.release(delivery, place)
        return True

    def unknown_type(self, delivery: Delivery, place: int, type: str) -> None:
        """It was not asked for. Another release may handle it: given back, it waits for that."""
        if type not in self.strange:
            self.strange.add(type)
            logger.error("events of type %s come, but there is no handler for it: add @node.on", type)
        delivery.session.fail(delivery, place, RELEASE, 0.0, f"{self.instance} has no handler for {type}")

    # What became of events

    def handled(self, delivery: Delivery, place: int) -> None:
        delivery.session.handled(delivery, place)
        if self.lines:
            self.next_of_key(delivery, place)
        if self.stopping and not self.at_work():
            self.idle.set()

    def handled_so_far(self, delivery: Delivery) -> None:
        delivery.session.handled_so_far(delivery)
        if self.stopping and not self.at_work():
            self.idle.set()

    def failed(self, delivery: Delivery, place: int, outcome: Outcome) -> None:
        delivery.session.fail(delivery, place, outcome.how, outcome.after, outcome.reason)
        if self.stopping and not self.at_work():
            self.idle.set()
        if not self.lines or delivery.session is not self.session:
            return
        if outcome.how == RETRY and delivery.frame.delivery.attempt < self.attempts(delivery, place):
            self.block_key(delivery, place)
        else:
            # It becomes a dead letter, and those behind it have their turn.
            self.next_of_key(delivery, place)

    def attempts(self, delivery: Delivery, place: int) -> int:
        frame = delivery.frame
        return self.handlings[frame.head.types[frame.type[place] if frame.type else 0]].handler.attempts

    def next_of_key(self, delivery: Delivery, place: int) -> None:
        key = delivery.frame.key[place] if delivery.frame.key else 0
        line = self.lines.get(key)
        if line is None or delivery.session is not self.session:
            return
        if not line:
            del self.lines[key]
            return
        handling, (then, there) = line.popleft()
        handling.ready.appendleft((then, iter((there,))))
        handling.wake()

    def block_key(self, delivery: Delivery, place: int) -> None:
        key = delivery.frame.key[place] if delivery.frame.key else 0
        line = self.lines.pop(key, None)
        if line is None:
            return
        blocked = Blocked(delivery.identity(place))
        if len(self.blocked) > 1000:
            now = monotonic()
            self.blocked = {key: each for key, each in self.blocked.items() if each.until > now}
        self.blocked[key] = blocked
        for _, entry in line:
            blocked.released.add(entry[0].identity(entry[1]))
            self.release(*entry)

    def release(self, delivery: Delivery, place: int) -> None:
        delivery.session.fail(delivery, place, RELEASE)

    def give_back(self, delivery: Delivery, places: Iterable[int]) -> None:
        for place in places:
            self.release(delivery, place)

    # What is said

    def plan(self) -> None:
        self.loop.call_later(SETTLE_TIME, self.settle)

    def settle(self) -> None:
        said = self.session.settle()
        if self.session.number:
            self.link.settle(said)

    def tell_working(self) -> None:
        self.timer = self.loop.call_later(self.patience, self.tell_working)
        working = self.session.in_hand(self.overdue())
        if working:
            self.link.settle(Settle(self.session.through, granted=self.session.granted, working=working))

    def overdue(self) -> Iterator[Delivery]:
        """What a handler still holds long after it was cancelled: the mesh may give it to others."""
        now = monotonic()
        for handling in self.handlings.values():
            for worker in handling.in_hand():
                if worker.delivery and now - worker.began > 2 * handling.handler.timeout:
                    yield worker.delivery


async def wait_until(event: asyncio.Event, deadline: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, deadline - monotonic())):
            await event.wait()
    except TimeoutError:
        pass
