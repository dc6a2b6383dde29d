"""Does the server speak HTTP with good, bad, slow and many clients, and lose none when it drains?"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nodekit.http import Limits, Request, Response
from nodekit.listen import Listen
from nodekit.server import LAST_CALL, Server
from tests.nodekit.noded_side import DEADLINE, NodedSide

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
QUICK = Limits(head=2048, body=10_000, head_time=0.3, body_time=0.3, idle=0.3, write=0.3)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer(request: Request) -> Response:
    match request.path:
        case "/slow":
            await asyncio.sleep(0.3)
        case "/never":
            await asyncio.sleep(3600)
        case "/big":
            return Response(b"x" * 20_000_000)
        case "/bad":
            return Response(headers={"A": "b\r\nc"})
    return Response(f"{request.method} {request.path} {len(request.body)}")


def over_socket(call: Callable[..., Coroutine[Any, Any, None]]) -> Callable[[NodedSide], None]:
    """Runs an async test with the path of a socket, under a deadline."""

    def run(noded: NodedSide) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(2 * DEADLINE):
                await call(noded.http)

        asyncio.run(bounded())

    return run


@asynccontextmanager
async def serving(path: str, limits: Limits | None = None) -> AsyncIterator[Server]:
    server = Server(answer, limits)
    await server.start(Listen(path=path).bind())
    yield server
    if not server.draining:
        await server.drain(time.monotonic())


async def read_answer(
    reader: asyncio.StreamReader, with_body: bool = True
) -> tuple[int, dict[str, str], bytes]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers["content-length"])) if with_body else b""
    return int(first.split()[1]), headers, body


async def send(path: str, wire: bytes) -> Streams:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(wire)
    return reader, writer


async def until(true: Callable[[], bool]) -> None:
    for _ in range(round(DEADLINE / 0.01)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


async def ended(streams: Streams) -> bytes:
    """What still came before the server closed."""
    rest = await streams[0].read()
    streams[1].close()
    return rest


@over_socket
async def test_a_connection_is_kept_for_many_requests(path: str) -> None:
    async with serving(path):
        reader, writer = await asyncio.open_unix_connection(path)
        for number in range(50):
            writer.write(f"GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            status, headers, body = await read_answer(reader)
            assert (status, body) == (200, f"GET /{number} 0".encode())
            assert "connection" not in headers
        writer.close()


@over_socket
async def test_requests_sent_ahead_are_answered_in_order(path: str) -> None:
    async with serving(path):
        reader, writer = await send(path, b"".join(GET.replace(b"/ ", b"/%d " % n) for n in range(20)))
        for number in range(20):
            assert (await read_answer(reader))[2] == f"GET /{number} 0".encode()
        writer.close()


@over_socket
async def test_head_has_the_length_and_no_body(path: str) -> None:
    async with serving(path):
        reader, writer = await send(path, b"HEAD /abc HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        status, headers, _ = await read_answer(reader, with_body=False)
        assert (status, headers["content-length"]) == (200, str(len("HEAD /abc 0")))
        assert (await read_answer(reader))[2] == b"GET / 0"
        writer.close()


@over_socket
async def test_bodies_by_length_and_in_chunks(path: str) -> None:
    async with serving(path):
        reader, writer = await send(path, b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
        await asyncio.sleep(0.02)
        writer.write(
            b"llo" + b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        )
        assert (await read_answer(reader))[2] == b"POST /a 5"
        writer.write(b"4\r\ndefg\r\n0\r\n\r\n" + GET)
        assert (await read_answer(reader))[2] == b"POST /b 7"
        assert (await read_answer(reader))[2] == b"GET / 0"
        writer.close()


@over_socket
async def test_a_client_that_asks_first_is_told_to_go_on(path: str) -> None:
    async with serving(path):
        wire = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        reader, writer = await send(path, wire)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await read_answer(reader))[2] == b"POST / 2"
        writer.close()


@over_socket
async def test_a_client_that_wants_to_close_is_closed(path: str) -> None:
    async with serving(path):
        for wire in (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"):
            streams = await send(path, wire)
            _, headers, _ = await read_answer(streams[0])
            assert headers["connection"] == "close"
            assert await ended(streams) == b""


@over_socket
async def test_a_client_that_only_stops_writing_still_gets_its_answer(path: str) -> None:
    async with serving(path):
        streams = await send(path, GET.replace(b"/ ", b"/slow "))
        streams[1].write_eof()
        assert (await read_answer(streams[0]))[2] == b"GET /slow 0"
        assert await ended(streams) == b""


@pytest.mark.parametrize(
    ("status", "wire"),
    [
        (400, b"nonsense\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET nowhere HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"),
        (413, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10001\r\n\r\n"),
        (413, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000),
        (413, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9999\r\n"),
        (431, b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 2100 + b"\r\n\r\n"),
        (431, b"GET /" + b"x" * 60_000),
        (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (408, b"GET / HT"),
        (408, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"),
        (408, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        (500, b"GET /bad HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    ],
)
def test_bad_requests_get_their_status_and_the_connection_ends(
    noded: NodedSide, status: int, wire: bytes
) -> None:
    async def call(path: str) -> None:
        async with serving(path, QUICK):
            streams = await send(path, wire)
            got, headers, body = await read_answer(streams[0])
            assert (got, headers["connection"]) == (status, "close")
            assert body
            assert await ended(streams) == b""
            again = await send(path, GET)
            assert (await read_answer(again[0]))[0] == 200
            again[1].close()

    over_socket(call)(noded)


@over_socket
async def test_a_client_that_dribbles_does_not_get_more_time(path: str) -> None:
    async with serving(path, QUICK):
        reader, writer = await asyncio.open_unix_connection(path)
        started = time.monotonic()
        answered = asyncio.create_task(read_answer(reader))
        while not answered.done():
            writer.write(b"G" if time.monotonic() == started else b"E")
            await asyncio.sleep(0.05)
        assert (await answered)[0] == 408
        assert time.monotonic() - started < 2.0
        writer.close()


@over_socket
async def test_an_idle_client_is_closed_without_a_word(path: str) -> None:
    async with serving(path, QUICK) as server:
        streams = await send(path, GET)
        await read_answer(streams[0])
        assert await ended(streams) == b""
        assert not server.connections


@over_socket
async def test_a_client_that_does_not_read_is_dropped(path: str) -> None:
    async with serving(path, QUICK) as server:
        _, writer = await send(path, GET.replace(b"/ ", b"/big "))
        await until(lambda: server.answered > 0 and not server.connections)
        writer.close()


@over_socket
async def test_a_client_that_goes_away_does_no_harm(path: str) -> None:
    async with serving(path) as server:
        _, writer = await send(path, GET.replace(b"/ ", b"/slow "))
        await asyncio.sleep(0.05)
        writer.transport.abort()
        await until(lambda: server.answered > 0 and not server.connections)


@over_socket
async def test_one_connection_too_many_is_turned_away(path: str) -> None:
    async with serving(path, Limits(connections=2)):
        held = [await send(path, GET) for _ in range(2)]
        for reader, _ in held:
            await read_answer(reader)
        streams = await send(path, b"")
        assert (await read_answer(streams[0]))[0] == 503
        assert await ended(streams) == b""
        for _, writer in held:
            writer.close()


async def ask_often(path: str, count: int) -> int:
    reader, writer = await asyncio.open_unix_connection(path)
    for number in range(count):
        writer.write(f"GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await read_answer(reader))[2] == f"GET /{number} 0".encode()
    writer.close()
    return count


@over_socket
async def test_sixty_four_clients_at_once(path: str) -> None:
    async with serving(path) as server:
        counts = await asyncio.gather(*(ask_often(path, 20) for _ in range(64)))
        assert sum(counts) == server.answered == 64 * 20


async def ask_until_told_to_go(path: str, statuses: list[int]) -> None:
    """Does what HTTP says: stops at `Connection: close`. It is served or refused, never dropped."""
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return
        kept = True
        while kept:
            writer.write(GET.replace(b"/ ", b"/slow ") if len(statuses) % 7 == 0 else GET)
            status, headers, _ = await read_answer(reader)
            statuses.append(status)
            kept = headers.get("connection") != "close"
        writer.close()


@over_socket
async def test_draining_under_load_loses_no_request(path: str) -> None:
    async with serving(path) as server:
        statuses: list[int] = []
        clients = [asyncio.create_task(ask_until_told_to_go(path, statuses)) for _ in range(16)]
        await until(lambda: len(statuses) >= 300)
        assert await server.drain(time.monotonic() + DEADLINE) == 0
        await asyncio.gather(*clients)
        assert set(statuses) == {200}
        assert len(statuses) == server.answered
        with pytest.raises(FileNotFoundError):
            await asyncio.open_unix_connection(path)


@over_socket
async def test_a_request_that_was_on_its_way_at_the_stop_is_answered(path: str) -> None:
    async with serving(path) as server:
        reader, writer = await send(path, GET)
        await read_answer(reader)
        drained = asyncio.create_task(server.drain(time.monotonic() + DEADLINE))
        await asyncio.sleep(LAST_CALL / 2)
        writer.write(GET)
        status, headers, _ = await read_answer(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert await drained == 0
        writer.close()


@over_socket
async def test_a_connection_waiting_to_be_accepted_is_served(path: str) -> None:
    async with serving(path) as server:
        waiting = [asyncio.create_task(send(path, GET)) for _ in range(30)]
        await asyncio.sleep(0)
        drained = asyncio.create_task(server.drain(time.monotonic() + DEADLINE))
        for streams in await asyncio.gather(*waiting, return_exceptions=True):
            if not isinstance(streams, BaseException):
                assert (await read_answer(streams[0]))[0] == 200
                streams[1].close()
        assert await drained == 0


@over_socket
async def test_what_never_ends_is_cut_off_at_the_deadline_and_counted(path: str) -> None:
    async with serving(path) as server:
        streams = await send(path, GET.replace(b"/ ", b"/never "))
        await asyncio.sleep(0.05)
        started = time.monotonic()
        assert await server.drain(started + 0.3) == 1
        assert 0.25 < time.monotonic() - started < 2.0
        streams[1].close()


@over_socket
async def test_draining_with_nobody_there_is_quick(path: str) -> None:
    async with serving(path) as server:
        started = time.monotonic()
        assert await server.drain(started + DEADLINE) == 0
        assert time.monotonic() - started < 0.4
