"""In which order do facts reach the reactor?"""

import asyncio
from collections import deque

from noded.model.inputs import Input, Sampled, SignalsTold, TrafficCounted

LATEST = (Sampled, TrafficCounted, SignalsTold)
"""Readings: an old one is worth nothing beside a newer one, so a stall leaves no backlog of them."""


class Inbox:
    def __init__(self) -> None:
        self._facts: deque[Input] = deque()
        self._latest: dict[type, Input] = {}
        self._some = asyncio.Event()

    def put(self, fact: Input) -> None:
        if isinstance(fact, LATEST):
            self._latest[type(fact)] = fact
        else:
            self._facts.append(fact)
        self._some.set()

    async def take(self) -> tuple[Input, ...]:
        """Wait for facts and take all there are, readings last."""
        await self._some.wait()
        self._some.clear()
        taken = (*self._facts, *self._latest.values())
        self._facts.clear()
        self._latest.clear()
        return taken
