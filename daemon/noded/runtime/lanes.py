"""How are actions kept in order without one node waiting for another?

Two lanes per node: traffic never waits for work. A lane is a task that lives while it has
something to do. What a traffic action makes pointless is dropped from the work lane. Clearing up
after an instance waits for its successor, unless the successor may not run beside what is left.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from noded.model.actions import (
    TABLES,
    TRAFFIC,
    Action,
    ActivateInstance,
    Answer,
    InstallRoute,
    Note,
    Prepare,
    RemoveInstance,
    StartInstance,
    WakeAt,
)

Perform = Callable[[Action], Coroutine[Any, Any, None]]
Drop = Callable[[Action, str], None]
Key = tuple[str, bool]
AT_ONCE = (Answer, WakeAt, Note, Prepare)
"""They touch no instance, so they wait for nobody and nobody waits for them."""
OF_THE_MESH: Key = ("", True)
"""A lane that is no node's, for its tables are about all of them."""
OWN_PLACE = ("unix:", "127.0.0.1:")
"""How listening places begin that no other instance has."""


class Lanes:
    def __init__(self, group: asyncio.TaskGroup, perform: Perform, drop: Drop) -> None:
        self._group = group
        self._perform = perform
        self._drop = drop
        self._waiting: dict[Key, deque[Action]] = {}

    def submit(self, action: Action) -> None:
        if isinstance(action, AT_ONCE):
            self._group.create_task(self._perform(action))
            return
        if isinstance(action, InstallRoute):
            self._cancel(action)
        key = OF_THE_MESH if isinstance(action, TABLES) else (action.node, isinstance(action, TRAFFIC))
        if key in self._waiting:
            _join(self._waiting[key], action)
            return
        self._waiting[key] = deque([action])
        self._group.create_task(self._run(key))

    @property
    def idle(self) -> bool:
        return not self._waiting

    async def _run(self, key: Key) -> None:
        lane = self._waiting[key]
        while lane:
            await self._perform(lane.popleft())
        del self._waiting[key]

    def _cancel(self, route: InstallRoute) -> None:
        lane = self._waiting.get((route.node, False))
        if lane is None or not route.cancels:
            return
        pointless = [a for a in lane if isinstance(a, StartInstance) and a.instance in route.cancels]
        for action in pointless:
            lane.remove(action)
            self._drop(action, route.reason)


def _join(lane: deque[Action], action: Action) -> None:
    place = len(lane)
    if _runs_beside(action):
        while place and isinstance(lane[place - 1], RemoveInstance):
            place -= 1
    lane.insert(place, action)


def _runs_beside(action: Action) -> bool:
    """Whether it may be done while something is left of a predecessor: what listens in a place of its own."""
    if isinstance(action, StartInstance):
        return action.listen.startswith(OWN_PLACE)
    return isinstance(action, ActivateInstance)
