"""Who is heard, and does every malformed request get one error that says what was expected?"""

import json
import os
import socket
import subprocess
from typing import Any

import pytest

from tests.launcher.lab import DEADLINE, NOBODY, PYTHON, Client, Lab, needs_root, until

BAD_ENVIRONMENTS: tuple[Any, ...] = (
    [],
    {"A=B": "c"},
    {"": "c"},
    {"A": 1},
    {"A": "b\0"},
    {"1A": "b"},
    {"A\n": "b"},
)
SLEEP = {
    "instance": "wire.1",
    "node": "wire",
    "argv": ["sleep", "1"],
    "cwd": "/",
    "env": {},
    "user": "dynamic",
}


def told(client: Client, line: bytes) -> dict[str, Any]:
    client.socket.sendall(line + b"\n")
    return client.line()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"{",
        b'{"id":1,"op":"hello"',
        b"\xff\xfe",
        b"[" * 100_000,
        b"1" * 5000,
        b'"text"',
        b"[]",
        b"null",
    ],
)
def test_what_is_no_request(client: Client, line: bytes) -> None:
    reply = told(client, line)
    assert (reply["id"], reply["ok"], reply["kind"]) == (None, False, "refused")
    assert "JSON" in reply["error"]
    assert "the connection is closed" in reply["error"]
    with pytest.raises((EOFError, OSError)):
        client.do("hello")


@pytest.mark.parametrize(
    ("request_", "number", "text"),
    [
        ({}, None, "id: missing, expected a whole number; op: missing, expected one of hello, start"),
        ({"op": "hello"}, None, "hello: id: missing"),
        ({"id": "7", "op": "hello"}, None, "id: '7', expected a whole number"),
        ({"id": -1, "op": "hello"}, None, "id: -1"),
        ({"id": True, "op": "hello"}, None, "id: True"),
        ({"id": 7}, 7, "op: missing"),
        ({"id": 7, "op": "reboot"}, 7, "op: 'reboot', expected one of hello"),
        ({"id": 7, "op": ["hello"]}, 7, "op: ['hello']"),
        ({"id": 7, "op": "hello", "extra": 1}, 7, "hello: 'extra': unknown key; known: id, op"),
        ({"id": 7, "op": "status"}, 7, "status: instance: missing"),
        ({"id": 7, "op": "status", "instanse": "a.1"}, 7, "'instanse': unknown key; did you mean instance?"),
        ({"id": 7, "op": "signal", "instance": "a.1", "signal": "NOPE"}, 7, "signal: 'NOPE'"),
        ({"id": 7, "op": "signal", "instance": "a.1", "signal": 9}, 7, "signal: 9, expected the name"),
        ({"id": 7, "op": "unlisten"}, 7, "unlisten: node: missing"),
        ({"id": 7, "op": "unlisten", "node": "A"}, 7, "unlisten: node: 'A'"),
        ({"id": 7, "op": "freeze", "instance": "a"}, 7, "freeze: instance: 'a'"),
        ({"id": 7, "op": "kill", "instance": "a.1", "timeout": -1}, 7, "timeout: -1, expected seconds"),
        ({"id": 7, "op": "kill", "instance": "a.1", "timeout": 1e9}, 7, "timeout: 1000000000.0"),
        ({"id": 7, "op": "kill", "instance": "a.1", "timeout": float("nan")}, 7, "timeout: nan"),
    ],
)
def test_requests_with_mistakes(
    client: Client, request_: dict[str, Any], number: int | None, text: str
) -> None:
    reply = told(client, json.dumps(request_).encode())
    assert (reply["id"], reply["ok"], reply["kind"]) == (number, False, "refused")
    assert text in reply["error"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        *(
            ({"instance": name}, "instance: ")
            for name in ("", "wire", "Wire.1", "wire.", "wire.1/..", "../w.1", "wire.1\n")
        ),
        ({"instance": "wire.1234567890"}, "instance: "),
        ({"instance": 7}, "instance: 7, expected an instance like"),
        ({"instance": "other.1"}, "other.1 is not an instance of node wire"),
        *(({"node": name}, "node: ") for name in ("", "..", "a/b", "a" * 33, None)),
        *(
            ({"argv": argv}, "argv: ")
            for argv in ([], "sleep", [""], ["a\0b"], ["a", 1], ["a"] * 513, ["\ud800"], None)
        ),
        *(({"cwd": cwd}, "cwd: ") for cwd in ("", "relative", "/a\0b", "/" + "a" * 5000, 1, None)),
        *(({"env": env}, "env: ") for env in BAD_ENVIRONMENTS),
        ({"env": {"NODED_INSTANCE": "wire.2"}}, "env.NODED_INSTANCE: expected wire.1"),
        *(({"user": user}, "user: ") for user in ("", 0, None, "a\0b")),
        *(({"limits": {"memory": value}}, "limits.memory: ") for value in (-1, 1.5, "1G", True, 2**63)),
        *(({"limits": {"cpu": value}}, "limits.cpu: ") for value in (-1, 0.001, "1", float("inf"), 1e6)),
        *(({"limits": {"io": value}}, "limits.io: ") for value in (-1, 10001, 0.5, "100")),
        *(({"limits": {"memory_high": value}}, "limits.memory_high: ") for value in (-1, 1.5, "1G")),
        ({"limits": {"memroy": 1}}, "limits.'memroy': unknown key; did you mean memory?"),
        ({"limits": 5}, "limits: 5, expected a table"),
        ({"data": 1}, "data: 1, expected true or false"),
        ({"setuid": True}, "'setuid': unknown key"),
    ],
)
def test_starts_with_mistakes(client: Client, change: dict[str, Any], text: str) -> None:
    kind, error = client.refused("start", **(SLEEP | change))
    assert kind == "refused"
    assert text in error
    assert client.refused("status", instance="wire.1")[0] == "not_found"


def test_all_mistakes_at_once(client: Client) -> None:
    _, error = client.refused("start", **(SLEEP | {"argv": [], "cwd": "x", "user": 1, "limits": {"cpu": -1}}))
    assert all(key in error for key in ("argv: ", "cwd: ", "user: ", "limits.cpu: "))


def test_line_that_never_ends_closes_the_connection(client: Client, shared: Lab) -> None:
    number = client.send("hello")
    assert client.reply(number)["ok"]
    for _ in range(100):
        client.socket.sendall(b"x" * 8192)
    assert "larger than 262144 bytes" in client.line()["error"]
    assert client.socket.recv(1) == b""
    with pytest.raises(OSError):
        until(lambda: client.socket.sendall(b"x"), "the connection to be closed")
    assert shared.client().do("hello")


def test_largest_line_is_taken(client: Client) -> None:
    line = json.dumps({"id": 1, "op": "hello"}).encode()
    assert told(client, line.ljust(256 * 1024))["ok"]
    assert "larger" in told(client, line.ljust(256 * 1024 + 1))["error"]
    assert client.socket.recv(1) == b""


def test_requests_in_pieces_and_in_bulk(client: Client) -> None:
    line = json.dumps({"id": 5, "op": "hello"}).encode() + b"\n"
    for byte in line:
        client.socket.sendall(bytes([byte]))
    assert client.reply(5)["ok"]
    client.socket.sendall(
        b"".join(json.dumps({"id": n, "op": "hello"}).encode() + b"\n" for n in range(100, 3100))
    )
    assert all(client.reply(number)["ok"] for number in range(100, 3100))


def test_client_that_leaves_while_its_order_runs(shared: Lab, client: Client) -> None:
    leaver = shared.client()
    leaver.send("start", **shared.order("leaver.1", "sleep", "100"))
    leaver.close()
    until(lambda: client.ask("status", instance="leaver.1")["ok"], "the start to go on")
    assert client.do("status", instance="leaver.1")["running"]


def test_client_that_never_reads_is_dropped_and_harms_nobody(shared: Lab, client: Client) -> None:
    mute = shared.client()
    mute.socket.setblocking(False)
    line = json.dumps({"id": 1, "op": "x" * 200_000}).encode() + b"\n"
    with pytest.raises(OSError):
        for _ in range(1000):
            mute.socket.sendall(line)
    assert client.do("hello")


def test_number_of_connections_is_bounded(shared: Lab) -> None:
    connections = []
    refused = None
    for _ in range(80):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(DEADLINE)
        connection.connect(shared.socket)
        connections.append(connection)
        connection.sendall(b'{"id":1,"op":"hello"}\n')
        reply = json.loads(connection.recv(4096).splitlines()[0])
        if not reply["ok"]:
            refused = reply
            break
    assert refused is not None
    assert refused["kind"] == "unavailable"
    assert refused["error"] == "64 connections are open already"
    for connection in connections:
        connection.close()

    def welcome() -> bool:
        client = shared.client()
        client.socket.sendall(b'{"id":1,"op":"hello"}\n')
        return bool(client.line()["ok"])

    until(welcome, "room again")


@needs_root
def test_strangers_are_not_heard(shared: Lab) -> None:
    os.chmod(shared.socket, 0o666)
    try:
        talk = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            's.sendall(b\'{"id":1,"op":"list"}\\n\'); print(s.makefile().readline())'
        )
        switch = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        said = subprocess.run(
            [*switch, PYTHON, "-c", talk, shared.socket],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        ).stdout
        reply = json.loads(said)
        assert (reply["id"], reply["kind"]) == (None, "refused")
        assert f"not permitted: uid {NOBODY} is not among `peers`" in reply["error"]
    finally:
        os.chmod(shared.socket, 0o660)


def test_socket_is_open_to_its_group_only(shared: Lab) -> None:
    assert os.stat(shared.socket).st_mode & 0o777 == 0o660


def logged_lines(shared: Lab) -> list[str]:
    return [line for line in shared.log.splitlines() if "logged." in line]


def test_log_has_one_line_per_order_and_no_secrets(shared: Lab, client: Client) -> None:
    client.do(
        "start",
        **shared.order("logged.1", "sleep", "100", env={"PATH": "/bin:/usr/bin", "KEY": "very-secret"}),
    )
    client.do("status", instance="logged.1")
    client.refused("status", instance="logged.2")
    client.do("kill", instance="logged.1")
    lines = until(lambda: logged if len(logged := logged_lines(shared)) == 3 else None, "three lines")
    assert [line.split(" pid=")[0] for line in lines] == [
        "start logged.1: ok",
        "status logged.2: not_found: no instance logged.2 is known here",
        "kill logged.1: ok",
    ]
    assert "very-secret" not in shared.log
