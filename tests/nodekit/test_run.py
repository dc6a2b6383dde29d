"""Does `nodekit run` start a node as its author expects, and refuse a folder that is none?"""

import http.client
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodekit.run import Mistake, prepare
from tests.nodekit.noded_side import DEADLINE, environ
from tests.ports import free_ports

MANIFEST = """
[node]
name = "desk"
version = "1.0.0"
run = ["python3", "desk.py", "--bind", "{listen}"]
env = { GREETING = "hello" }

[serves]
port = 8100
"""
SOURCE = """
import os, sys, threading
from nodekit import Node

node = Node()

@node.get("/")
def hello(request):
    words = [os.environ["GREETING"], sys.argv[2], node.name, node.is_active, sys.flags.dev_mode]
    return " ".join(map(str, [*words, threading.active_count()]))

@node.get("/break")
def stop_here(request):
    answer = 42
    breakpoint()
    return str(answer)

node.main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "node.toml").write_text(MANIFEST)
    (tmp_path / "desk.py").write_text(SOURCE)
    return tmp_path


@pytest.fixture
def port() -> int:
    return free_ports()


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    programs: list[subprocess.Popen[bytes]] = []
    yield programs
    for program in programs:
        program.kill()
        program.wait()


def command(folder: Path, port: int, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "nodekit",
        "run",
        str(folder),
        "--port",
        str(port),
        "--data",
        str(folder / "d"),
        *more,
    ]


def ask(port: int, path: str = "/") -> str:
    deadline = time.monotonic() + DEADLINE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the node did not come up"
            time.sleep(0.02)
        finally:
            connection.close()


@pytest.mark.parametrize("debug", [False, True])
def test_a_node_at_the_desk(
    folder: Path, port: int, debug: bool, started: list[subprocess.Popen[bytes]]
) -> None:
    more = ["--debug"] if debug else []
    program = subprocess.Popen(
        command(folder, port, *more), env=environ(NODED_NODE="x", NOTIFY_SOCKET="/nowhere")
    )
    started.append(program)
    assert ask(port) == f"hello 127.0.0.1:{port} desk True {debug} 1"
    assert (folder / "d").is_dir()
    program.send_signal(signal.SIGINT)
    assert program.wait(DEADLINE) == 0


def test_a_breakpoint_is_worked_from_the_terminal(
    folder: Path, port: int, started: list[subprocess.Popen[bytes]]
) -> None:
    master, terminal = pty.openpty()
    program = subprocess.Popen(
        command(folder, port),
        env=environ(),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    started.append(program)
    os.close(terminal)
    assert "hello" in ask(port)
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    asked.request("GET", "/break")
    seen = read_until(master, b"(Pdb)")
    os.write(master, b"answer = 43\n")
    seen += read_until(master, b"(Pdb)")
    os.write(master, b"continue\n")
    assert asked.getresponse().read() == b"43"
    asked.close()
    assert b"desk.py" in seen
    # After "continue" Ctrl-C is pdb's: it stops the node in the debugger again.
    program.send_signal(signal.SIGTERM)
    assert program.wait(DEADLINE) == 0
    os.close(master)


def read_until(terminal: int, wanted: bytes) -> bytes:
    seen, deadline = b"", time.monotonic() + DEADLINE
    while wanted not in seen:
        assert time.monotonic() < deadline, seen
        seen += os.read(terminal, 4096)
    return seen


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ("", "node.toml: node: expected a table, got None"),
        ("[node", "node.toml: Expected ']'"),
        ("node = 1", "node.toml: node: expected a table, got 1"),
        (
            '[node]\nname="Bad"\nversion="1"\nrun=["x"]',
            "node.name: expected a name such as catalog, got 'Bad'",
        ),
        ('[node]\nname="a"\nrun=["x"]', "node.version: expected text such as 1.0.0, got None"),
        ('[node]\nname="a"\nversion="1"\nrun="x"', "node.run: expected a list of words, got 'x'"),
        ('[node]\nname="a"\nversion="1"\nrun=[]', "node.run: expected a list of words"),
        ('[node]\nname="a"\nversion="1"\nrun=["x", 1]', "node.run: expected a list of words"),
        ('[node]\nname="a"\nversion="1"\nrun=["x"]\nenv={A=1}', "node.env: expected text values"),
    ],
)
def test_a_manifest_that_cannot_be_started(folder: Path, manifest: str, text: str) -> None:
    (folder / "node.toml").write_text(manifest)
    found = subprocess.run(
        command(folder, 8080), env=environ(), capture_output=True, text=True, timeout=DEADLINE
    )
    assert found.returncode == 2
    assert text in found.stderr
    assert "Traceback" not in found.stderr


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    (folder / "node.toml").write_text("[node]\nname = 1\nrun = 2\n")
    with pytest.raises(Mistake) as caught:
        prepare(folder, 8080, folder / "d", False, {})
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "node.name",
        "node.version",
        "node.run",
    ]


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "node.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Mistake, match="utf-8"):
        prepare(folder, 8080, folder / "d", False, {})


def test_no_folder_no_manifest_no_port(folder: Path) -> None:
    with pytest.raises(Mistake, match="cannot be read: No such file or directory"):
        prepare(folder / "missing", 8080, None, False, {})
    with pytest.raises(Mistake, match="--port: expected 1 to 65535, got 0"):
        prepare(folder, 0, None, False, {})


def test_a_port_that_somebody_else_has(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = subprocess.run(
            command(folder, port), env=environ(), capture_output=True, text=True, timeout=DEADLINE
        )
    told = f"nodekit: --port: {port} cannot be had: Address already in use; give another one\n"
    assert (found.returncode, found.stderr) == (2, told)


def test_a_program_that_is_not_there(folder: Path) -> None:
    (folder / "node.toml").write_text(MANIFEST.replace('"python3"', '"no-such-program"'))
    found = subprocess.run(
        command(folder, 8080), env=environ(), capture_output=True, text=True, timeout=DEADLINE
    )
    assert found.returncode == 1
    assert "cannot start" in found.stderr
    assert "Traceback" not in found.stderr


def test_nothing_of_a_daemon_reaches_the_node(folder: Path) -> None:
    given = {
        "NODED_ACTIVE": "0",
        "NOTIFY_SOCKET": "/x",
        "NODED_ORDERS": "/y",
        "HOME": "/h",
        "PYTHONPATH": "/p",
    }
    command, found = prepare(folder, 9000, folder / "d", True, given)
    assert command == ["python3", "desk.py", "--bind", "127.0.0.1:9000"]
    assert not {"NODED_ACTIVE", "NOTIFY_SOCKET", "NODED_ORDERS"} & found.keys()
    assert (found["HOME"], found["GREETING"], found["PYTHONDEVMODE"]) == ("/h", "hello", "1")
    assert found["PYTHONPATH"].endswith(os.pathsep + "/p")
    assert found["NODED_INSTANCE"] == "desk.0"
