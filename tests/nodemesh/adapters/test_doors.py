"""Does the door tell the broker who calls, and keep to what the host allows?"""

import asyncio
import os
import resource
import socket
import subprocess
import sys

import grpc.aio
import pytest

from nodemesh.adapters import doors
from nodemesh.ports import Refused, Unavailable
from tests.fakes.mesh_broker import MeshBroker
from tests.nodemesh.adapters.mesh_clients import (
    ENVIRONMENT,
    opened,
    run,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="taking other uids needs root")


SPEAK = """
import asyncio, os, sys
from pathlib import Path
from tests.nodemesh.adapters.mesh_clients import CLIENTS, hello, subscribe
os.setgroups([]), os.setgid(1234), os.setuid(1234)

async def speak(client):
    async with client(Path(sys.argv[1])) as shop:
        await shop.publish(hello(client.transport + ".1"))
        print((await shop.published()).through, flush=True)

for each in CLIENTS:
    asyncio.run(speak(each))
"""


@as_root
def test_the_broker_learns_the_uid_from_the_kernel() -> None:
    async def test() -> None:
        broker = MeshBroker()
        async with opened(broker) as path:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", SPEAK, str(path)),
                stdout=subprocess.PIPE,
                env=ENVIRONMENT,
            )
            out, _ = await asyncio.wait_for(child.communicate(), 30)
            assert out.split() == [b"0", b"0"]
            assert broker.uids == {"raw.1": 1234, "grpc.1": 1234}

    run(test())


def test_the_socket_of_the_mesh_is_for_everybody_and_the_other_is_not() -> None:
    async def test() -> None:
        async with opened(MeshBroker()) as path:
            assert path.stat().st_mode & 0o777 == 0o666
            async with asyncio.TaskGroup() as tasks:
                control = path.with_name("control.sock")
                async with doors.for_control(
                    control, grpc.aio.server(), tasks, group=1234 * (not os.geteuid())
                ):
                    assert control.stat().st_mode & 0o777 == 0o660

    run(test())


def test_a_path_in_use_and_a_path_that_is_no_socket() -> None:
    async def test() -> None:
        async with opened(MeshBroker()) as path, asyncio.TaskGroup() as tasks:
            with pytest.raises(Unavailable, match="another process listens there"):
                async with doors.for_nodes(path, MeshBroker(), tasks):
                    pass
            with pytest.raises(Refused, match="No such file"):
                async with doors.for_nodes(path.with_name("none") / "s", MeshBroker(), tasks):
                    pass

    run(test())


LIMITED = """
import asyncio, logging, resource, sys
from nodemesh.adapters import doors
logging.basicConfig(format="%(message)s")
files = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (min(64, files), files))
print(doors._allowed(2000), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (8000, ["2000 6256"]),
        (
            856,
            ["at most 200 connections instead of 2000", "the limit of open files is 856", "LimitNOFILE=6256"],
        ),
        (300, ["Refused", "limit of open files is 300: expected 304 or more; set LimitNOFILE=6256"]),
    ],
)
def test_the_limit_of_open_files_is_respected_and_told(files: int, says: list[str]) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < files:
        pytest.skip(f"may not open {files} files")
    words = (sys.executable, "-c", LIMITED, str(files))
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert all(each in done.stdout + done.stderr for each in says)


def test_a_connection_too_many_leaves_room_for_others() -> None:
    async def test() -> None:
        async with opened(MeshBroker(), connections=8) as path:
            held = [socket.socket(socket.AF_UNIX) for _ in range(6)]
            for each in held:
                each.connect(str(path))
            reader, writer = await asyncio.open_unix_connection(str(path))
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            for each in held:
                each.close()

    run(test())
