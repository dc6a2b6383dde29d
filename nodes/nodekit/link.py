"""What can be said to a mesh, and what is heard from it? And how is a connection to it kept up?"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from typing import Protocol

from .raw import FRAME, PUBLISHED, REQUEST, Connection, NotSpoken, connect_raw
from .wire import Published, Settle, Subscribe, decode_published

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
TRANSPORTS = ("auto", "raw", "grpc")
# A mesh that stays away is named in the log once a minute.
SAID_AGAIN = 60.0
logger = logging.getLogger("nodekit")


class Ears(Protocol):
    """Who hears what the mesh says. Called on the event loop; must not raise and must not take long."""

    def on_open(self) -> None:
        """A new connection: hello and subscribe were said again, and nothing else was said yet."""
        ...

    def on_published(self, published: Published) -> None: ...

    def on_frame(self, frame: bytes) -> None:
        """A frame with its delivery. Raises WireError for one that is none."""
        ...

    def on_lost(self, why: str) -> None:
        """The connection, and with it every delivery. Another one is tried until the link is closed.

        Also said of every try that failed.
        """
        ...


class Link(Protocol):
    """What is said while there is no connection is dropped, but for `hello` and `subscribe`: they are said
    again on every connection, before anything else."""

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
        """Consuming begins. Called once."""
        ...

    def settle(self, settle: Settle) -> None: ...

    async def close(self) -> None:
        """What was said before is written out, if there is a connection."""
        ...


class MeshLink:
    """The Link to a noded-mesh on this host."""

    def __init__(self, path: str, transport: str = "auto") -> None:
        self.path, self.transport = path, transport
        self._hello = self._subscribe = b""
        self._connection: Connection | None = None
        self._heard = self._closed = False
        self._told = ("", 0.0)
        self._wanted = asyncio.Event()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "MeshLink":
        """Raises ValueError."""
        address, transport = environ.get("NODED_MESH", ""), environ.get("NODED_MESH_TRANSPORT") or "auto"
        if not address.startswith("unix:/"):
            raise ValueError(f'NODED_MESH: expected "unix:/path", got {address!r}')
        if transport not in TRANSPORTS:
            raise ValueError(f"NODED_MESH_TRANSPORT: expected {', '.join(TRANSPORTS)}, got {transport!r}")
        return cls(address.removeprefix("unix:"), transport)

    def open(self, ears: Ears) -> None:
        self.ears = ears
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="nodekit mesh")

    def hello(self, frame: bytes) -> None:
        before, self._hello = self._hello, frame
        self._wanted.set()
        if self._connection and before:
            self._leave(self._connection)
        elif self._connection:
            self._connection.write(FRAME, frame)

    def send(self, frame: bytes) -> None:
        if self._connection:
            self._connection.write(FRAME, frame)

    def subscribe(self, subscribe: Subscribe) -> None:
        self._subscribe = subscribe.encode()
        self._wanted.set()
        if self._connection:
            self._connection.write(REQUEST, self._subscribe)

    def settle(self, settle: Settle) -> None:
        if self._connection:
            self._connection.write(REQUEST, settle.encode())

    async def close(self) -> None:
        self._closed = True
        if self._connection:
            await self._connection.close()
        self._task.cancel()
        await asyncio.wait([self._task])

    # How it is done

    def _leave(self, connection: Connection) -> None:
        self._leaving = asyncio.get_running_loop().create_task(connection.close(), name="nodekit mesh hello")

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        # The mesh has no patience with those who come and say nothing.
        await self._wanted.wait()
        while True:
            self._heard = False
            why = await self._live()
            if self._closed:
                return
            self._tell(why)
            self.ears.on_lost(why)
            pause = FIRST_PAUSE if self._heard else min(LONGEST_PAUSE, 2 * pause)
            # Hundreds of nodes come back to a mesh that was restarted: not all at the same moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _live(self) -> str:
        """One connection, until it ends. Returns why it did."""
        try:
            connection = await self._connect()
        except (OSError, TimeoutError, NotSpoken) as error:
            return f"noded-mesh cannot be reached at {self.path}: {str(error) or 'it does not answer'}"
        self._connection = connection
        try:
            if self._hello:
                connection.write(FRAME, self._hello)
            if self._subscribe:
                connection.write(REQUEST, self._subscribe)
            self.ears.on_open()
            return await connection.ended()
        finally:
            self._connection = None
            await connection.close()

    async def _connect(self) -> Connection:
        if self.transport != "grpc":
            try:
                return await connect_raw(self.path, self._hear)
            except NotSpoken:
                if self.transport == "raw":
                    raise
        from .link_grpc import connect_grpc

        return await connect_grpc(self.path, self._hear)

    def _hear(self, kind: int, body: bytes) -> None:
        """Raises WireError."""
        self._heard = True
        if kind == PUBLISHED:
            self.ears.on_published(decode_published(body))
        else:
            self.ears.on_frame(body)

    def _tell(self, why: str) -> None:
        text, at = self._told
        if why != text or time.monotonic() - at > SAID_AGAIN:
            self._told = (why, time.monotonic())
            logger.warning("mesh: %s; trying again", why)
