"""Does only what a program says in time count, whatever else it does?"""

import asyncio
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from noded.adapters.http_probes import HttpProbes
from tests.adapters.looped import looped
from tests.adapters.sdk import wait

UID = os.geteuid()


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    yield made
    shutil.rmtree(made)


class Program:
    """Says one thing to everybody, and remembers what it was asked."""

    def __init__(self, says: bytes, silent: bool = False) -> None:
        self.heard = b""
        self.ended = 0
        self._says = says
        self._silent = silent

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard = await reader.readuntil(b"\r\n\r\n")
        writer.write(self._says)
        if self._silent:
            await reader.read()
        self.ended += 1
        writer.close()


@asynccontextmanager
async def listening(folder: Path, program: Program) -> AsyncIterator[str]:
    async with await asyncio.start_unix_server(program.serve, str(folder / "s")):
        yield f"unix:{folder / 's'}"


ANSWERS = [
    (b"HTTP/1.1 200 OK\r\n\r\n", True),
    (b"HTTP/1.0 204 No Content\r\n\r\n", True),
    (b"HTTP/1.1 299\r\n", True),
    (b"HTTP/1.1 503 Busy\r\n\r\n", False),
    (b"HTTP/1.1 404 Not Found\r\n\r\n", False),
    (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", False),
    (b"HTTP/1.1 100 Continue\r\n\r\n", False),
    (b"SSH-2.0-2penSSH\r\n", False),
    (b"xxxxxxxxx2\r\n", False),
    (b"HTTP/1.1 200 OK", False),
    (b"", False),
    (b"\r\n", False),
    (b"\xff" * 100_000, False),
]


@pytest.mark.parametrize(("says", "good"), ANSWERS, ids=[str(says[:16]) for says, _ in ANSWERS])
@looped
async def test_an_answer(folder: Path, says: bytes, good: bool) -> None:
    async with listening(folder, Program(says)) as address:
        assert await HttpProbes().answers(address, os.getuid(), "/healthz", 5.0) is good


ALIVE = [
    (b"HTTP/1.1 503 Busy\r\n\r\n", True),
    (b"HTTP/1.1 500 \r\n", True),
    (b"HTTP/1.0 404 Not Found\r\n\r\n", True),
    (b"HTTP/1.1 302 Found\r\n", True),
    (b"HTTP/1.1 100 Continue\r\n\r\n", True),
    (b"HTTP/1.1 200 OK\r\n", True),
    (b"HTTP/1.1 \r\n", False),
    (b"HTTP/1.1 900 What\r\n", False),
    (b"HTTP/2.0 200 OK\r\n", False),
    (b"SSH-2.0-2penSSH\r\n", False),
    (b"HTTP/1.1 200", False),
    (b"", False),
]


@pytest.mark.parametrize(("says", "alive"), ALIVE, ids=[str(says[:16]) for says, _ in ALIVE])
@looped
async def test_any_http_answer_is_a_sign_of_life(folder: Path, says: bytes, alive: bool) -> None:
    async with listening(folder, Program(says)) as address:
        assert await HttpProbes().responds(address, UID, "/healthz", 5.0) is alive


@looped
async def test_what_is_asked(folder: Path) -> None:
    program = Program(b"HTTP/1.1 200 OK\r\n\r\n")
    async with listening(folder, program) as address:
        await HttpProbes().answers(address, os.getuid(), "/up?deep=1", 5.0)
    assert program.heard.splitlines()[0] == b"GET /up?deep=1 HTTP/1.1"
    assert b"\r\nHost: localhost\r\n" in program.heard
    assert b"\r\nConnection: close\r\n" in program.heard


@looped
async def test_a_program_that_says_nothing_costs_its_time_and_is_hung_up_on(folder: Path) -> None:
    program = Program(b"", silent=True)
    async with listening(folder, program) as address:
        began = time.monotonic()
        assert not await HttpProbes().answers(address, os.getuid(), "/", 0.1)
        assert time.monotonic() - began < 2
        await wait(lambda: program.ended, "the end of the connection")


@looped
async def test_over_tcp() -> None:
    program = Program(b"HTTP/1.1 200 OK\r\n\r\n")
    async with await asyncio.start_server(program.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await HttpProbes().answers(f"127.0.0.1:{port}", 0, "/", 5.0)
    assert not await HttpProbes().answers(f"127.0.0.1:{port}", 0, "/", 5.0)


@pytest.mark.parametrize(
    "address",
    ["", "unix:", "unix:/none", "unix:/" + "x" * 200, "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:99999"],
)
@looped
async def test_an_address_where_nobody_can_be(address: str) -> None:
    assert not await HttpProbes().answers(address, os.getuid(), "/", 2.0)


@looped
async def test_a_socket_that_is_not_the_nodes_is_not_asked(folder: Path) -> None:
    program = Program(b"HTTP/1.1 200 OK\r\n\r\n")
    async with listening(folder, program) as address:
        assert not await HttpProbes().answers(address, UID + 1, "/", 5.0)
        (folder / "link").symlink_to(folder / "s")
        assert not await HttpProbes().answers(f"unix:{folder / 'link'}", UID, "/", 5.0)
        assert await HttpProbes().answers(address, UID, "/", 5.0)
    assert program.ended == 1
    (folder / "file").write_text("")
    assert not await HttpProbes().answers(f"unix:{folder / 'file'}", UID, "/", 5.0)


def speak(taken: socket.socket) -> None:
    with suppress(ConnectionError):
        taken.send(b"220 ready")


DOES: dict[str, Callable[[socket.socket], object]] = {
    "nothing": lambda taken: None,
    "speaks": speak,
    "hangs up": lambda taken: taken.close(),
}
ADDRESSES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_UNIX, "")]


@pytest.mark.parametrize(("family", "host"), ADDRESSES, ids=["v4", "v6", "unix"])
@looped
async def test_a_connection_that_only_the_kernel_took_is_no_sign_of_life(
    folder: Path, family: int, host: str
) -> None:
    with socket.socket(family) as listener:
        listener.bind((host, 0) if host else str(folder / "s"))
        listener.listen(8)
        listener.settimeout(5)
        port = listener.getsockname()[1] if host else 0
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if host else f"unix:{folder / 's'}"
        began = time.monotonic()
        assert not await HttpProbes().connects(address, UID, 0.2)
        assert time.monotonic() - began >= 0.18
        (await asyncio.to_thread(listener.accept))[0].close()
        for does in DOES.values():
            asking = asyncio.create_task(HttpProbes().connects(address, UID, 5.0))
            taken, _ = await asyncio.to_thread(listener.accept)
            does(taken)
            assert await asking
            taken.close()


@looped
async def test_no_descriptor_is_left_behind(folder: Path) -> None:
    async with listening(folder, Program(b"HTTP/1.1 200 OK\r\n\r\n")) as address:
        for _ in range(3):
            before = len(os.listdir("/proc/self/fd"))
            for uid in (UID, UID + 1):
                await HttpProbes().answers(address, uid, "/", 5.0)
            await asyncio.sleep(0.02)
        assert len(os.listdir("/proc/self/fd")) <= before


@looped
async def test_a_full_queue_and_one_that_went_away_take_nothing(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen(0)
        address = f"unix:{folder / 's'}"
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(folder / "s"))
            assert not await HttpProbes().connects(address, UID, 0.2)
        asking = asyncio.create_task(HttpProbes().connects(address, UID, 5.0))
        await asyncio.sleep(0.05)
    assert not await asking


@looped
async def test_what_came_in_time_counts_when_we_come_late(folder: Path) -> None:
    """A thread answers; the loop that asks is held up until the time is long over."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen()

        def serve() -> None:
            for _ in range(2):
                taken, _ = listener.accept()
                with taken:
                    taken.recv(4096)
                    time.sleep(0.1)
                    taken.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        program = threading.Thread(target=serve)
        program.start()
        for ask in (HttpProbes().answers, HttpProbes().responds):
            asking = asyncio.create_task(ask(f"unix:{folder / 's'}", UID, "/", 0.3))
            await asyncio.sleep(0.05)
            time.sleep(0.6)  # noqa: ASYNC251 - a loop that is late is the subject
            assert await asking
        program.join()


@looped
async def test_an_answer_in_pieces(folder: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in (b"HT", b"TP/1.1 2", b"04 ", b"No\r", b"\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.close()

    async with await asyncio.start_unix_server(serve, str(folder / "s")):
        assert await HttpProbes().answers(f"unix:{folder / 's'}", UID, "/", 5.0)
