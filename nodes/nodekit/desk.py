"""What stands in for the mesh under `nodekit run`? What the node publishes comes back to its own handlers."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from .frames import LONGEST_EVENT
from .standin import Event, Item, StandIn, Wire

VARIABLE = "NODEKIT_DESK"
MOST_SHOWN = 200


class Desk(StandIn):
    """`feed` are the events of `--event`, as JSON: pairs of type and file. They come once it listens."""

    def __init__(self, feed: str) -> None:
        super().__init__()
        self.feed: list[tuple[str, str]] = [(type, file) for type, file in json.loads(feed)]
        self.planned = False

    def connect(self) -> Wire:
        self.loop = asyncio.get_running_loop()
        return super().connect()

    def notice(self) -> None:
        if not self.planned:
            self.planned = True
            self.loop.call_soon(self.turn)

    def turn(self) -> None:
        self.planned = False
        if self.feed and any(wire.wishes for wire in self.wires):
            feed, self.feed = self.feed, []
            for type, file in feed:
                self.put_in(type, Path(file))
        self.pump()
        due = [item.due for item in self.queue if item.due > self.now()]
        if due:
            self.loop.call_later(min(due) - self.now(), self.notice)

    def put_in(self, type: str, file: Path) -> None:
        if not any(type in wire.wishes for wire in self.wires):
            say(f"{type} of {file}: no handler here for this type")
            return
        self.publish(type, read(file), source="/desk")

    # What is told

    def take(self, frame: bytes) -> None:
        before = len(self.published)
        super().take(frame)
        for event in self.published[before:]:
            say(f"published {told(event)}")
        self.forget()

    def settled(self, item: Item, wire: Wire) -> None:
        say(f"handled {item.event.type} {item.event.id}")

    def failed(self, item: Item, how: int, after: float, reason: str, wishes: Mapping[str, int]) -> None:
        super().failed(item, how, after, reason, wishes)
        for dead in self.dead:
            say(f"set aside after {dead.attempts} attempts: {told(dead.event)}: {dead.reason}")
        self.dead.clear()

    def forget(self) -> None:
        """What nobody here handles would pile up."""
        self.published.clear()
        wanted = {type for wire in self.wires for type in wire.wishes}
        self.queue = [item for item in self.queue if item.event.type in wanted]


def read(file: Path) -> bytes:
    with file.open("rb") as content:
        return content.read(LONGEST_EVENT)


def told(event: Event) -> str:
    text = event.data[:MOST_SHOWN].decode(errors="replace")
    more = "..." if len(event.data) > MOST_SHOWN else ""
    subject = f" subject {event.subject!r}" if event.subject else ""
    return f"{event.type} {event.id}{subject}: {text}{more}"


def say(text: str) -> None:
    print(f"event {text}", file=sys.stderr, flush=True)
