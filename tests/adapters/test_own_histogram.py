"""Is a program's own histogram fetched in time, whole, and from the program itself?"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from noded.adapters.own_histogram import LARGEST, OwnHistograms
from noded.model.instance import Instance, Process
from noded.model.signals import Answers
from noded.ports import PortError, Refused, TimedOut, Unavailable
from nodespec.manifest import Health, Metrics, Probe
from tests.adapters.looped import looped
from tests.runtime.nouns import instance, spec

TEXT = b'latency_bucket{p="/a",le="0.1"} 4\nlatency_bucket{p="/a",le="+Inf"} 5\n'
TOLD = Answers("catalog.1", 5, 0, (0.1,), (4,))
SPEC = spec(metrics=Metrics("/figures", "latency"), health=Health(Probe.SDK))
OK = b"HTTP/1.1 200 OK\r\n"
SOON = 0.3
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    yield made
    shutil.rmtree(made)


class Program:
    """Says one thing, in parts, to everybody, and remembers what it was asked."""

    def __init__(self, *parts: bytes, stays: bool = False, pause: float = 0.0) -> None:
        self.parts, self.stays, self.pause = parts, stays, pause
        self.heard = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard = await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            for part in self.parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(self.pause)
            if self.stays:
                await reader.read()
        writer.close()


@asynccontextmanager
async def listening(folder: Path, program: Program) -> AsyncIterator[Instance]:
    async with await asyncio.start_unix_server(program.serve, str(folder / "s")):
        yield at(f"unix:{folder / 's'}")


def at(listen: str, uid: int = os.geteuid()) -> Instance:
    return instance(listen=listen, process=Process(1, 1, uid))


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts)
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + body + end


@pytest.mark.parametrize(
    "program",
    [
        Program(OK + b"\r\n" + TEXT),
        Program(b"HTTP/1.0 200 Fine\r\nA:b\r\n\r\n" + TEXT),
        Program(OK + b"content-length: %d\r\n\r\n" % len(TEXT) + TEXT, stays=True),
        Program(OK + b"Content-Length: %d\r\n\r\n" % len(TEXT) + TEXT + b"more"),
        Program(chunked(TEXT[:7], TEXT[7:]), stays=True),
        Program(*(bytes([byte]) for byte in chunked(TEXT)), stays=True),
        Program(chunked(b"#0\r\n\r\n", b"\n" + TEXT), stays=True),
    ],
    ids=["until it ends", "1.0", "length", "more than length", "chunks", "bytes", "what looks like the end"],
)
@looped
async def test_it_is_read_however_it_is_sent(folder: Path, program: Program) -> None:
    async with listening(folder, program) as there:
        assert await OwnHistograms().read(there, SPEC, 10.0) == TOLD
        head = program.heard.decode()
        assert head.startswith("GET /figures HTTP/1.1\r\nHost: localhost\r\nUser-Agent: noded\r\n")
        assert "\r\nAccept: text/plain;version=0.0.4\r\n" in head


@looped
async def test_over_tcp_too() -> None:
    program = Program(OK + b"\r\n" + TEXT)
    async with await asyncio.start_server(program.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await OwnHistograms().read(at(f"127.0.0.1:{port}"), SPEC, 10.0) == TOLD


@looped
async def test_what_noded_asks_for_is_left_out_of_the_figures(folder: Path) -> None:
    asked = TEXT + TEXT.replace(b"/a", b"/up") + TEXT.replace(b"/a", b"/figures")
    async with listening(folder, Program(OK + b"\r\n" + asked)) as there:
        by_http = replace(SPEC, health=Health(Probe.SDK, liveness=Probe.HTTP, path="/up"))
        assert await OwnHistograms().read(there, by_http, 10.0) == TOLD
        both = Answers("catalog.1", 10, 0, (0.1,), (8,))
        assert await OwnHistograms().read(there, replace(SPEC, health=Health(path="/up")), 10.0) == both


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (Program(b""), "did not answer in HTTP/1.1"),
        (Program(b"SSH-2.0-OpenSSH_9.2\r\n"), "did not answer in HTTP/1.1"),
        (Program(b"x" * 20_000, stays=True), "did not answer in HTTP/1.1"),
        (Program(b"HTTP/1.1 404 Not Found\r\n\r\n"), "expected status 200, found 'HTTP/1.1 404 Not Found'"),
        (Program(b"HTTP/2 200\r\n\r\n"), "expected status 200"),
        (Program(b"\x00\xff\r\n\r\n"), "expected status 200"),
        (Program(OK + b"Content-Encoding: gzip\r\n\r\n" + TEXT), "compressed"),
        (Program(OK + b"Content-Length: 9999\r\n\r\n" + TEXT), "broke off"),
        (Program(OK + b"Content-Length: -1\r\n\r\n" + TEXT), "no number"),
        (Program(OK + b"Content-Length: 99999999999\r\n\r\n" + TEXT), "no number"),
        (Program(OK + b"Transfer-Encoding: gzip\r\n\r\n" + TEXT), "not known"),
        (Program(OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"), "not known"),
        (Program(chunked(TEXT, end=b"")), "broke off"),
        (Program(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n0\r\n\r\n"), "no hexadecimal number"),
        (Program(OK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n0\r\n\r\n"), "no hexadecimal number"),
        (Program(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n"), "where its size says"),
        (Program(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 300 + b"0\r\n\r\n"), "no size"),
        (Program(OK + b"\r\nlatency_count 4\n"), "latency: there is no such histogram"),
        (Program(OK + b"\r\n" + os.urandom(10_000)), "latency: there is no such histogram"),
        (Program(OK + b"\r\n", *[b"x" * 65536] * 64, stays=True), f"at most {LARGEST} bytes"),
    ],
)
@looped
async def test_what_cannot_be_read_is_refused_with_its_reason(
    folder: Path, program: Program, why: str
) -> None:
    async with listening(folder, program) as there:
        with pytest.raises(
            Refused, match=r"cannot read the histogram latency of catalog\.1: GET /figures:"
        ) as no:
            await OwnHistograms().read(there, SPEC, 10.0)
        assert why in str(no.value)


@pytest.mark.parametrize(
    "program",
    [
        Program(stays=True),
        Program(OK, stays=True),
        Program(OK + b"\r\n" + TEXT, stays=True),
        Program(OK + b"\r\n", *[b"#"] * 1000, pause=0.02),
        Program(chunked(TEXT, end=b""), stays=True),
    ],
    ids=["silent", "half a head", "no end", "drop by drop", "no last chunk"],
)
@looped
async def test_a_slow_one_costs_its_time_and_no_more(folder: Path, program: Program) -> None:
    async with listening(folder, program) as there:
        began = time.monotonic()
        with pytest.raises(TimedOut, match=r"GET /figures took longer than 0\.3 s"):
            await OwnHistograms().read(there, SPEC, SOON)
        assert SOON * 0.9 <= time.monotonic() - began < 5


@looped
async def test_only_the_program_itself_is_asked(folder: Path) -> None:
    program = Program(OK + b"\r\n" + TEXT)
    async with listening(folder, program) as there:
        (folder / "link").symlink_to(folder / "s")
        stranger = replace(there, process=Process(1, 1, os.geteuid() + 1))
        for led in (at(f"unix:{folder / 'link'}"), at(f"unix:{folder / 'gone'}"), stranger, at("nonsense")):
            with pytest.raises(PortError, match=r"cannot read the histogram latency of catalog\.1"):
                await OwnHistograms().read(led, SPEC, 5.0)
        assert program.heard == b""


@looped
async def test_where_nobody_listens(folder: Path) -> None:
    async with listening(folder, Program()):
        pass
    with pytest.raises(Unavailable, match=r"cannot read the histogram latency of catalog\.1"):
        await OwnHistograms().read(at(f"unix:{folder / 's'}"), SPEC, 5.0)


@looped
async def test_no_descriptor_is_left_behind(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with listening(folder, Program(OK, stays=True)) as there:
        for _ in range(5):
            with pytest.raises(TimedOut):
                await OwnHistograms().read(there, SPEC, 0.02)
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) <= before + 6
