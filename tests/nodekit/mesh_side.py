"""The mesh's end of the raw protocol, for tests: it keeps what is published and delivers."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from zlib import crc32

from nodekit import frames, raw, wire
from nodekit.events import Events

DEADLINE = 10.0
PREFACE = b"NODED-MESH/1\n"


class MeshSide:
    """`log`: sequence numbers by stream. What a test changes (`acks`, `refuse` ...) counts from then on."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(dir="/tmp", prefix="nd")
        self.path = f"{self.folder}/mesh.sock"
        self.server: asyncio.Server | None = None
        self.writers: list[asyncio.StreamWriter] = []
        self.log: dict[str, int] = {}
        self.hellos: list[frames.Head] = []
        self.frames: list[frames.Frame] = []
        self.subscribes: list[wire.Subscribe] = []
        self.settles: list[wire.Settle] = []
        self.acks = True
        self.refuse = ""
        self.window = 1 << 20
        self.waiting = ""
        self.number = 0
        self.position = 0
        self.connections = self.beats = 0

    @property
    def environ(self) -> dict[str, str]:
        return {"NODED_MESH": f"unix:{self.path}"}

    async def open(self) -> None:
        self.server = await asyncio.start_unix_server(self.serve, self.path)

    async def close(self) -> None:
        """As after a kill: the file of the socket stays."""
        if self.server:
            self.server.close()
        self.server = None
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    def forget(self) -> None:
        shutil.rmtree(self.folder)

    # What it hears

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        stream = ""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            assert await reader.readexactly(len(PREFACE)) == PREFACE
            writer.write(PREFACE)
            while True:
                size = int.from_bytes(await reader.readexactly(4), "little")
                body = await reader.readexactly(size)
                kind, body = body[0], body[1:]
                if kind == raw.BEAT:
                    self.beats += 1
                elif kind == raw.REQUEST:
                    self.hear(wire.decode_request(body))
                elif not stream:
                    stream = self.greet(body, writer)
                else:
                    self.take(body, writer)

    def hear(self, said: wire.Subscribe | wire.Settle) -> None:
        if isinstance(said, wire.Subscribe):
            self.subscribes.append(said)
            self.number = 0
        else:
            self.settles.append(said)

    def greet(self, body: bytes, writer: asyncio.StreamWriter) -> str:
        head = frames.decode_frame(body).head
        assert head.count == 0
        self.hellos.append(head)
        self.answer(head.stream, writer)
        return head.stream

    def take(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        frame = frames.decode_frame(body)
        head = frame.head
        assert head.count == len(frame.data)
        known = self.log.get(head.stream, 0)
        assert head.first <= known + 1, "a gap"
        refused: tuple[wire.Refusal, ...] = ()
        if head.first + head.count - 1 > known:
            self.frames.append(frame)
            if self.refuse:
                refused = (wire.Refusal(head.first, 1, self.refuse),)
            self.log[head.stream] = head.first + head.count - 1
        if self.acks:
            self.answer(head.stream, writer, refused)

    def answer(
        self, stream: str, writer: asyncio.StreamWriter, refused: tuple[wire.Refusal, ...] = ()
    ) -> None:
        said = wire.Published(self.log.get(stream, 0), self.window, refused, self.waiting)
        self.say(writer, raw.PUBLISHED, said.encode())

    # What it says

    def say(self, writer: asyncio.StreamWriter, kind: int, body: bytes) -> None:
        writer.write((len(body) + 1).to_bytes(4, "little") + bytes([kind]) + body)

    def ack(self) -> None:
        for stream in self.log:
            self.answer(stream, self.writers[-1])

    def deliver(
        self,
        data: Sequence[bytes],
        *,
        types: Sequence[str] = ("a.b",),
        type: Sequence[int] = (),
        subjects: Sequence[str] = (),
        attempt: int = 1,
        first: int = 0,
        extras: Sequence[frames.Extra] = (),
        index: Sequence[int] = (),
        content: str = "",
    ) -> int:
        """Returns the number of the delivery. `first` names events that came before."""
        self.number += 1
        self.position += len(data) if not first else 0
        begin = first or self.position - len(data) + 1
        head = frames.Head(
            "/other", "other.1-00000000", begin, len(data), 1_700_000_000_000_000, tuple(types), content, "1"
        )
        columns = frames.encode_columns(
            type, (), subjects, [crc32(each.encode()) for each in subjects], index
        )
        frame = frames.encode_frame(head, columns, data, extras)
        delivery = frames.Delivery(self.number, begin, attempt, 1, "here")
        self.say(self.writers[-1], raw.DELIVERED, frames.delivered(frame, delivery))
        return self.number

    # What tests ask

    @property
    def data(self) -> list[bytes]:
        return [data for frame in self.frames for data in frame.data]

    @property
    def through(self) -> int:
        return max((each.through for each in self.settles), default=0)

    @property
    def failed(self) -> list[wire.Failed]:
        return [failed for each in self.settles for failed in each.failed]


async def until(wanted: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not wanted():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def living(events: Events, release: Path = Path("/nonexistent")) -> AsyncIterator[None]:
    """A node's event side from its start to its graceful stop."""
    events.open(release)
    async with asyncio.TaskGroup() as group:
        events.consume(group)
        try:
            yield
        finally:
            await events.stop_consuming(time.monotonic() + 2)
            await events.close(time.monotonic() + 2)


def trial(mesh: MeshSide, **environ: str) -> Events:
    return Events("trial", "trial.1", "1.2.3", {**mesh.environ, **environ})


def run(scenario: Callable[[MeshSide], Awaitable[None]]) -> None:
    """A scenario with a mesh that listens."""

    async def whole() -> None:
        mesh = MeshSide()
        try:
            await mesh.open()
            async with asyncio.timeout(3 * DEADLINE):
                await scenario(mesh)
            await mesh.close()
        finally:
            mesh.forget()

    asyncio.run(whole())
