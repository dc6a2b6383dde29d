"""Which events belong together? Found in the log, where nothing is kept for it.

An event that answers another carries the trace and its cause; one that began a trace carries nothing: its
trace follows from its id. So the way up goes from cause to cause, and the rest is found by the trace's bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from nodeapi.v1 import mesh_pb2
from nodemesh.model.frame import Address, Stored
from nodemesh.ports import NotFound, Refused
from nodemesh.runtime.broker import Broker
from nodemesh.runtime.consumer import World
from nodemesh.runtime.outcomes import Copy, Outcomes, Show
from nodemesh.runtime.views import View, derived_trace, find, first_since

READ = 1024 * 1024
MOST_BYTES = 256 * 1024 * 1024
"""Looked through for one question."""
LONGEST = 10.0
"""Seconds; noded waits for longer."""
MOST_EVENTS = 1000
MOST_CAUSES = 1000
STEP = 64
"""Frames looked at from one look back to the next."""
BEFORE = 600.0
"""Seconds before an event whose trace came from outside: others may have begun with it."""


@dataclass(slots=True)
class Search:
    trace: bytes
    until: float
    """When it ends, found or not."""
    found: dict[str, tuple[View, Address]] = field(default_factory=dict)
    copies: dict[str, list[Copy]] = field(default_factory=dict)
    left: int = MOST_BYTES
    full: bool = False
    reached: int = 0

    def take(self, stored: Stored, derived: bool = False) -> None:
        """What of this frame belongs to it. `derived`: also events whose trace only follows from their id."""
        if not derived and self.trace not in stored.data:
            return
        view = View.of(stored)
        for place in view.places:
            if (derived or not view.began(place)) and view.trace(place) == self.trace:
                self.add(view, Address(stored.position, place), stored.to)

    def add(self, view: View, address: Address, to: str = "") -> None:
        id = view.id(address.place)
        if to:
            self.copies.setdefault(id, []).append(Copy(to, address))
        elif len(self.found) < MOST_EVENTS or id in self.found:
            self.found[id] = (view, address)
        else:
            self.full = True


class Traces:
    def __init__(self, broker: Broker, world: World, show: Show) -> None:
        self._broker, self._world, self._log, self._show = broker, world, world.log, show

    async def get(self, asked: mesh_pb2.TraceRequest) -> mesh_pb2.TraceReply:
        """Raises Refused, NotFound, Unavailable."""
        until = self._world.clock.now() + LONGEST
        trace = _trace_id(asked.id)
        search = Search(trace or b"", until)
        end = self._log.span.newest
        if trace is None:
            view, address = await find(self._log, asked.id)
            search.trace = view.trace(address.place)
            unsearched = await self._forward(search, await self._climb(search, view, address), end)
        else:
            unsearched = await self._back(search, end)
        if not search.found:
            raise NotFound(
                f"no event of trace {asked.id} is in the log: {unsearched or 'all was looked through'}"
            )
        return await self._reply(search, unsearched)

    async def _climb(self, search: Search, view: View, address: Address) -> int:
        """From cause to cause; the position from which on there may be more of the trace."""
        for _ in range(MOST_CAUSES):
            search.add(view, address)
            cause = view.cause(address.place)
            if not cause or cause in search.found:
                break
            try:
                view, address = await find(self._log, cause)
            except (NotFound, Refused):
                break
            if view.trace(address.place) != search.trace:
                break
        if view.began(address.place):
            return address.position
        return min(address.position, await first_since(self._log, view.time(address.place) - BEFORE))

    async def _forward(self, search: Search, start: int, end: int) -> str:
        while start <= end:
            if self._is_over(search):
                return f"its later part, from position {start} to {end}"
            found, start = await self._log.read(start, frozenset(), READ)
            self._look(search, [stored for stored in found if stored.position <= end])
        return ""

    async def _back(self, search: Search, end: int) -> str:
        """From the newest on, until the event is reached with which it began."""
        oldest, beginning = max(1, self._log.span.oldest), 0
        async for frames in self._windows(search, end):
            before = set(search.found)
            self._look(search, frames)
            for id in set(search.found) - before:
                beginning = max(beginning, await self._climb(search, *search.found[id]))
            if search.reached <= beginning:
                break
        if not search.found:
            return await self._derived(search, end)
        if search.reached > max(oldest, beginning):
            return f"its earlier part, from position {oldest} to {search.reached - 1}"
        return ""

    async def _derived(self, search: Search, end: int) -> str:
        """It may be of one event that nothing has answered: each id is tried, the newest first."""
        oldest, search.left = max(1, self._log.span.oldest), MOST_BYTES
        async for frames in self._windows(search, end):
            search.left -= sum(len(stored.data) for stored in frames)
            place = await asyncio.to_thread(_begun_by, frames, search.trace)
            if place is not None:
                search.add(*place)
                return ""
        if search.reached <= oldest:
            return ""
        return f"events that nothing has answered, from position {oldest} to {search.reached - 1}"

    async def _windows(self, search: Search, end: int) -> AsyncIterator[Sequence[Stored]]:
        """Backwards through the log; `reached` is the lowest position that was looked at."""
        oldest, search.reached = max(1, self._log.span.oldest), end + 1
        while search.reached > oldest and not self._is_over(search):
            low = start = max(oldest, search.reached - STEP)
            while start < search.reached:
                found, start = await self._log.read(start, frozenset(), READ)
                yield [stored for stored in found if stored.position < search.reached]
            search.reached = low

    def _is_over(self, search: Search) -> bool:
        return search.left <= 0 or search.full or self._world.clock.now() >= search.until

    def _look(self, search: Search, frames: Sequence[Stored]) -> None:
        for stored in frames:
            search.left -= len(stored.data)
            search.take(stored)

    async def _reply(self, search: Search, unsearched: str) -> mesh_pb2.TraceReply:
        outcomes = Outcomes(self._broker, self._world.index, self._world.clock)
        reply = mesh_pb2.TraceReply(trace=search.trace.hex(), unsearched=unsearched)
        if search.full:
            reply.unsearched = f"it has more than the {MOST_EVENTS} events that are told"
        for id, (view, address) in sorted(search.found.items(), key=lambda found: _order(found[1][1])):
            event = view.event(address.place, most=0)
            copies = search.copies.get(id, [])
            if view.began(address.place):
                copies = await self._show.copies(id)
            event.outcomes.extend(await outcomes.of(event.type, address, copies))
            reply.events.append(event)
        return reply


def _begun_by(frames: Sequence[Stored], trace: bytes) -> tuple[View, Address] | None:
    """A quarter of a second for 200,000 events: not in the loop."""
    for stored in frames:
        head = stored.head
        for place in range(head.count):
            if derived_trace(f"{head.stream}.{head.first + place}") == trace and not stored.to:
                view = View.of(stored)
                if view.began(place):
                    return view, Address(stored.position, place)
    return None


def _order(address: Address) -> tuple[int, int]:
    return address.position, address.place


def _trace_id(text: str) -> bytes | None:
    """None for what is the id of an event."""
    if len(text) != 32:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None
