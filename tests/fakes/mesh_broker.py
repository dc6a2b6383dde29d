"""A broker that keeps no log: what one instance publishes, every session gets at once."""

import asyncio
from collections import deque

from nodeapi.v1.mesh_pb2 import Delivery, Published, Settle, Subscribe
from nodemesh.adapters import frames
from nodemesh.ports import Refused

WINDOW = 1024 * 1024


class MeshBroker:
    """Refuses instances whose name begins with "stranger"; `full` holds publishers back while it is set.

    Nothing is answered while `disk` is not set, and nobody let in while `known` is not.
    """

    def __init__(self) -> None:
        self.uids: dict[str, int] = {}
        self.publishers: list[MeshPublisher] = []
        self.sessions: list[MeshSession] = []
        self.full = asyncio.Event()
        self.known = asyncio.Event()
        self.known.set()
        self.disk = asyncio.Event()
        self.disk.set()

    async def publisher(self, uid: int, hello: bytes) -> "MeshPublisher":
        head, instance, _ = frames.hello(hello)
        await self._admit(uid, instance)
        made = MeshPublisher(self, head.stream)
        self.publishers.append(made)
        return made

    async def session(self, uid: int, subscribe: Subscribe) -> "MeshSession":
        await self._admit(uid, subscribe.instance)
        made = MeshSession(subscribe)
        self.sessions.append(made)
        return made

    async def _admit(self, uid: int, instance: str) -> None:
        await self.known.wait()
        if instance.startswith("stranger"):
            raise Refused(f"{instance}: no instance of this host has that name and uid {uid}")
        if instance.startswith("mistake"):
            raise ZeroDivisionError(instance)
        self.uids[instance] = uid


class MeshPublisher:
    def __init__(self, broker: MeshBroker, stream: str) -> None:
        self.broker, self.stream = broker, stream
        self.through = 0
        self.told = -1
        self.news = asyncio.Event()
        self.closed = False

    async def feed(self, frame: bytes) -> None:
        while self.broker.full.is_set():  # noqa: ASYNC110 - only tests wait here
            await asyncio.sleep(0.01)
        head, _ = frames.read(frame)
        if head.first != self.through + 1:
            raise Refused(f"head.first: expected {self.through + 1}, found {head.first}")
        self.through = head.last
        for session in self.broker.sessions:
            if not session.closed:
                session.put(frame, head.count)
        self.news.set()

    async def take(self) -> bytes:
        while self.told == self.through:
            self.news.clear()
            await self.news.wait()
        await self.broker.disk.wait()
        self.told = self.through
        return Published(through=self.through, window=WINDOW).SerializeToString()

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class MeshSession:
    def __init__(self, subscribe: Subscribe) -> None:
        self.subscribe = subscribe
        self.waiting: deque[bytes] = deque()
        self.sent = self.taken = 0
        self.settled: list[Settle] = []
        self.news = asyncio.Event()
        self.closed = False

    def put(self, frame: bytes, count: int) -> None:
        self.sent += 1
        self.waiting.append(frames.delivered(frame, Delivery(number=self.sent, attempt=1, origin="here")))
        self.news.set()

    async def take(self) -> bytes:
        while not self.waiting:
            self.news.clear()
            await self.news.wait()
        self.taken += 1
        return self.waiting.popleft()

    def settle(self, settle: Settle) -> None:
        if settle.through > self.sent:
            raise Refused(f"settle.through: expected at most {self.sent}, found {settle.through}")
        self.settled.append(settle)

    def close(self) -> None:
        assert not self.closed
        self.closed = True
