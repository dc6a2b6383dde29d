"""A broker that keeps no log: what one instance publishes, every session gets at once."""

import asyncio
from collections import deque

from nodeapi.v1.mesh_pb2 import Delivery, Published, Settle, Subscribe
from nodemesh.adapters import frames
from nodemesh.ports import Refused
from nodemesh.runtime.bell import Bell

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
        self.disk = Bell()
        self.disk.set()
        self.disk.call(self.ring)

    def ring(self) -> None:
        for publisher in self.publishers:
            publisher.news.set()

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
        self.news = Bell()
        self.closed = False

    @property
    def is_busy(self) -> bool:
        return self.broker.full.is_set()

    async def feed(self, frame: bytes) -> None:
        while self.is_busy:  # noqa: ASYNC110 - only tests wait here
            await asyncio.sleep(0.01)
        self.feed_now(frame)

    def feed_now(self, frame: bytes) -> None:
        head, _ = frames.read(frame)
        if head.first != self.through + 1:
            raise Refused(f"head.first: expected {self.through + 1}, found {head.first}")
        self.through = head.last
        for session in self.broker.sessions:
            if not session.closed:
                session.put(frame, head.count)
        self.news.set()

    async def take(self) -> bytes:
        while (told := self.take_now()) is None:
            self.news.clear()
            await self.news.wait()
        return told

    def take_now(self) -> bytes | None:
        if self.told == self.through or not self.broker.disk.is_set():
            return None
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
        self.wake = Bell()
        self.is_unread = False
        self.closed = False

    def put(self, frame: bytes, count: int) -> None:
        self.sent += 1
        self.waiting.append(frames.delivered(frame, Delivery(number=self.sent, attempt=1, origin="here")))
        self.wake.set()

    async def take(self) -> bytes:
        while (frame := self.take_now()) is None:
            self.wake.clear()
            await self.wake.wait()
        return frame

    def take_now(self) -> bytes | None:
        if not self.waiting:
            return None
        self.taken += 1
        return self.waiting.popleft()

    def settle(self, settle: Settle) -> None:
        if settle.through > self.sent:
            raise Refused(f"settle.through: expected at most {self.sent}, found {settle.through}")
        self.settled.append(settle)

    def close(self) -> None:
        assert not self.closed
        self.closed = True
