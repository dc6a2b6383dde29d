"""Does the relay carry every byte both ways, hold nobody's bytes, and end with either side?"""

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from nodeapi.door import CHUNK, relay


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for may be anything
            await asyncio.sleep(0.01)


@asynccontextmanager
async def relayed() -> AsyncIterator[tuple[socket.socket, socket.socket, "asyncio.Task[None]"]]:
    """The far ends of a relay: client, server."""
    client_far, client_near = socket.socketpair()
    server_far, server_near = socket.socketpair()
    with client_far, server_far:
        for each in (client_far, client_near, server_far, server_near):
            each.setblocking(False)

        async def connection() -> None:
            with client_near, server_near:
                await relay(client_near, server_near)

        task = asyncio.create_task(connection())
        yield client_far, server_far, task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_half_closed_client_still_gets_its_answer() -> None:
    async def test() -> None:
        async with relayed() as (far, server, task):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(far, b"question")
            far.shutdown(socket.SHUT_WR)
            assert await loop.sock_recv(server, 100) == b"question"
            assert await loop.sock_recv(server, 100) == b""
            answer = os.urandom(3_000_000)
            sending = asyncio.create_task(loop.sock_sendall(server, answer))
            got = bytearray()
            while len(got) < len(answer):
                got += await loop.sock_recv(far, CHUNK)
            await sending
            assert got == answer
            server.close()
            await asyncio.wait_for(task, 5)
            assert await loop.sock_recv(far, 100) == b""

    run(test())


def test_a_server_that_does_not_read_holds_the_client_back() -> None:
    async def test() -> None:
        async with relayed() as (far, _server, task):
            sent = 0
            for _ in range(200):
                with suppress(BlockingIOError):
                    sent += far.send(bytes(CHUNK))
                await asyncio.sleep(0.001)
            # Two sockets' buffers and one chunk; without back-pressure it would be 12.5 MiB.
            assert 0 < sent < 4 * 1024 * 1024
            assert not task.done()

    run(test())


@pytest.mark.parametrize("unread", [False, True])
def test_a_client_that_vanishes_ends_the_servers_side(unread: bool) -> None:
    async def test() -> None:
        async with relayed() as (far, server, task):
            loop = asyncio.get_running_loop()
            if unread:  # closing with unread bytes resets the connection
                await loop.sock_sendall(server, b"x" * 1000)
                await until(lambda: bool(select.select([far], [], [], 0)[0]))
            far.close()
            while await asyncio.wait_for(loop.sock_recv(server, 100), 5):
                pass
            server.close()
            await asyncio.wait_for(task, 5)

    run(test())


def test_a_server_that_closes_ends_an_idle_client() -> None:
    async def test() -> None:
        async with relayed() as (far, server, task):
            server.close()
            await asyncio.wait_for(task, 5)
            assert await asyncio.get_running_loop().sock_recv(far, 100) == b""

    run(test())
