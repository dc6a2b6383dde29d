"""Does every caller on one line get its own answers, and is nobody left waiting?"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from noded.adapters.haproxy_socket import Line, ask
from noded.ports import TimedOut, Unavailable
from tests.adapters.looped import looped, until


class Echo:
    """Answers every command with itself; counts connections, and waits until it may answer."""

    def __init__(self) -> None:
        self.connections = 0
        self.may = asyncio.Event()
        self.may.set()
        self.breaks = False

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while line := await reader.readline():
                await self.may.wait()
                if self.breaks:
                    return
                writer.write(b"\n> " if line == b"prompt\n" else line + b"\n> ")
        except ConnectionError:
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def at(self, path: Path) -> AsyncIterator["Echo"]:
        async with await asyncio.start_unix_server(self.client, path):
            yield self


@looped
async def test_everybody_gets_the_answers_to_what_was_asked(tmp_path: Path) -> None:
    async with Echo().at(tmp_path / "s") as echo:
        line = Line(tmp_path / "s")
        told = await asyncio.gather(*(line.ask([f"a{n}", f"b{n}"]) for n in range(300)))
        assert told == [[f"a{n}", f"b{n}"] for n in range(300)]
        assert echo.connections == 2, "the first by itself, all others together"
        assert await line.ask([]) == []


@looped
async def test_what_is_urgent_waits_for_nobody(tmp_path: Path) -> None:
    async with Echo().at(tmp_path / "s") as echo:
        line = Line(tmp_path / "s")
        echo.may.clear()
        slow = asyncio.create_task(line.ask(["slow"]))

        async def has_come() -> bool:
            return echo.connections == 1

        await until(has_come)
        urgent = asyncio.create_task(line.urgent(["cut"]))

        async def is_there() -> bool:
            return echo.connections == 2

        await until(is_there)
        echo.may.set()
        assert await urgent == ["cut"]
        assert await slow == ["slow"]


@looped
async def test_an_error_is_told_to_the_whole_batch_and_to_nobody_after(tmp_path: Path) -> None:
    async with Echo().at(tmp_path / "s") as echo:
        line = Line(tmp_path / "s")
        echo.breaks = True
        told = await asyncio.gather(*(line.ask([f"a{n}"]) for n in range(5)), return_exceptions=True)
        assert all(isinstance(one, TimedOut) for one in told)
        echo.breaks = False
        assert await line.ask(["again"]) == ["again"]
    with pytest.raises(Unavailable):
        await line.ask(["nobody is there"])


@looped
async def test_who_is_cancelled_leaves_nobody_waiting(tmp_path: Path) -> None:
    async with Echo().at(tmp_path / "s") as echo:
        line = Line(tmp_path / "s")
        echo.may.clear()
        first = asyncio.create_task(line.ask(["first"]))

        async def has_come() -> bool:
            return echo.connections == 1

        await until(has_come)
        second, third = asyncio.create_task(line.ask(["second"])), asyncio.create_task(line.ask(["third"]))
        await asyncio.sleep(0)
        second.cancel()
        first.cancel()
        echo.may.set()
        assert await third == ["third"]
        assert all(isinstance(one, asyncio.CancelledError) for one in await gathered(first, second))


async def gathered(*tasks: asyncio.Task[list[str]]) -> list[object]:
    return [*await asyncio.gather(*tasks, return_exceptions=True)]


@looped
async def test_an_answer_may_come_in_pieces(tmp_path: Path) -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in (b"\n", b"> one", b"\n", b"\n>", b" two\n", b"\n> "):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.close()

    async with await asyncio.start_unix_server(slowly, tmp_path / "s"):
        assert await ask(tmp_path / "s", ["1", "2"]) == ["one", "two"]


@looped
async def test_a_full_queue_is_known_at_once(tmp_path: Path) -> None:
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(str(place))
        listening.listen(0)
        first.connect(str(place))
        with pytest.raises(
            Unavailable, match=r"cannot reach HAProxy at .*: Resource temporarily unavailable"
        ):
            await ask(place, ["show stat"], deadline=30.0)


GARBAGE = """
import asyncio, gc, pathlib, sys
from noded.adapters.haproxy_socket import ask

async def main():
    place, times = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    for _ in range(times):
        assert await ask(place, ["show stat"]) == ["show stat"]

gc.disable()
asyncio.run(main())
print(gc.collect())
"""


@looped
async def test_a_question_leaves_nothing_for_the_garbage_collector(tmp_path: Path) -> None:
    """noded looks for cycles once in 50,000 new objects, and asks four times a second."""
    async with Echo().at(tmp_path / "s") as echo:
        # Alone in a process: what other tests left for the collector is neither counted nor ended here.
        words = [sys.executable, "-c", GARBAGE, str(tmp_path / "s"), "200"]
        asker = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        left, _ = await asker.communicate()
    assert asker.returncode == 0
    assert echo.connections == 200
    assert int(left) < 200
