"""Does the link find its mesh, come back to it, and survive whatever is said at the other end?"""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from nodekit import frames, link_grpc, raw, wire
from nodekit.fields import chunk
from nodekit.link import MeshLink
from tests.nodekit.mesh_side import PREFACE, MeshSide, run, until

HELLO = chunk(1, frames.Head("/a", "a.1-1", instance="a.1").encode())


class Heard:
    def __init__(self) -> None:
        self.opened = 0
        self.published: list[wire.Published] = []
        self.frames: list[bytes] = []
        self.lost: list[str] = []

    def on_open(self) -> None:
        self.opened += 1

    def on_published(self, published: wire.Published) -> None:
        self.published.append(published)

    def on_frame(self, frame: bytes) -> None:
        frames.decode_frame(frame)
        self.frames.append(frame)

    def on_lost(self, why: str) -> None:
        self.lost.append(why)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def with_server(
    talk: Talk, scenario: Callable[[MeshLink, Heard], Awaitable[None]], transport: str = "raw"
) -> None:
    async def whole(mesh: MeshSide) -> None:
        await mesh.close()
        os.unlink(mesh.path)
        server = await asyncio.start_unix_server(talk, mesh.path)
        link, heard = MeshLink(mesh.path, transport), Heard()
        link.open(heard)
        link.hello(HELLO)
        try:
            await scenario(link, heard)
        finally:
            await link.close()
            server.close()

    run(whole)


def message(kind: int, body: bytes) -> bytes:
    return (len(body) + 1).to_bytes(4, "little") + bytes([kind]) + body


def test_messages_arrive_whole_however_they_are_cut() -> None:
    sent = [
        frames.encode_frame(frames.Head("/b", "s", 1), b"", [os.urandom(size)])
        for size in (1, 1 << 20, 300_000, 5)
    ]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = PREFACE + b"".join(message(raw.DELIVERED, each) for each in sent) + message(raw.BEAT, b"")
        for start in range(0, 40):
            writer.write(whole[start : start + 1])
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(whole[40:])

    async def scenario(link: MeshLink, heard: Heard) -> None:
        await until(lambda: len(heard.frames) == len(sent))
        assert heard.frames == sent

    with_server(talk, scenario)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (message(raw.DELIVERED, b"")[:4] + b"", "closed the connection"),
        ((0).to_bytes(4, "little") + b"\x06", "a message of 0 bytes"),
        ((1 << 30).to_bytes(4, "little") + b"\x04", "a message of 1073741824 bytes"),
        (message(9, b"x"), "a message of the unknown kind 9"),
        (message(raw.GOODBYE, b"instance a.1 is not in the table"), "instance a.1 is not in the table"),
    ],
)
def test_after_nonsense_and_goodbyes_it_comes_again(said: bytes, why: str) -> None:
    times = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        times.append(time.monotonic())
        writer.write(PREFACE + said)
        writer.write_eof()

    async def scenario(link: MeshLink, heard: Heard) -> None:
        await until(lambda: len(times) == 4)
        assert why in heard.lost[0]
        assert heard.opened >= 3

    with_server(talk, scenario)


def test_what_cannot_be_read_means_a_new_connection() -> None:
    connections = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.write(PREFACE + message(raw.DELIVERED, b"\x1a\x05"))
        await asyncio.sleep(1)

    async def scenario(link: MeshLink, heard: Heard) -> None:
        await until(lambda: len(connections) == 2)
        assert heard.lost[0] == "a message that cannot be read: the frame is cut off"

    with_server(talk, scenario)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 No\r\n"])
def test_a_server_of_another_kind_is_not_taken_for_a_mesh(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)
        writer.write(answer)
        writer.close()

    async def scenario(link: MeshLink, heard: Heard) -> None:
        await until(lambda: heard.lost)
        assert "noded-mesh cannot be reached at" in heard.lost[0]
        assert heard.opened == 0

    with_server(talk, scenario)


def test_it_waits_longer_from_try_to_try_but_never_a_second() -> None:
    async def scenario(mesh: MeshSide) -> None:
        await mesh.close()
        link, heard = MeshLink(mesh.path, "raw"), Heard()
        times: list[float] = []
        heard.on_lost = lambda why: times.append(time.monotonic())  # type: ignore[method-assign]
        link.open(heard)
        link.hello(HELLO)
        await until(lambda: len(times) == 7)
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert pauses[0] < 0.2
        assert max(pauses) < 1.5
        await mesh.open()
        await until(lambda: heard.opened)
        await link.close()

    run(scenario)


def test_it_stays_away_until_there_is_something_to_say() -> None:
    async def scenario(mesh: MeshSide) -> None:
        link, heard = MeshLink(mesh.path, "raw"), Heard()
        link.open(heard)
        await asyncio.sleep(0.1)
        assert mesh.connections == 0
        link.hello(HELLO)
        await until(lambda: heard.published)
        assert mesh.hellos[0].stream == "a.1-1"
        await link.close()

    run(scenario)


def test_a_silent_mesh_is_given_up_and_a_quiet_node_is_heard() -> None:
    async def scenario(mesh: MeshSide) -> None:
        link, heard = MeshLink(mesh.path, "raw"), Heard()
        link.open(heard)
        link.hello(HELLO)
        await until(lambda: heard.published)
        connection = link._connection
        assert isinstance(connection, raw.RawConnection)
        connection.said -= raw.BEAT_AFTER
        connection.tick()
        await until(lambda: mesh.beats)
        connection.heard -= raw.SILENCE
        connection.tick()
        await until(lambda: heard.opened == 2)
        assert heard.lost == ["nothing was heard for 15 s"]
        await link.close()

    run(scenario)


def test_a_second_hello_means_a_new_connection() -> None:
    async def scenario(mesh: MeshSide) -> None:
        link, heard = MeshLink(mesh.path, "raw"), Heard()
        link.open(heard)
        link.hello(HELLO)
        await until(lambda: heard.published)
        link.hello(chunk(1, frames.Head("/a", "a.1-2", instance="a.1").encode()))
        await until(lambda: len(mesh.hellos) == 2)
        assert mesh.hellos[1].stream == "a.1-2"
        assert mesh.connections == 2
        await link.close()

    run(scenario)


class GrpcMesh:
    """Answers every frame and request with one message."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.refusal = ""

    async def publish(
        self, incoming: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        async for body in incoming:
            self.said.append(body)
            if self.refusal:
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, self.refusal)
            yield wire.Published(len(self.said), 1000).encode()

    async def consume(self, incoming: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        async for body in incoming:
            self.said.append(body)
            yield frames.encode_frame(frames.Head("/b", "s", 1), b"", [bytes(1 << 20)])

    @asynccontextmanager
    async def serving(self, path: str) -> AsyncIterator[None]:
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        handlers = {
            "Publish": grpc.stream_stream_rpc_method_handler(self.publish),
            "Consume": grpc.stream_stream_rpc_method_handler(self.consume),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("nodeapi.v1.Mesh", handlers),))
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        try:
            yield
        finally:
            await server.stop(0)


@pytest.mark.parametrize("transport", ["grpc", "auto"])
def test_a_mesh_that_speaks_only_grpc(transport: str) -> None:
    async def scenario(mesh: MeshSide) -> None:
        await mesh.close()
        os.unlink(mesh.path)
        service = GrpcMesh()
        link, heard = MeshLink(mesh.path, transport), Heard()
        async with service.serving(mesh.path):
            link.open(heard)
            link.hello(HELLO)
            await until(lambda: heard.published)
            subscribe = wire.Subscribe("a.1", (wire.Wish("t", 5, 10.0),), 32, True)
            link.subscribe(subscribe)
            link.settle(wire.Settle(1))
            link.send(b"\x0a\x00")
            await until(lambda: len(heard.frames) == 2 and len(heard.published) == 2)
            assert set(service.said) == {HELLO, subscribe.encode(), wire.Settle(1).encode(), b"\x0a\x00"}
        await until(lambda: heard.lost)
        service.said.clear()
        async with service.serving(mesh.path):
            await until(lambda: len(service.said) == 2)
            assert set(service.said) == {HELLO, subscribe.encode()}
            await link.close()

    run(scenario)


def test_what_grpc_refuses_is_told() -> None:
    async def scenario(mesh: MeshSide) -> None:
        await mesh.close()
        os.unlink(mesh.path)
        service = GrpcMesh()
        service.refusal = "instance a.1 has another user"
        async with service.serving(mesh.path):
            link, heard = MeshLink(mesh.path, "grpc"), Heard()
            link.open(heard)
            link.hello(HELLO)
            await until(lambda: heard.lost)
            assert heard.lost[0] == "instance a.1 has another user"
            await link.close()

    run(scenario)


def test_two_modules_know_grpc() -> None:
    assert link_grpc.__file__
    folder = Path(link_grpc.__file__).parent
    knows = [
        path.name
        for path in folder.glob("*.py")
        if "import grpc" in path.read_text() or "from grpc" in path.read_text()
    ]
    assert sorted(knows) == ["grpc_answers.py", "link_grpc.py"], "one for events, one for requests"
