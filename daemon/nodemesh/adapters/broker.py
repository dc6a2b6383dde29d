"""What do the doors ask of the broker? The same for every transport, in two ways.

A task waits with `feed` and `take`. Who can do without one on the loop's next turn does it with `feed_now`
and `take_now`, and lets himself be called.
"""

from collections.abc import Callable
from typing import Protocol

from nodeapi.v1.mesh_pb2 import Settle, Subscribe


class Bell(Protocol):
    def call(self, who: Callable[[], None]) -> None:
        """From now on, when there may be something to take."""
        ...


class Publisher(Protocol):
    """One stream of events that comes in."""

    @property
    def news(self) -> Bell: ...

    @property
    def is_busy(self) -> bool:
        """`feed` would wait."""
        ...

    async def feed(self, frame: bytes) -> None:
        """Takes one frame; waits while the log is full. Raises Refused when the stream must end."""
        ...

    def feed_now(self, frame: bytes) -> None:
        """The same, unless it is busy."""
        ...

    async def take(self) -> bytes:
        """The next Published; waits until there is news. The first comes at once."""
        ...

    def take_now(self) -> bytes | None:
        """The same; None when there is no news, if it knows."""
        ...

    def close(self) -> None: ...


class Session(Protocol):
    """One consuming instance."""

    @property
    def wake(self) -> Bell: ...

    async def take(self) -> bytes:
        """The next frame to deliver; waits until there is one."""
        ...

    def take_now(self) -> bytes | None:
        """The same; None when there is nothing, or when `is_unread`."""
        ...

    @property
    def is_unread(self) -> bool:
        """What comes next has to be read from the disk: only `take` has it."""
        ...

    def settle(self, settle: Settle) -> None:
        """Raises Refused for nonsense."""
        ...

    def close(self) -> None:
        """What it held is given to others."""
        ...


class Broker(Protocol):
    async def publisher(self, uid: int, hello: bytes) -> Publisher:
        """Waits until the instance is known. Raises Refused."""
        ...

    async def session(self, uid: int, subscribe: Subscribe) -> Session:
        """Waits until the instance is known. Raises Refused."""
        ...
