"""Does noded see ends of what it did not start, through restarts of itself and of the launcher?"""

import asyncio
import itertools
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from noded.adapters.boot_clock import BootClock
from noded.adapters.launcher_socket import LauncherSocket
from noded.adapters.proc import start_time
from noded.adapters.processes import LauncherProcesses, _process, _program, _status
from noded.launch import Launch
from noded.model.inputs import InstanceExited
from noded.model.instance import Process
from noded.ports import PortError, Unavailable
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.fakes.inbox import FakeInbox
from tests.launcher.lab import Lab, lab, needs_limits

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def shared() -> Iterator[Lab]:
    yield from lab()


@pytest.fixture
def own() -> Iterator[Lab]:
    yield from lab()


@dataclass(frozen=True, slots=True)
class Noded:
    processes: LauncherProcesses
    inbox: FakeInbox

    async def ended(self, instance: str) -> str:
        def ends() -> list[str]:
            return [fact.status for fact in self.inbox.all(InstanceExited) if fact.instance == instance]

        await wait(ends, f"the end of {instance}")
        (status,) = ends()
        return status


@asynccontextmanager
async def noded(launcher: Lab) -> AsyncIterator[Noded]:
    """One life of noded: when it ends, nothing of it is left but what the kernel and the launcher know."""
    inbox = FakeInbox()
    async with asyncio.TaskGroup() as group:
        socket = LauncherSocket(Path(launcher.socket), group)
        yield Noded(LauncherProcesses(socket, inbox, BootClock(), group), inbox)
        socket.close()


def launch(*argv: str, memory: int = 0) -> Launch:
    name = f"catalog.{next(NUMBERS)}"
    env = (("PATH", "/usr/bin:/bin"),)
    return Launch("catalog", name, argv, "/", env, "dynamic", memory=memory, data=False)


SLEEP = ("/bin/sleep", "300")


@looped
async def test_what_outlived_noded_is_adopted_and_its_end_is_told(shared: Lab) -> None:
    order = launch(*SLEEP)
    async with noded(shared) as first:
        started, _ = await first.processes.start(order)
    async with noded(shared) as second:
        (seen,) = [o for o in await second.processes.observe() if o.instance == order.instance]
        assert seen.process == started
        second.processes.watch("catalog", order.instance, seen.process)
        os.kill(seen.process.pid, signal.SIGINT)
        assert await second.ended(order.instance) == "signal 2"
        await second.processes.remove(order.instance)


@looped
async def test_what_ended_while_noded_was_away_is_told_when_it_is_watched(shared: Lab) -> None:
    order = launch("/bin/sh", "-c", "exit 5")
    async with noded(shared) as first:
        started, _ = await first.processes.start(order)
    await wait(lambda: start_time(started.pid) != started.start_time, "the end")
    async with noded(shared) as second:
        second.processes.watch("catalog", order.instance, started)
        assert await second.ended(order.instance) == "code 5"
        await second.processes.remove(order.instance)


@looped
async def test_a_pid_that_belongs_to_somebody_else_is_not_ours(shared: Lab) -> None:
    async with noded(shared) as here:
        me = Process(os.getpid(), start_time(os.getpid()) + 1, os.geteuid())
        here.processes.watch("catalog", "catalog.777", me)
        assert await here.ended("catalog.777") == "unknown"


@looped
async def test_the_end_of_a_process_the_launcher_never_knew(shared: Lab) -> None:
    child = subprocess.Popen(["/bin/sleep", "300"])
    async with noded(shared) as here:
        found = Process(child.pid, start_time(child.pid), os.geteuid())
        here.processes.watch("catalog", "catalog.778", found)
        child.kill()
        assert await here.ended("catalog.778") == "unknown"
    child.wait()


@looped
async def test_an_end_the_launcher_tells_by_itself_is_not_asked_for(tmp_path: Path) -> None:
    async def tells(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Of the end, and of two that nobody waits for; a question for it would get no answer in time."""
        number = json.loads(await reader.readline())["id"]
        for name in ("catalog.1", "catalog.2", "catalog.2"):
            end = {"event": "exited", "instance": name, "code": 7, "signal": None, "oom": False}
            writer.write(json.dumps(end).encode() + b"\n")
        writer.write(json.dumps({"id": number, "ok": True, "result": {}}).encode() + b"\n")
        await reader.read()
        writer.close()

    child = subprocess.Popen(SLEEP)
    server = await asyncio.start_unix_server(tells, tmp_path / "launcher.sock")
    inbox = FakeInbox()
    async with server, asyncio.TaskGroup() as group:
        socket = LauncherSocket(tmp_path / "launcher.sock", group)
        here = Noded(LauncherProcesses(socket, inbox, BootClock(), group), inbox)
        here.processes.watch("catalog", "catalog.1", Process(child.pid, start_time(child.pid), 0))
        await here.processes.hello()
        child.kill()
        child.wait()
        assert await here.ended("catalog.1") == "code 7"
        socket.close()


@looped
async def test_a_launcher_that_was_restarted_meanwhile(own: Lab) -> None:
    async with noded(own) as here:
        order, other = launch(*SLEEP), launch(*SLEEP)
        started, _ = await here.processes.start(order)
        here.processes.watch("catalog", order.instance, started)
        assert (await here.processes.hello())["cgroups"]
        await asyncio.to_thread(own.end)
        with pytest.raises(Unavailable, match=r"no launcher|went away"):
            await here.processes.observe()
        await asyncio.to_thread(own.start)
        (seen,) = await here.processes.observe()
        assert seen.instance == order.instance
        assert (seen.process.pid, seen.process.start_time) == (started.pid, started.start_time)
        await here.processes.signal(order.instance, "TERM")
        assert await here.ended(order.instance) == "unknown"  # it is nobody's child any more
        await here.processes.remove(order.instance)
        again, _ = await here.processes.start(other)
        here.processes.watch("catalog", other.instance, again)
        await here.processes.kill(other.instance)
        assert await here.ended(other.instance) == "signal 9"
        await here.processes.remove(other.instance)


@looped
async def test_an_end_without_a_launcher_is_unknown(own: Lab) -> None:
    async with noded(own) as here:
        order = launch(*SLEEP)
        started, _ = await here.processes.start(order)
        here.processes.watch("catalog", order.instance, started)
        await asyncio.to_thread(own.end)
        os.kill(started.pid, signal.SIGKILL)
        assert await here.ended(order.instance) == "unknown"
        with pytest.raises(PortError):
            await here.processes.kill(order.instance)


@looped
async def test_what_a_launcher_that_was_away_could_not_clear_up_is_cleared_up_later(own: Lab) -> None:
    async with noded(own) as here:
        order = launch(*SLEEP)
        await here.processes.start(order)
        await asyncio.to_thread(own.end)
        with pytest.raises(PortError):
            await here.processes.remove(order.instance)
        await here.processes.remove_left()
        await asyncio.to_thread(own.start)
        assert [found.instance for found in await here.processes.observe()] == [order.instance]
        await here.processes.remove_left()
        assert await here.processes.observe() == ()


@needs_limits
@looped
async def test_out_of_memory_is_told_as_that(shared: Lab) -> None:
    async with noded(shared) as here:
        eat = "x = []\nwhile True: x.append(bytearray(1 << 20))"
        order = launch("/usr/bin/python3", "-c", eat, memory=32 * 2**20)
        started, degraded = await here.processes.start(order)
        assert degraded == ()
        assert started.memory_cgroup.endswith(order.instance)
        here.processes.watch("catalog", order.instance, started)
        assert await here.ended(order.instance) == "out of memory"
        await here.processes.remove(order.instance)
        assert await asyncio.to_thread(os.path.exists, started.memory_cgroup) is False


@looped
async def test_no_descriptor_is_left_behind(shared: Lab) -> None:
    async with noded(shared) as here:
        await here.processes.hello()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            order = launch("/bin/sh", "-c", "exit 0")
            started, _ = await here.processes.start(order)
            here.processes.watch("catalog", order.instance, started)
            assert await here.ended(order.instance) == "code 0"
            await here.processes.remove(order.instance)
        assert len(os.listdir("/proc/self/fd")) == before


STATUS = [
    ({"exit": {"code": 3, "signal": None, "unknown": False}, "oom_kills": 0}, "code 3"),
    ({"exit": {"code": 0, "signal": None, "unknown": False}}, "code 0"),
    ({"exit": {"code": None, "signal": 11, "unknown": False}, "oom_kills": None}, "signal 11"),
    ({"exit": {"code": None, "signal": 9, "unknown": False}, "oom_kills": 2}, "out of memory"),
    ({"exit": {"code": 3, "signal": None, "unknown": False, "oom": False}, "oom_kills": 2}, "code 3"),
    ({"exit": {"code": None, "signal": 9, "unknown": False, "oom": False}, "oom_kills": 2}, "signal 9"),
    ({"exit": {"code": None, "signal": 9, "unknown": False, "oom": True}, "oom_kills": 1}, "out of memory"),
    ({"exit": {"code": None, "signal": None, "unknown": True, "oom": True}}, "out of memory"),
    ({"exit": {"code": None, "signal": None, "unknown": True}}, "unknown"),
    ({"exit": None}, "unknown"),
    ({}, "unknown"),
]


@pytest.mark.parametrize(("left", "said"), STATUS)
def test_how_an_end_is_said(left: dict[str, object], said: str) -> None:
    assert _status(left) == said


def test_what_an_older_launcher_does_not_know_is_said_only_when_it_is_wanted() -> None:
    plain = launch("/bin/true")
    assert set(_program(plain)) == {"node", "argv", "cwd", "env", "user", "limits", "data"}
    assert _program(plain)["limits"] == {"memory": 0, "cpu": 0.0, "pids": 0, "files": 0}
    full = replace(plain, memory_high=7, io=5, env_file="/e", secrets=(("A", "file:/a"),), write=("/w",))
    told = _program(full)
    assert (told["env_file"], told["secrets"], told["write"]) == ("/e", {"A": "file:/a"}, ("/w",))
    assert told["limits"] == {"memory": 0, "cpu": 0.0, "pids": 0, "files": 0, "memory_high": 7, "io": 5}


def test_a_process_as_the_launcher_tells_it() -> None:
    told = {"pid": 7, "start_time": 8, "uid": 9, "cgroup": {"memory": "/sys/m", "cpu": "/sys/c"}}
    assert _process(told) == Process(7, 8, 9, "/sys/m")
    assert _process({"pid": 7, "start_time": 8, "uid": 9}) == Process(7, 8, 9)
