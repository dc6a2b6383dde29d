"""How do frames reach the disk? What arrives while one group is written is the next group."""

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from nodemesh.model.frame import Stored
from nodemesh.ports import LATENCIES, Clock, Log, Unavailable
from nodemesh.runtime.publisher import Publisher

GROUP = 8 * 1024 * 1024
"""Bytes of one commit."""
QUEUE = 16 * 1024 * 1024
"""Bytes that may wait for a commit."""
PATIENCE = 5.0
"""Seconds publishers wait for room in the log before they are refused."""
RETRY = 0.5
Committed = Callable[[Sequence[Stored]], None]
Room = Callable[[], Awaitable[str]]
Handed: TypeAlias = tuple[Publisher | None, Stored, asyncio.Future[int] | None]


class Commit:
    def __init__(self, log: Log, clock: Clock, committed: Committed, room: Room) -> None:
        """`room` says why the log cannot grow, after having made what room there is; empty: it can."""
        self.waiting = ""
        self.took = [0] * (len(LATENCIES) + 1)
        """Commits, by how long they took: those within each of LATENCIES, then the longer ones."""
        self.seconds = 0.0
        """Time all commits took together."""
        self._log, self._clock = log, clock
        self._committed, self._room = committed, room
        self._queue: list[Handed] = []
        self._bytes = 0
        self._group: list[Handed] = []
        self._filled, self._emptied, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._emptied.set()

    @property
    def is_full(self) -> bool:
        return self._bytes > QUEUE

    async def room(self) -> None:
        while self.is_full:
            self._emptied.clear()
            await self._emptied.wait()

    def hand_in(self, publisher: Publisher, stored: Stored) -> None:
        self._add(publisher, stored, None)

    async def keep(self, stored: Stored) -> int:
        """Frames of our own. Returns the position; raises Unavailable."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._add(None, stored, done)
        return await done

    async def keep_all(self, frames: Sequence[Stored]) -> None:
        """Returns when the end of each is known. Raises Unavailable when one could not be kept."""
        loop = asyncio.get_running_loop()
        done = [loop.create_future() for _ in frames]
        for stored, each in zip(frames, done, strict=True):
            self._add(None, stored, each)
        if done:
            await asyncio.wait(done)
        for failed in [error for each in done if (error := each.exception()) is not None]:
            raise failed

    async def idle(self, publisher: Publisher) -> None:
        """Returns when nothing that this publisher handed in is on its way any more."""
        while self.has(publisher):
            self._ended.clear()
            await self._ended.wait()

    def has(self, publisher: Publisher) -> bool:
        """Whether anything of it is on its way to the disk."""
        return any(each is publisher for each, _, _ in (*self._queue, *self._group))

    async def run(self) -> None:
        while True:
            await self._filled.wait()
            group = self._next_group()
            if not group:
                self._filled.clear()
                continue
            self._group = group
            await self._write(group)
            self._group = []
            self._ended.set()

    def _add(self, publisher: Publisher | None, stored: Stored, done: asyncio.Future[int] | None) -> None:
        self._queue.append((publisher, stored, done))
        self._bytes += len(stored.data)
        self._filled.set()

    def _next_group(self) -> list[Handed]:
        size = number = 0
        for _, stored, _ in self._queue:
            if number and size + len(stored.data) > GROUP:
                break
            size, number = size + len(stored.data), number + 1
        group, self._queue = self._queue[:number], self._queue[number:]
        self._bytes -= size
        if self._bytes <= QUEUE:
            self._emptied.set()
        return group

    async def _write(self, group: list[Handed]) -> None:
        """Until it is on disk, or nobody can wait any longer."""
        until = self._clock.now() + PATIENCE
        while True:
            problem = await self._room()
            if not problem:
                position = self._log.span.newest + 1
                frames = [replace(stored, position=position + n) for n, (_, stored, _) in enumerate(group)]
                began = self._clock.now()
                try:
                    await self._log.append(frames)
                except Unavailable as error:
                    problem = str(error)
                else:
                    self._written(group, frames, self._clock.now() - began)
                    return
            self._say(group, problem)
            if self._clock.now() >= until:
                self._give_up(group, problem)
                return
            await asyncio.sleep(RETRY)

    def _written(self, group: list[Handed], frames: list[Stored], took: float) -> None:
        self.took[bisect_left(LATENCIES, took)] += 1
        self.seconds += took
        self.waiting = ""
        # Who consumes them comes first: somebody waits for an event, and mostly nobody for the answer.
        self._committed(frames)
        spoke: dict[Publisher, None] = {}
        for (publisher, _, done), stored in zip(group, frames, strict=True):
            if publisher is not None:
                publisher.on_disk(stored.head)
                spoke[publisher] = None
            if done is not None and not done.done():
                done.set_result(stored.position)
        for publisher in spoke:
            publisher.news.ring()

    def _say(self, group: list[Handed], problem: str) -> None:
        self.waiting = problem
        for publisher in {publisher for publisher, _, _ in group if publisher is not None}:
            publisher.tell()

    def _give_up(self, group: list[Handed], problem: str) -> None:
        for publisher, stored, done in group:
            if publisher is not None:
                publisher.refuse(stored.head, problem)
            if done is not None and not done.done():
                done.set_exception(Unavailable(problem))
