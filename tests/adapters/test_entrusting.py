"""Are nodes heard whatever the launcher can do, and is it told when others can silence them?"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from noded.adapters.boot_clock import BootClock
from noded.adapters.processes import LauncherProcesses
from noded.launch import Launch
from noded.ports import Refused
from tests.adapters.looped import looped
from tests.adapters.test_launcher_socket import between, send
from tests.fakes.inbox import FakeInbox

STARTED = {"pid": 4242, "start_time": 1, "uid": 64200}
OLD_START = "cannot start: start: 'notify': unknown key; known: id, op"
OLD_ORDER = "op: 'entrust', expected one of hello, start"


class Old:
    """A launcher that does not know of sockets to give until it is a new one, which may have no rights."""

    def __init__(self) -> None:
        self.new = False
        self.entrusts = True
        self.refusal = ""

    async def answer(self, order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        number, refusal = order["id"], self.refusal
        if not self.new and (order["op"] == "entrust" or "notify" in order):
            refusal = OLD_ORDER if order["op"] == "entrust" else OLD_START
        if refusal:
            send(writer, id=number, ok=False, kind="refused", error=refusal)
        else:
            send(writer, id=number, ok=True, result={**STARTED, "entrusted": self.entrusts})


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    yield made
    shutil.rmtree(made)


@asynccontextmanager
async def noded(folder: Path, launcher: Old) -> AsyncIterator[LauncherProcesses]:
    async with between(folder / "l.sock", launcher.answer) as (socket, _), asyncio.TaskGroup() as group:
        yield LauncherProcesses(socket, FakeInbox(), BootClock(), group)


def notify(folder: Path) -> Path:
    path = folder / "n.sock"
    path.touch(0o600)
    return path


def launch(path: Path) -> Launch:
    return Launch("shop", "shop.1", ("true",), "/", (), "dynamic", notify=str(path))


def mode(path: Path) -> int:
    return os.stat(path).st_mode & 0o777


@looped
async def test_under_an_older_launcher_nodes_start_and_are_heard(folder: Path) -> None:
    path, launcher = notify(folder), Old()
    async with noded(folder, launcher) as processes:
        assert processes.degraded == ()
        assert (await processes.start(launch(path)))[0].uid == 64200
        assert mode(path) == 0o666
        (note,) = processes.degraded
        assert "can silence shop.1" in note
        assert "noded-launcher is older than noded" in note
        await processes.entrust_open()
        assert (mode(path), len(processes.degraded)) == (0o666, 1)
        launcher.new = True
        await processes.entrust_open()
        assert (mode(path), processes.degraded) == (0o600, ())


@looped
async def test_adopted_under_an_older_launcher_they_are_heard(folder: Path) -> None:
    path = notify(folder)
    async with noded(folder, Old()) as processes:
        await processes.entrust("shop.1", str(path))
        assert mode(path) == 0o666
        assert "is older than noded" in processes.degraded[0]


@looped
async def test_a_launcher_without_rights_and_one_that_refuses(folder: Path) -> None:
    path, launcher = notify(folder), Old()
    launcher.new, launcher.entrusts = True, False
    async with noded(folder, launcher) as processes:
        await processes.start(launch(path))
        assert mode(path) == 0o666
        assert "the launcher is not root" in processes.degraded[0]
        launcher.refusal = "cannot entrust shop.1: not a socket of uid 7"
        await processes.entrust("shop.1", str(path))
        assert "not a socket of uid 7" in processes.degraded[0]
        with pytest.raises(Refused, match="not a socket"):
            await processes.start(launch(path))


@looped
async def test_a_launcher_that_is_away(folder: Path) -> None:
    path = notify(folder)
    async with noded(folder, Old()) as processes:
        (folder / "l.sock").unlink()
        await processes.entrust("shop.1", str(path))
        assert mode(path) == 0o666
        assert "is noded-launcher running?" in processes.degraded[0]
