"""What must hold for whatever starts and watches processes, with the real launcher and without?"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM
from socket import socket as AnySocket
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest

from noded.adapters.boot_clock import BootClock
from noded.adapters.launcher_socket import LauncherSocket
from noded.adapters.processes import LauncherProcesses
from noded.launch import Launch
from noded.model.inputs import InstanceExited
from noded.model.instance import Process
from noded.ports import Conflict, NotFound, Processes, Refused
from tests.adapters.looped import looped, until
from tests.fakes.inbox import FakeInbox
from tests.fakes.processes import FakeProcesses
from tests.launcher.lab import Lab, lab
from tests.ports import free_ports

NUMBERS = itertools.count(1)
SLEEP = ("/bin/sleep", "300")


@dataclass(frozen=True, slots=True)
class World:
    processes: Processes
    inbox: FakeInbox
    run: Path | None
    """Where instances have their folders; None when there are none."""

    def lay(self, instance: str, *, socket: bool) -> None:
        """Put a socket of the instance's user, or something else, where it should listen."""
        if isinstance(self.processes, FakeProcesses):
            self.processes.sockets.add(instance)
            (self.processes.imposters.discard if socket else self.processes.imposters.add)(instance)
            return
        assert self.run is not None
        place = self.run / instance / "http.sock"
        place.unlink(missing_ok=True)
        if not socket:
            place.symlink_to("/dev/log")
            return
        with closing(AnySocket(AF_UNIX)) as made:
            made.bind(str(place))
        owner = place.parent.stat()
        os.chown(place, owner.st_uid, owner.st_gid)

    def ends(self, instance: str) -> list[str]:
        return [fact.status for fact in self.inbox.all(InstanceExited) if fact.instance == instance]

    async def ended(self, instance: str) -> str:
        """How it ended, when it was told once and not a second time soon after."""

        async def told() -> bool:
            return bool(self.ends(instance))

        await until(told)
        await asyncio.sleep(0.05)
        (status,) = self.ends(instance)
        return status

    async def alive(self) -> set[str]:
        return {observed.instance for observed in await self.processes.observe() if observed.running}


Make: TypeAlias = Callable[[], AbstractAsyncContextManager[World]]


@pytest.fixture(scope="module")
def launcher() -> Iterator[Lab]:
    yield from lab()


@pytest.fixture(params=["fake", "launcher"])
def world(request: pytest.FixtureRequest) -> Make:
    path = Path(request.getfixturevalue("launcher").socket) if request.param == "launcher" else None

    @asynccontextmanager
    async def made() -> AsyncIterator[World]:
        inbox, clock = FakeInbox(), BootClock()
        async with asyncio.TaskGroup() as group:
            if path is None:
                yield World(FakeProcesses(inbox, clock), inbox, None)
                return
            socket = LauncherSocket(path, group)
            yield World(LauncherProcesses(socket, inbox, clock, group), inbox, path.with_name("i"))
            socket.close()

    return made


def launch(*argv: str) -> Launch:
    name = f"catalog.{next(NUMBERS)}"
    return Launch("catalog", name, argv, "/", (("PATH", "/usr/bin:/bin"),), "dynamic", data=False)


@looped
async def test_what_was_started_is_observed_until_it_is_killed(world: Make) -> None:
    async with world() as here:
        order = launch(*SLEEP)
        process, degraded = await here.processes.start(order)
        assert process.pid > 1
        assert isinstance(degraded, tuple)
        here.processes.watch("catalog", order.instance, process)
        (seen,) = [o for o in await here.processes.observe() if o.instance == order.instance]
        assert (seen.process.pid, seen.process.start_time) == (process.pid, process.start_time)
        assert here.ends(order.instance) == []
        await here.processes.kill(order.instance)
        assert await here.ended(order.instance) == "signal 9"
        assert order.instance not in await here.alive()
        await here.processes.remove(order.instance)
        assert here.ends(order.instance) == ["signal 9"]


@looped
async def test_its_exit_code_is_told_once(world: Make) -> None:
    async with world() as here:
        order = launch("/bin/sh", "-c", "exit 3")
        process, _ = await here.processes.start(order)
        here.processes.watch("catalog", order.instance, process)
        here.processes.watch("catalog", order.instance, process)
        assert await here.ended(order.instance) == "code 3"
        (told,) = [fact for fact in here.inbox.all(InstanceExited) if fact.instance == order.instance]
        assert told.node == "catalog"
        await here.processes.signal(order.instance, "TERM")
        await here.processes.remove(order.instance)


@looped
async def test_a_signal_reaches_it(world: Make) -> None:
    async with world() as here:
        order = launch(*SLEEP)
        process, _ = await here.processes.start(order)
        here.processes.watch("catalog", order.instance, process)
        with pytest.raises(Refused, match="name of a signal"):
            await here.processes.signal(order.instance, "LOUD")
        await here.processes.signal(order.instance, "TERM")
        assert await here.ended(order.instance) == "signal 15"
        await here.processes.remove(order.instance)


@looped
async def test_one_that_lives_is_not_started_again(world: Make) -> None:
    async with world() as here:
        order = launch(*SLEEP)
        await here.processes.start(order)
        with pytest.raises(NotFound, match=f"cannot publish {order.instance}"):
            await here.processes.publish(order.instance)  # it never made a socket
        with pytest.raises(Conflict, match=f"cannot start {order.instance}: there still live"):
            await here.processes.start(order)
        await here.processes.remove(order.instance)
        assert order.instance not in await here.alive()


@looped
async def test_a_socket_is_published_and_nothing_else(world: Make) -> None:
    async with world() as here:
        order = launch(*SLEEP)
        await here.processes.start(order)
        here.lay(order.instance, socket=False)
        with pytest.raises(Refused, match=f"cannot publish {order.instance}"):
            await here.processes.publish(order.instance)
        here.lay(order.instance, socket=True)
        for _ in range(2):
            await here.processes.publish(order.instance)
        if here.run is not None:
            published = here.run / ".listen" / f"{order.instance}.sock"
            assert published.samefile(here.run / order.instance / "http.sock")
        await here.processes.remove(order.instance)


@looped
async def test_a_program_that_is_not_there_is_refused_and_nothing_is_left(world: Make) -> None:
    async with world() as here:
        order = launch("/missing/program")
        with pytest.raises(Refused, match=f"cannot start {order.instance}"):
            await here.processes.start(order)
        assert order.instance not in await here.alive()
        assert here.inbox.facts == []


@looped
async def test_what_is_run_tells_its_end_and_its_output_and_is_no_instance(world: Make) -> None:
    async with world() as here:
        ran = await here.processes.run(launch("/bin/sh", "-c", "echo hello; exit 3"), 10.0)
        assert (ran.status, ran.output, ran.truncated) == ("code 3", "hello\n", False)
        assert 0 < ran.seconds < 10
        late = await here.processes.run(launch(*SLEEP), 0.2)
        assert (late.status, late.output, late.timed_out, ran.timed_out) == ("signal 9", "", True, False)
        with pytest.raises(Refused, match="/missing/program"):
            await here.processes.run(launch("/missing/program"), 10.0)
        assert not [o for o in await here.processes.observe() if int(o.instance.partition(".")[2]) > 10**6]
        assert here.inbox.facts == []


@looped
async def test_what_is_run_inside_an_instance_leaves_it_alone(world: Make) -> None:
    async with world() as here:
        order = launch(*SLEEP)
        process, _ = await here.processes.start(order)
        here.processes.watch("catalog", order.instance, process)
        inside = launch("/bin/sh", "-c", "echo hello; exit 0")
        assert (await here.processes.run(inside, 10.0, into=order.instance)).output == "hello\n"
        assert (await here.processes.run(launch(*SLEEP), 0.2, into=order.instance)).timed_out
        assert order.instance in await here.alive()
        assert here.ends(order.instance) == []
        told = await here.processes.inspect(order.instance)
        assert told["pids"] == [process.pid]
        assert isinstance(told["wchans"], list)
        await here.processes.kill(order.instance)
        await here.ended(order.instance)
        with pytest.raises(Conflict, match="is not running"):
            await here.processes.run(inside, 10.0, into=order.instance)
        await here.processes.remove(order.instance)
        with pytest.raises(NotFound, match="no instance"):
            await here.processes.run(inside, 10.0, into=order.instance)
        with pytest.raises(NotFound, match=f"cannot inspect {order.instance}"):
            await here.processes.inspect(order.instance)


@looped
async def test_a_socket_is_held_for_one_node_until_it_is_let_go(world: Make) -> None:
    async with world() as here:
        address = f"127.0.0.1:{free_ports()}"
        mine = replace(launch(*SLEEP), listen=address)
        await here.processes.start(mine)
        await here.processes.remove(mine.instance)
        theirs = replace(launch(*SLEEP), node="shop", instance=f"shop.{next(NUMBERS)}", listen=address)
        with pytest.raises(Refused, match=f"listen {address}: held for node catalog"):
            await here.processes.start(theirs)
        for _ in range(2):
            await here.processes.unlisten("catalog")
        await here.processes.start(theirs)
        await here.processes.remove(theirs.instance)
        await here.processes.unlisten("shop")


@looped
async def test_the_socket_it_speaks_to_is_made_its_own(world: Make) -> None:
    async with world() as here:
        order = launch(*SLEEP)
        with (
            TemporaryDirectory(dir="/tmp", prefix="nd") as folder,
            closing(AnySocket(AF_UNIX, SOCK_DGRAM)) as heard,
        ):
            path = f"{folder}/n.sock"
            heard.bind(path)
            process, _ = await here.processes.start(replace(order, notify=path))
            if here.run is not None:
                assert os.stat(path).st_uid == process.uid
            os.unlink(path)
            with closing(AnySocket(AF_UNIX, SOCK_DGRAM)) as anew:
                anew.bind(path)
                for _ in range(2):
                    await here.processes.entrust(order.instance, path)
                if here.run is not None:
                    assert os.stat(path).st_uid == process.uid
        await here.processes.remove(order.instance)
        await here.processes.entrust(order.instance, path)


@looped
async def test_what_is_not_there_may_be_signalled_killed_and_removed(world: Make) -> None:
    async with world() as here:
        await here.processes.signal("catalog.999", "TERM")
        await here.processes.remove("catalog.999")
        assert here.inbox.facts == []
        await here.processes.kill("catalog.999")
        assert here.ends("catalog.999") == ["killed before it was known"]
        with pytest.raises(NotFound, match=r"cannot publish catalog\.999"):
            await here.processes.publish("catalog.999")


@looped
async def test_one_that_nobody_watched_is_told_when_it_is_killed(world: Make) -> None:
    async with world() as here:
        order = launch(*SLEEP)
        await here.processes.start(order)
        await here.processes.kill(order.instance)
        assert await here.ended(order.instance) == "killed before it was known"
        await here.processes.remove(order.instance)


@looped
async def test_a_kill_after_the_end_tells_nothing_new(world: Make) -> None:
    async with world() as here:
        order = launch("/bin/sh", "-c", "exit 4")
        process, _ = await here.processes.start(order)
        here.processes.watch("catalog", order.instance, process)
        assert await here.ended(order.instance) == "code 4"
        await here.processes.kill(order.instance)
        assert here.ends(order.instance) == ["code 4"]
        await here.processes.remove(order.instance)


@looped
async def test_one_of_another_time_counts_as_ended(world: Make) -> None:
    async with world() as here:
        order = launch(*SLEEP)
        process, _ = await here.processes.start(order)
        other = Process(process.pid, process.start_time + 1, process.uid, process.memory_cgroup)
        here.processes.watch("catalog", order.instance, other)
        await here.ended(order.instance)
        assert order.instance in await here.alive()
        await here.processes.remove(order.instance)
