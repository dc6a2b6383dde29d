"""Does every order to the launcher end: with its result, its refusal, or word of a line that broke?"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from noded.adapters.launcher_socket import LauncherSocket
from noded.ports import Conflict, NotFound, PortError, Refused, TimedOut, Unavailable
from tests.adapters.looped import looped

Answer = Callable[[dict[str, Any], asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    yield folder / "l.sock"
    shutil.rmtree(folder)


class Launcher:
    """A launcher that answers as the test says."""

    def __init__(self, answer: Answer) -> None:
        self.connections = 0
        self.orders: list[dict[str, Any]] = []
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while line := await reader.readline():
                self.orders.append(json.loads(line))
                await self._answer(self.orders[-1], writer)
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def between(path: Path, answer: Answer) -> AsyncIterator[tuple[LauncherSocket, Launcher]]:
    launcher = Launcher(answer)
    server = await asyncio.start_unix_server(launcher.serve, str(path))
    async with asyncio.TaskGroup() as group:
        socket = LauncherSocket(path, group)
        yield socket, launcher
        socket.close()
    server.close()


def send(writer: asyncio.StreamWriter, **message: object) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


async def echo(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    send(writer, id=order["id"], ok=True, result={"op": order["op"], "instance": order.get("instance")})


@looped
async def test_an_order_brings_its_result(path: Path) -> None:
    async with between(path, echo) as (socket, launcher):
        assert await socket.ask("status", instance="a.1") == {"op": "status", "instance": "a.1"}
        assert await socket.ask("list") == {"op": "list", "instance": None}
        assert launcher.connections == 1
        assert launcher.orders[0] == {"id": 1, "op": "status", "instance": "a.1"}


@looped
async def test_many_orders_at_once_get_their_own_answers(path: Path) -> None:
    waiting: list[tuple[dict[str, Any], asyncio.StreamWriter]] = []

    async def backwards(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        waiting.append((order, writer))
        if len(waiting) == 20:
            send(writer, event="exited", instance="x.1")
            for held in reversed(waiting):
                await echo(*held)

    async with between(path, backwards) as (socket, launcher):
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(socket.ask("status", instance=f"a.{n}")) for n in range(20)]
        assert [task.result()["instance"] for task in asked] == [f"a.{n}" for n in range(20)]
        assert launcher.connections == 1


KINDS: list[tuple[object, type[PortError]]] = [
    ("refused", Refused),
    ("conflict", Conflict),
    ("not_found", NotFound),
    ("unavailable", Unavailable),
    ("timed_out", TimedOut),
    ("unheard", Refused),
    (None, Refused),
]


@pytest.mark.parametrize(("kind", "error"), KINDS)
@looped
async def test_a_refusal_keeps_the_launchers_words(path: Path, kind: object, error: type[PortError]) -> None:
    async def no(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        send(writer, id=order["id"], ok=False, kind=kind, error="cannot start a.1: no such user")

    async with between(path, no) as (socket, _):
        with pytest.raises(error, match=r"^cannot start a\.1: no such user$"):
            await socket.ask("start", instance="a.1")


@looped
async def test_a_refusal_without_words_is_given_some(path: Path) -> None:
    async def no(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        send(writer, id=order["id"])

    async with between(path, no) as (socket, _):
        with pytest.raises(Refused, match=r"cannot start a\.1: refused without a reason"):
            await socket.ask("start", instance="a.1")


@looped
async def test_no_launcher(path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        socket = LauncherSocket(path, group)
        text = r"cannot ask the launcher \(list\): no launcher at .* \(No such file .*: is noded-launcher run"
        with pytest.raises(Unavailable, match=text):
            await socket.ask("list")
        assert not socket.connected


@looped
async def test_an_answer_that_does_not_come(path: Path) -> None:
    async def silent(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if order["op"] != "kill":
            await echo(order, writer)

    async with between(path, silent) as (socket, launcher):
        with pytest.raises(TimedOut, match=r"cannot kill a\.1: the launcher did not answer in 0 s"):
            await socket.ask("kill", within=0.05, instance="a.1")
        assert (await socket.ask("list"))["op"] == "list"  # the line is good for the next one
        assert launcher.connections == 1


@looped
async def test_a_late_answer_is_nobody_elses(path: Path) -> None:
    held: list[dict[str, Any]] = []

    async def late(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        held.append(order)
        if order["op"] == "list":
            for one in held:
                await echo(one, writer)

    async with between(path, late) as (socket, _):
        with pytest.raises(TimedOut):
            await socket.ask("kill", within=0.02, instance="a.1")
        assert (await socket.ask("list"))["op"] == "list"


@looped
async def test_a_launcher_that_goes_away_ends_every_question_and_the_next_connects_again(path: Path) -> None:
    async def goes(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if order["op"] == "list":
            await echo(order, writer)
        elif order["op"] == "hello":
            writer.close()

    async with between(path, goes) as (socket, launcher):
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(outcome(socket, "kill")) for _ in range(3)]
            asked.append(group.create_task(outcome(socket, "hello")))
        away = "the launcher went away: connection closed"
        killed = f"TimedOut: cannot kill a.1: {away}; it may have been done"
        assert [task.result() for task in asked] == [killed] * 3 + [f"Unavailable: cannot hello a.1: {away}"]
        assert not socket.connected
        assert (await socket.ask("list"))["op"] == "list"
        assert launcher.connections == 2


async def outcome(socket: LauncherSocket, op: str) -> str:
    try:
        return str(await socket.ask(op, instance="a.1"))
    except (Unavailable, TimedOut) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("op", ["start", "run", "signal", "kill", "publish", "unlisten", "remove"])
@looped
async def test_what_may_have_been_done_is_not_told_as_undone(path: Path, op: str) -> None:
    async def dies(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with between(path, dies) as (socket, launcher):
        assert (await outcome(socket, op)).startswith(f"TimedOut: cannot {op} a.1: the launcher went away")
        assert launcher.orders[0]["op"] == op


@looped
async def test_an_order_too_long_for_the_launcher_is_refused_before_it_costs_the_line(path: Path) -> None:
    async with between(path, echo) as (socket, launcher):
        assert await socket.ask("list")
        with pytest.raises(Refused, match=r"the order has \d+ bytes, at most 262144 are possible"):
            await socket.ask("start", instance="a.1", argv=["x" * 262_144])
        assert await socket.ask("list")
        assert launcher.connections == 1


GARBAGE = [
    b"no json\n",
    b"[]\n",
    b"7\n",
    b'{"id":[]}\n',
    b'{"id":"1"}\n',
    b"{}\n",
    b"[" * 9999 + b"\n",
    b"\xff\n",
]


@pytest.mark.parametrize("line", GARBAGE, ids=lambda line: str(line[:12]))
@looped
async def test_garbage_ends_the_line_or_is_passed_by(path: Path, line: bytes) -> None:
    garbage = [line]

    async def mumble(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if garbage:
            writer.write(garbage.pop())
        await echo(order, writer)

    async with between(path, mumble) as (socket, _):
        await outcome(socket, "status")
        assert (await socket.ask("list"))["op"] == "list"


@looped
async def test_a_result_that_is_none_is_empty(path: Path) -> None:
    async def odd(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        send(writer, id=order["id"], ok=True, result=[1])

    async with between(path, odd) as (socket, _):
        assert await socket.ask("list") == {}


@looped
async def test_a_large_listing_comes_through(path: Path) -> None:
    async def large(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        send(writer, id=order["id"], ok=True, result={"text": "x" * 3_000_000})
        await writer.drain()

    async with between(path, large) as (socket, _):
        assert len(str((await socket.ask("list"))["text"])) == 3_000_000


@looped
async def test_one_who_asks_and_leaves_harms_nobody(path: Path) -> None:
    async def slow(order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if order["op"] == "list":
            await echo(order, writer)

    async with between(path, slow) as (socket, _):
        asked = asyncio.ensure_future(socket.ask("kill", instance="a.1"))
        await asyncio.sleep(0.01)
        asked.cancel()
        assert (await socket.ask("list"))["op"] == "list"
