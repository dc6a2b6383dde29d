"""What of the log may be forgotten, and when must it be?"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from nodemesh.ports import Unavailable
from nodemesh.runtime.consumer import World

PRUNE = 30.0
"""Seconds between two looks for what is old."""
STEPS = 32
"""Parts of the log that are given up one after the other."""


class Room:
    def __init__(
        self,
        world: World,
        limits: tuple[int, float],
        floor: Callable[[], int],
        slowest: Callable[[], str],
    ) -> None:
        """`limits`: bytes of the log, and seconds for which settled events are kept while there is room."""
        self._log, self._clock, self._index = world.log, world.clock, world.index
        self._limit, self._keep = limits
        self._floor, self._slowest = floor, slowest

    async def make(self) -> str:
        """Makes room if the log is at its limit; what is wrong if there is none."""
        try:
            return await self._made_room()
        except Unavailable as error:
            return str(error)

    async def _made_room(self) -> str:
        span = self._log.span
        while span.bytes >= self._limit:
            floor = self._floor()
            if span.oldest >= floor or not await self._give_up(span.oldest, floor):
                if floor > self._log.span.newest:
                    # Nothing waits: what is left is the newest file, and the next commit begins another.
                    return ""
                slow = self._slowest()
                who = f"{slow} has not handled" if slow else "nobody has handled"
                text = f"the event log is full ({span.bytes} of {self._limit} bytes): {who} its events"
                return f"{text} since position {floor}; start it, or remove it, or raise [mesh] log_limit"
            span = self._log.span
        return ""

    async def _give_up(self, oldest: int, floor: int) -> int:
        await self._index.harden()
        step = max(1, (self._log.span.newest - oldest) // STEPS)
        below, freed = oldest, 0
        while not freed and below < floor:
            below = min(floor, below + step)
            freed = await self._log.drop(below)
        return freed

    async def prune_always(self) -> None:
        while True:
            await asyncio.sleep(PRUNE)
            with suppress(Unavailable):
                await self._prune()

    async def _prune(self) -> None:
        """Settled events older than `keep` go, file by file."""
        span = self._log.span
        low, high = span.oldest, min(self._floor(), span.newest)
        until = self._clock.wall() - self._keep
        while low < high:
            middle = (low + high) // 2
            found, _ = await self._log.read(middle, frozenset(), 1)
            if found and found[0].taken < until:
                low = middle + 1
            else:
                high = middle
        if low > span.oldest:
            # A dead letter is nowhere else once its file is gone.
            await self._index.harden()
            await self._log.drop(low)
