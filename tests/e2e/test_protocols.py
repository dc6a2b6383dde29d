"""Do gRPC, plain connections and nodes that share a port come through the whole of noded, and roll out?"""

import asyncio
import shutil
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests.adapters.grpc_shop import call
from tests.adapters.small_client import ask_once
from tests.e2e import host as hosts
from tests.e2e.follow import Follower, ended, last_rollout
from tests.e2e.ground import ROOT, readable, wait_for
from tests.e2e.host import Host
from tests.e2e.programs import PLAIN_HTTP, lay

pytestmark = pytest.mark.e2e

ECHO = """
import os, socket, sys, threading
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1].removeprefix("unix:"))
listening.listen(64)

def serve(client):
    with client:
        while client.recv(100):
            client.sendall(os.environ["NODED_VERSION"].encode())

while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
"""
QUICK = '[health]\nreadiness = "tcp"\n[rollout]\nsteps = [50, 100]\ndwell = "1s"\nsoak = "1s"\n'
MANY = 200
"""Requests between two looks: a step needs about a thousand."""
RUN = ("python3", "main.py", "{listen}")


class Place:
    """A host whose last two ports are for connections."""

    def __init__(self, host: Host) -> None:
        self.host = host
        last = host.first_port + hosts.PORTS - 1
        self.tcp = last - 1
        settings = host.folder / "etc/noded.toml"
        all_ports, fewer = f"{host.first_port}-{last}", f"{host.first_port}-{last - 2}"
        ports = f'ports = ["{fewer}"]\ntcp_ports = ["{self.tcp}-{last}"]'
        settings.write_text(settings.read_text().replace(f'ports = ["{all_ports}"]', ports))

    def apply(self, name: str, version: str, serves: str, program: str = PLAIN_HTTP) -> None:
        folder = lay(self.host, name, version, program, run=RUN, tables=f"[serves]\n{serves}\n{QUICK}")
        self.host.nodectl("apply", str(folder))


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    host = hosts.make()
    try:
        place = Place(host)
        host.start()
        yield place
    finally:
        host.close()


@pytest.fixture(scope="module")
def watching(place: Place) -> Iterator[Follower]:
    one = Follower(place.host)
    yield one
    one.close()


def rolled_out(watching: Follower, name: str, ask: Callable[[], list[str]]) -> Counter[str]:
    """What was answered from the beginning to the end of a rollout."""
    told: Counter[str] = Counter()

    def is_over() -> bool:
        told.update(ask())
        return ended(watching.now(name))

    wait_for(is_over, f"the end of the rollout of {name}", 60)
    node = watching.now(name)
    assert (last_rollout(node)["phase"], node["version"]) == ("promoted", "1.1.0"), last_rollout(node)[
        "reason"
    ]
    return told


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 5)


def greeted(connection: socket.socket) -> str:
    connection.sendall(b"hello")
    return connection.recv(100).decode()


def test_connections_roll_out_and_open_ones_stay(place: Place, watching: Follower) -> None:
    serves = f'port = {place.tcp}\nprotocol = "tcp"'
    place.apply("line", "1.0.0", serves, ECHO)

    def once() -> str:
        with connected(place.tcp) as connection:
            return greeted(connection)

    assert once() == "1.0.0"
    with connected(place.tcp) as old:
        assert greeted(old) == "1.0.0"
        place.apply("line", "1.1.0", serves, ECHO)
        told = rolled_out(watching, "line", lambda: [once() for _ in range(MANY)])
        assert greeted(old) == "1.0.0", "it was open before and ends where it began"
    assert set(told) == {"1.0.0", "1.1.0"}
    assert once() == "1.1.0"


def test_nodes_share_a_port_by_host_name(place: Place, watching: Follower) -> None:
    port = place.host.first_port

    def asked(host: str) -> tuple[int, str]:
        status, body = asyncio.run(ask_once(port, host=host))
        return status, body.strip().rpartition(" ")[2]

    for name in ("front", "back"):
        place.apply(name, "1.0.0", f'port = {port}\nhosts = ["{name}.example.org"]')
    assert [asked(f"{name}.example.org") for name in ("front", "back")] == [(200, "1.0.0"), (200, "1.0.0")]
    assert asked("other.example.org")[0] == 404
    place.apply("front", "1.1.0", f'port = {port}\nhosts = ["front.example.org"]')
    told = rolled_out(watching, "front", lambda: [str(asked("front.example.org")) for _ in range(MANY)])
    assert set(told) == {str((200, "1.0.0")), str((200, "1.1.0"))}
    assert asked("back.example.org") == (200, "1.0.0")
    place.host.kill("proxy")
    place.host.start_proxy()
    wait_for(lambda: asked("front.example.org") == (200, "1.1.0"), "the routes after a restart of the proxy")
    wait_for(lambda: asked("back.example.org") == (200, "1.0.0"), "the routes after a restart of the proxy")
    place.host.nodectl("remove", "back", "--yes")
    wait_for(lambda: asked("back.example.org")[0] == 404, "the end of the name")
    assert asked("front.example.org") == (200, "1.1.0")


def test_calls_of_grpc_roll_out(place: Place, watching: Follower) -> None:
    port = place.host.first_port + 1
    serves = f'port = {port}\nprotocol = "grpc"\nidempotent = ["POST"]'
    for version in ("1.0.0", "1.1.0"):
        folder = lay(
            place.host, "ledger", version, run=(str(python(place.host)), "main.py", "{listen}", version)
        )
        shutil.copy(ROOT / "tests/adapters/grpc_shop.py", folder / "main.py")
        readable(folder)
        manifest = folder / "node.toml"
        manifest.write_text(manifest.read_text() + f"[serves]\n{serves}\n{QUICK}")
        place.host.nodectl("apply", str(folder))
        if version == "1.0.0":
            continue

        async def asked() -> list[str]:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return [await call(channel) for _ in range(MANY)]

        told = rolled_out(watching, "ledger", lambda: asyncio.run(asked()))
        assert set(told) == {"1.0.0", "1.1.0"}
        assert set(asyncio.run(asked())) == {"1.1.0"}


def python(host: Host) -> Path:
    """One that has grpcio and that the node's user may start."""
    return Path(host.python if host.python != host.node_python else sys.executable)
