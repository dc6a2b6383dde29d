"""When must a node be looked at again although nothing happens?"""

import asyncio

from noded.model.inputs import Woken
from noded.ports import Clock, Inbox


class Alarms:
    """One alarm per node; a later call replaces an earlier one."""

    def __init__(self, clock: Clock, inbox: Inbox) -> None:
        self._clock = clock
        self._inbox = inbox
        self._set: dict[str, asyncio.TimerHandle] = {}

    def wake(self, node: str, at: float) -> None:
        held = self._set.pop(node, None)
        if held is not None:
            held.cancel()
        delay = max(0.0, at - self._clock.now())
        self._set[node] = asyncio.get_running_loop().call_later(delay, self._ring, node)

    def _ring(self, node: str) -> None:
        self._set.pop(node, None)
        self._inbox.put(Woken(self._clock.now(), node))
