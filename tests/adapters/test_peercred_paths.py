"""Is a path for the control socket taken over, refused or left alone as it should be?"""

import asyncio
import shutil
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from noded.adapters.peercred import serve
from noded.ports import PortError, Refused, Unavailable


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    yield made
    shutil.rmtree(made)


@asynccontextmanager
async def door(path: Path) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks, serve(path, grpc.aio.server(), tasks):
        yield


async def refusal(path: Path) -> PortError:
    async with asyncio.TaskGroup() as tasks:
        with pytest.raises(PortError) as refused:
            async with serve(path, grpc.aio.server(), tasks):
                pass
    return refused.value


async def answers(path: Path) -> bool:
    """A gRPC server speaks first."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    first = await asyncio.wait_for(reader.read(1), 5)
    writer.close()
    return bool(first)


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


def test_a_socket_left_by_a_killed_daemon_is_replaced(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "s"))
    (folder / "s.private").mkdir(mode=0o755)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "s.private" / "grpc.sock"))

    async def test() -> None:
        async with door(folder / "s"):
            assert stat.S_IMODE((folder / "s.private").stat().st_mode) == 0o700
            assert await answers(folder / "s")

    run(test())


def test_a_second_daemon_is_refused_and_the_first_goes_on(folder: Path) -> None:
    async def test() -> None:
        async with door(folder / "s"):
            refused = await refusal(folder / "s")
            assert isinstance(refused, Unavailable) and "another process listens there" in str(refused)
            assert await answers(folder / "s")

    run(test())


def a_file(folder: Path) -> Path:
    (folder / "s").write_text("precious")
    return folder / "s"


def a_private_link(folder: Path) -> Path:
    (folder / "s.private").symlink_to("/tmp")
    return folder / "s"


def a_private_file(folder: Path) -> Path:
    (folder / "s.private").write_text("")
    return folder / "s"


BAD_PATHS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "file": (a_file, "something that is not a socket is there"),
    "private link": (a_private_link, "expected a folder of uid"),
    "private file": (a_private_file, "s.private"),
    "no folder": (lambda folder: folder / "none" / "s", "No such file or directory"),
    "too long": (lambda folder: folder / ("s" * 90), "longer than 89 bytes"),
}


@pytest.mark.parametrize("kind", BAD_PATHS)
def test_a_path_that_cannot_be_used_is_refused(folder: Path, kind: str) -> None:
    make, says = BAD_PATHS[kind]
    path = make(folder)
    before = path.read_bytes() if path.exists() else None

    async def test() -> None:
        refused = await refusal(path)
        assert isinstance(refused, Refused) and says in str(refused)

    run(test())
    assert (path.read_bytes() if path.exists() else None) == before
    assert stat.S_IMODE(Path("/tmp").stat().st_mode) == 0o1777
