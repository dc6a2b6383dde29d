"""A state that a test holds in its hand, for tests of what looks at it without being asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from noded.model.state import HostState
from noded.ports import Clock
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox


class Held:
    def __init__(self, state: HostState, clock: Clock | None = None) -> None:
        self.state = state
        self.clock: Clock = clock or FakeClock()
        self.inbox = FakeInbox()

    def view(self) -> HostState:
        return self.state

    @asynccontextmanager
    async def watching(
        self, monitor: Callable[..., Coroutine[Any, Any, None]], *more: object
    ) -> AsyncIterator[None]:
        task = asyncio.ensure_future(monitor(self.view, self.clock, self.inbox, *more))
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
