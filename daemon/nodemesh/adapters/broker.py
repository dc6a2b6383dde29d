"""What do the doors ask of the broker? The same for every transport."""

from typing import Protocol

from nodeapi.v1.mesh_pb2 import Settle, Subscribe


class Publisher(Protocol):
    """One stream of events that comes in."""

    async def feed(self, frame: bytes) -> None:
        """Takes one frame; waits while the log is full. Raises Refused when the stream must end."""
        ...

    async def take(self) -> bytes:
        """The next Published; waits until there is news. The first comes at once."""
        ...

    def close(self) -> None: ...


class Session(Protocol):
    """One consuming instance."""

    async def take(self) -> bytes:
        """The next frame to deliver; waits until there is one."""
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
