"""Is a node's listening socket held from instance to instance, and through restarts of the launcher?"""

import itertools
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launcher.orders import Address, Refusal
from launcher.requests import address_of
from launcher.sockets import Sockets
from tests.launcher.lab import DEADLINE, MODES, PYTHON, Client, Lab, alive, holds_only, is_root, lab, until
from tests.ports import free_ports

NUMBERS = itertools.count(1)
# Answers each connection with its pid and what it was given.
SERVE = """
import os, socket
given = socket.socket(fileno=3)
given.setblocking(True)
text = " ".join([str(os.getpid())] + [os.environ[n] for n in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")])
while True:
    client, _ = given.accept()
    client.sendall(text.encode())
    client.close()
"""


def fresh(node: str = "echo") -> str:
    return f"{node}.{next(NUMBERS)}"


def ask(address: str) -> list[str]:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), DEADLINE) as found:
        return found.makefile().read().split()


@pytest.fixture(params=MODES)
def room(request: pytest.FixtureRequest) -> Iterator[Lab]:
    yield from lab(cgroups=request.param)


@pytest.fixture
def address() -> str:
    return f"127.0.0.1:{free_ports()}"


def server(room: Lab, instance: str, address: str) -> dict[str, Any]:
    return room.order(instance, PYTHON, "-SIEc", SERVE, listen=address)


def test_every_instance_gets_the_same_socket(shared: Lab, client: Client, address: str) -> None:
    first = client.do("start", **server(shared, fresh(), address))
    assert first["listen"] == address
    assert ask(address) == [str(first["pid"]), "1", str(first["pid"]), "listen"]
    targets = [os.readlink(f"/proc/{first['pid']}/fd/{fd}") for fd in os.listdir(f"/proc/{first['pid']}/fd")]
    assert sorted(target.partition(":")[0] for target in targets) == sorted(
        ["/dev/null", first["log"], first["log"], "socket"]
    )
    second = client.do("start", **server(shared, fresh(), address))
    assert os.readlink(f"/proc/{second['pid']}/fd/3") == os.readlink(f"/proc/{first['pid']}/fd/3")
    assert {"node": "echo", "address": address} in client.do("list")["sockets"]
    assert client.do("unlisten", node="echo") == {"closed": [address]}
    assert client.do("unlisten", node="echo") == {"closed": []}
    assert ask(address)  # the instances keep theirs
    for result in (first, second):
        os.kill(result["pid"], 9)


def test_without_listen_there_is_none(shared: Lab, client: Client) -> None:
    result = client.do("start", **shared.order(fresh("plain"), "sleep", "100", listen=""))
    assert result["listen"] == ""
    holds_only(result["pid"], "0", "1", "2")
    assert b"LISTEN_" not in Path(f"/proc/{result['pid']}/environ").read_bytes()


def test_connections_wait_while_an_instance_is_replaced(shared: Lab, client: Client, address: str) -> None:
    first = fresh("waits")
    client.do("start", **server(shared, first, address))
    client.do("kill", instance=first)
    client.do("remove", instance=first)
    answers: list[list[str]] = []
    waiting = [threading.Thread(target=lambda: answers.append(ask(address))) for _ in range(5)]
    for thread in waiting:
        thread.start()
    result = client.do("start", **server(shared, fresh("waits"), address))
    for thread in waiting:
        thread.join(DEADLINE)
    assert [answer[0] for answer in answers] == [str(result["pid"])] * 5
    client.do("unlisten", node="waits")


def test_over_ipv6(shared: Lab, client: Client) -> None:
    address = f"[::1]:{free_ports()}"
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this host has no IPv6")
    result = client.do("start", **server(shared, fresh("six"), address))
    assert ask(address)[0] == str(result["pid"])
    kind, text = client.refused("start", **server(shared, fresh("seven"), address))
    assert (kind, text.partition(": ")[2]) == ("refused", f"listen {address}: held for node six")
    client.do("unlisten", node="six")


def test_an_address_has_one_name() -> None:
    told = [address_of(text) for text in ("[::1]:9000", "[0:0::1]:9000", "[0:0:0:0:0:0:0:1]:9000")]
    assert told == [Address("[::1]:9000", "::1", 9000)] * 3
    assert address_of("127.0.0.1:9000") == Address("127.0.0.1:9000", "127.0.0.1", 9000)


def test_a_port_in_use_names_the_address_and_who_has_it(shared: Lab, client: Client, address: str) -> None:
    host, _, port = address.rpartition(":")
    instance = fresh()
    with socket.create_server((host, int(port))):
        kind, text = client.refused("start", **server(shared, instance, address))
    assert kind == "refused"
    assert (
        text == f"cannot start {instance}: listen {address}: Address already in use (by uid {os.geteuid()})"
    )
    assert client.refused("status", instance=instance)[0] == "not_found"
    client.do("start", **server(shared, instance, address))
    client.do("unlisten", node="echo")


def test_an_address_that_is_not_here(shared: Lab, client: Client) -> None:
    kind, text = client.refused("start", **server(shared, fresh(), "203.0.113.1:9000"))
    assert (kind, "listen 203.0.113.1:9000: Cannot assign requested address" in text) == ("refused", True)


def test_a_start_that_fails_keeps_the_socket_for_the_next(shared: Lab, client: Client, address: str) -> None:
    client.refused("start", **shared.order(fresh("tries"), "no-such-program", listen=address))
    result = client.do("start", **server(shared, fresh("tries"), address))
    assert ask(address)[0] == str(result["pid"])
    client.do("unlisten", node="tries")


@pytest.mark.parametrize(
    "listen",
    [
        "9000",
        ":9000",
        "localhost:9000",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:80",
        "127.0.0.1:1023",
        "127.0.0.1:65536",
        "127.0.0.1:09000",
        "127.0.0.1:+9000",
        "127.0.0.1:9000\n",
        "127.1:9000",
        "256.0.0.1:9000",
        "::1:9000",
        "[::1]9000",
        "[127.0.0.1]:9000",
        "[::1%lo]:9000",
        "unix:/x",
        9000,
        None,
        ["127.0.0.1:9000"],
    ],
)
def test_addresses_with_mistakes(shared: Lab, client: Client, listen: Any) -> None:
    kind, text = client.refused("start", **shared.order(fresh(), "sleep", "1", listen=listen))
    assert (kind, "listen: " in text, "port 1024 to 65535" in text) == ("refused", True, True)


def test_a_new_launcher_takes_the_socket_back(room: Lab, address: str) -> None:
    client = room.client()
    old = fresh("back")
    first = client.do("start", **server(room, old, address))
    room.end()
    assert ask(address)[0] == str(first["pid"])
    client = room.start().client()
    assert client.do("list")["sockets"] == [{"node": "back", "address": address}]
    client.do("kill", instance=old)
    client.do("remove", instance=old)
    answers: list[list[str]] = []
    waiting = threading.Thread(target=lambda: answers.append(ask(address)))
    waiting.start()
    second = client.do("start", **server(room, fresh("back"), address))
    waiting.join(DEADLINE)
    assert answers[0][0] == str(second["pid"])


def test_nothing_is_taken_back_of_one_that_let_go_of_it(room: Lab, address: str) -> None:
    client = room.client()
    closes = "import os, time; os.close(3); print('closed', flush=True); time.sleep(100)"
    instance = fresh("gone")
    client.do("start", **room.order(instance, PYTHON, "-SIEc", closes, listen=address))
    until(lambda: room.output(instance), "it to be closed")
    room.end()
    client = room.start().client()
    assert client.do("list")["sockets"] == []
    result = client.do("start", **server(room, fresh("gone"), address))
    assert ask(address)[0] == str(result["pid"])


def test_only_a_listening_socket_on_that_address_is_taken_back() -> None:
    mine = os.getpid()
    with socket.create_server(("127.0.0.1", 0)) as wanted, socket.create_server(("127.0.0.1", 0)) as other:
        port, wrong = wanted.getsockname()[1], other.getsockname()[1]
        sockets = Sockets()
        assert sockets.adopt("a", Address(f"127.0.0.1:{port}", "127.0.0.1", port), mine)
        assert sockets.told() == [{"node": "a", "address": f"127.0.0.1:{port}"}]
        other.close()
        assert not sockets.adopt("b", Address(f"127.0.0.1:{wrong}", "127.0.0.1", wrong), mine)
        with pytest.raises(Refusal, match=f"listen 127.0.0.1:{port}: held for node a"):
            sockets.open("c", Address(f"127.0.0.1:{port}", "127.0.0.1", port), [mine])
        # It is another open file of the same socket: closing ours leaves theirs.
        sockets.close("a")
        with socket.create_connection(("127.0.0.1", port), DEADLINE):
            pass


def test_a_process_that_is_gone_has_nothing() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        address = address_of(f"127.0.0.1:{port}")
        assert address is not None
        assert not Sockets().adopt("a", address, pid)
    assert not alive(pid)


@pytest.mark.skipif(not is_root, reason="another user's instance needs root")
def test_a_socket_in_use_by_an_own_instance_is_found_again_at_the_start(room: Lab, address: str) -> None:
    """Its environment tells nothing any more: only the start names the address."""
    client = room.client()
    words = [PYTHON, "-SIEc", SERVE]
    hides = f"import os\nos.environ['NODED_SOCKET'] = ''\nos.execv({PYTHON!r}, {words!r})"
    first = client.do("start", **room.order(fresh("hides"), PYTHON, "-SIEc", hides, listen=address))
    assert ask(address)[0] == str(first["pid"])
    room.end()
    client = room.start().client()
    assert client.do("list")["sockets"] == []
    client.do("start", **server(room, fresh("hides"), address))
    assert client.do("list")["sockets"] == [{"node": "hides", "address": address}]
