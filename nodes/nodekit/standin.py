"""What stands in for the mesh within one process? For tests, and for a node at its author's desk."""

import asyncio
import json
import random
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .frames import Delivery, Extra, Head, decode_frame, delivered, encode_columns, encode_frame
from .link import Ears
from .payload import pack
from .wire import REJECT, RELEASE, Published, Settle, Subscribe

WINDOW = 4 * 1024 * 1024
FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 60.0
ATTEMPTS = 5
LARGEST_FRAME = 16
NOTHING_MORE = Extra()


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as a test sees it."""

    id: str
    type: str
    subject: str
    content: str
    data: bytes
    source: str = "/test"
    version: str = ""
    at: int = 0
    extra: Extra = NOTHING_MORE

    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def stream(self) -> str:
        return self.id.rpartition(".")[0]

    @property
    def sequence(self) -> int:
        return int(self.id.rpartition(".")[2])


@dataclass(frozen=True, slots=True)
class Dead:
    event: Event
    attempts: int
    reason: str


@dataclass(slots=True, eq=False)
class Item:
    """An event on its way to the node. `order` rises in the order in which events were published."""

    event: Event
    order: int
    attempt: int = 1
    due: float = 0.0

    @property
    def key(self) -> str:
        return self.event.subject


class Wire:
    """One connection of the node: what link.Link is elsewhere."""

    def __init__(self, mesh: "StandIn") -> None:
        self.mesh = mesh
        self.ears: Ears | None = None
        self.stream = ""
        self.wishes: dict[str, int] = {}
        self.first_granted = self.granted = self.sent = self.number = 0
        self.hand: dict[int, list[Item | None]] = {}
        self.life = 0
        self.gone = False
        """The node was cut off: nobody hears what it says."""

    def open(self, ears: Ears) -> None:
        self.ears = ears
        self.mesh.wires.append(self)
        self.say(ears.on_open)

    def hello(self, frame: bytes) -> None:
        self.stream = decode_frame(frame).head.stream
        self.answer()

    def send(self, frame: bytes) -> None:
        if self.gone:
            return
        self.mesh.take(frame)
        self.answer()

    def answer(self) -> None:
        assert self.ears
        self.say(self.ears.on_published, Published(self.mesh.streams.get(self.stream, 0), WINDOW))

    def subscribe(self, subscribe: Subscribe) -> None:
        self.wishes = {wish.type: wish.attempts or ATTEMPTS for wish in subscribe.wishes}
        self.first_granted = self.granted = subscribe.granted
        self.mesh.notice()

    def settle(self, settle: Settle) -> None:
        if self.gone:
            return
        self.granted = max(self.granted, settle.granted)
        for failed in settle.failed:
            hand = self.hand.get(failed.delivery, [])
            if failed.event < len(hand) and (item := hand[failed.event]):
                hand[failed.event] = None
                self.mesh.failed(item, failed.how, failed.after, failed.reason, self.wishes)
        over = [number for number in self.hand if number <= settle.through or number in settle.done]
        for number in over:
            for item in self.hand.pop(number):
                if item:
                    self.mesh.settled(item, self)
        self.mesh.notice()

    async def close(self) -> None:
        self.life += 1
        if self in self.mesh.wires:
            self.mesh.wires.remove(self)
        self.mesh.give_back(self)

    def say(self, call: Callable[..., None], *given: object) -> None:
        """Later, as everything that comes through a socket; never after the connection went."""
        life = self.life

        def now() -> None:
            if self.life == life:
                call(*given)

        asyncio.get_running_loop().call_soon(now)

    def deliver(self, items: Sequence[Item]) -> None:
        assert self.ears
        self.number += 1
        self.sent += len(items)
        self.hand[self.number] = list(items)
        delivery = Delivery(self.number, self.number, max(item.attempt for item in items), 1, "test")
        self.say(self.ears.on_frame, delivered(frame_of([item.event for item in items]), delivery))

    @property
    def busy(self) -> bool:
        return bool(self.hand)

    def lose(self, why: str) -> None:
        """The connection breaks and comes back: what was in hand is delivered again."""
        assert self.ears
        self.life += 1
        self.mesh.give_back(self)
        self.number = self.sent = 0
        self.granted = self.first_granted
        self.ears.on_lost(why)
        self.say(self.ears.on_open)
        if self.stream:
            self.answer()


class StandIn:
    """At least once, in order of subject, with retries and dead letters, as the mesh of a host has it."""

    def __init__(self, seed: int = 0, ordered: bool = True) -> None:
        self.random = random.Random(seed)
        self.ordered = ordered
        self.deliveries = 0
        self.wires: list[Wire] = []
        self.streams: dict[str, int] = {}
        self.queue: list[Item] = []
        self.count = 0
        self.published: list[Event] = []
        """What the node published, in the order in which it arrived."""
        self.handled: list[Event] = []
        """In the order in which the node said so."""
        self.dead: list[Dead] = []
        self.shuffled = False
        self.stream = f"test-{self.random.randbytes(4).hex()}"

    def now(self) -> float:
        return time.monotonic()

    def notice(self) -> None:
        """Something can be delivered, perhaps."""

    def connect(self) -> Wire:
        return Wire(self)

    # What is published

    def publish(
        self,
        event: object,
        data: object = None,
        *,
        subject: str = "",
        content: str = "",
        source: str = "/test",
        extra: Extra = NOTHING_MORE,
    ) -> str:
        """An event of another node: publish("shop.order.placed", {...}), or of a class with TYPE."""
        kind = event if isinstance(event, str) else getattr(type(event), "TYPE", "")
        if not kind:
            raise TypeError("expected a type and its data, or an instance of a class with TYPE")
        value = data if isinstance(event, str) else event
        raw = value if isinstance(value, bytes) else pack(value)
        sequence = self.streams[self.stream] = self.streams.get(self.stream, 0) + 1
        at = time.time_ns() // 1000
        made = Event(f"{self.stream}.{sequence}", kind, subject, content, raw, source, "", at, extra)
        self.enqueue(made)
        return made.id

    def take(self, frame: bytes) -> None:
        """From the node; what the stream has already is passed over."""
        for event in events_of(frame):
            if event.sequence > self.streams.get(event.stream, 0):
                self.streams[event.stream] = event.sequence
                self.published.append(event)
                self.enqueue(event)

    def enqueue(self, event: Event) -> None:
        self.count += 1
        self.queue.append(Item(event, self.count))
        self.notice()

    # What is delivered

    def pump(self) -> None:
        for wire in list(self.wires):
            while wire.wishes and (items := self.choose(wire)):
                self.deliveries += 1
                wire.deliver(items)

    def choose(self, wire: Wire) -> list[Item]:
        room = min(LARGEST_FRAME, wire.granted - wire.sent)
        if room <= 0:
            return []
        ready = self.ready(wire)
        if not ready:
            return []
        first = self.random.choice(ready) if self.shuffled else ready[0]
        same = [item for item in ready if alike(item, first) and item.event.sequence >= first.event.sequence]
        size = self.random.randint(1, room) if self.shuffled else room
        chosen = sorted(same, key=lambda item: item.event.sequence)[:size]
        for item in chosen:
            self.queue.remove(item)
        return chosen

    def ready(self, wire: Wire) -> list[Item]:
        """Events that are due. With order, one of a subject at a time: the oldest, while none is in hand."""
        taken = {item.key for each in self.wires for items in each.hand.values() for item in items if item}
        ready = []
        for item in sorted(self.queue, key=lambda item: item.order):
            if item.event.type not in wire.wishes:
                continue
            if self.ordered and item.key:
                if item.key in taken:
                    continue
                taken.add(item.key)
            if item.due <= self.now():
                ready.append(item)
        return ready

    # What becomes of it

    def settled(self, item: Item, wire: Wire) -> None:
        self.handled.append(item.event)

    def failed(self, item: Item, how: int, after: float, reason: str, wishes: Mapping[str, int]) -> None:
        if how == RELEASE:
            self.queue.append(item)
            return
        if how == REJECT or item.attempt >= wishes.get(item.event.type, ATTEMPTS):
            self.dead.append(Dead(item.event, item.attempt, reason))
            return
        backoff = after or min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (item.attempt - 1))
        item.attempt, item.due = item.attempt + 1, self.now() + backoff
        self.queue.append(item)

    def give_back(self, wire: Wire) -> None:
        """A connection is gone: what it held alone counts as an attempt, as it may be what ended it."""
        held = [item for items in wire.hand.values() for item in items if item]
        wire.hand.clear()
        for item in held:
            if len(held) == 1:
                self.failed(item, 0, 0.0, "the node went while it had this event", wire.wishes)
            else:
                self.queue.append(item)
        self.notice()


def alike(one: Item, other: Item) -> bool:
    """May travel in one frame: the attempt is said of the whole frame."""
    first, second = one.event, other.event
    return (one.attempt, first.stream, first.content) == (other.attempt, second.stream, second.content)


def frame_of(events: Sequence[Event]) -> bytes:
    """Of one stream and content, in the order of their sequences."""
    one = events[0]
    types = tuple(dict.fromkeys(event.type for event in events))
    head = Head(one.source, one.stream, one.sequence, len(events), one.at, types, one.content, one.version)
    subjects = [event.subject for event in events] if any(event.subject for event in events) else []
    index = [event.sequence - one.sequence for event in events]
    columns = encode_columns(
        [types.index(event.type) for event in events] if len(types) > 1 else (),
        (),
        subjects,
        [zlib.crc32(subject.encode()) for subject in subjects],
        index if index[-1] != len(events) - 1 else (),
    )
    extras = [
        Extra(place, e.trace, e.span, e.cause, e.tracestate, e.schema, e.attributes)
        for place, e in enumerate(event.extra for event in events)
        if e != NOTHING_MORE
    ]
    return encode_frame(head, columns, [event.data for event in events], extras)


def events_of(frame: bytes) -> list[Event]:
    read = decode_frame(frame)
    head = read.head
    return [
        Event(
            f"{head.stream}.{read.sequence(place)}",
            head.types[read.type[place] if read.type else 0],
            read.subject[place] if read.subject else "",
            head.content,
            data,
            head.source,
            head.version,
            head.at + (read.after[place] if read.after else 0),
            read.extra.get(place, NOTHING_MORE),
        )
        for place, data in enumerate(read.data)
    ]
