"""What can be said to a mesh, and what is heard from it? Every way there is one class with these methods."""

from typing import Protocol

from .wire import Published, Settle, Subscribe


class Ears(Protocol):
    """Who hears what the mesh says. Called on the event loop; must not raise and must not take long."""

    def on_open(self) -> None:
        """A new connection: hello and subscribe were said again, and nothing else was said yet."""
        ...

    def on_published(self, published: Published) -> None: ...

    def on_frame(self, frame: bytes) -> None:
        """A frame with its delivery."""
        ...

    def on_lost(self, why: str) -> None:
        """The connection, and with it every delivery. Another one is tried until the link is closed."""
        ...


class Link(Protocol):
    """What is said while there is no connection is dropped, but for `hello` and `subscribe`: the last ones are
    said again on every connection, before anything else."""

    def open(self, ears: Ears) -> None:
        """Called once, on the running event loop."""
        ...

    def hello(self, frame: bytes) -> None:
        """Publishing begins, with a first frame that has no events. A second hello means a new connection."""
        ...

    def send(self, frame: bytes) -> None:
        """A frame of events, in the order of their sequences. The caller keeps within Published.window."""
        ...

    def subscribe(self, subscribe: Subscribe) -> None:
        """Consuming begins. A second one means a new connection."""
        ...

    def settle(self, settle: Settle) -> None: ...

    async def close(self) -> None:
        """What was said before is written out, if there is a connection."""
        ...
