"""Is NODED_LISTEN read strictly, and does the socket get the right mode?"""

import http.client
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nodekit import Listen
from nodekit.listen import unlink_socket
from tests.nodekit.noded_side import DEADLINE, NodedSide, environ


@pytest.mark.parametrize(
    "text", ["unix:/run/i/a.1/http.sock", "127.0.0.1:8080", "[::1]:80", "localhost:0", "fd:3"]
)
def test_what_is_read_is_written_the_same(text: str) -> None:
    assert str(Listen.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unix:",
        "unix:relative",
        "8080",
        ":8080",
        "127.0.0.1:",
        "127.0.0.1:http",
        "127.0.0.1:65536",
        "a:-1",
        "a:²",
        "fd:",
        "fd:4",
        "fd:-1",
        "fd:3x",
    ],
)
def test_anything_else_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match='NODED_LISTEN: expected "unix:/path" or "host:port" or "fd:3"'):
        Listen.parse(text)


def test_a_unix_socket_is_for_its_user_and_group(noded: NodedSide) -> None:
    with Listen(path=noded.http).bind():
        assert stat.S_IMODE(os.stat(noded.http).st_mode) == 0o660


def test_a_socket_left_behind_is_replaced(noded: NodedSide) -> None:
    Listen(path=noded.http).bind().close()
    with Listen(path=noded.http).bind(), socket.socket(socket.AF_UNIX) as client:
        client.connect(noded.http)


def test_a_file_that_is_no_socket_is_left_alone(noded: NodedSide) -> None:
    with open(noded.http, "w") as file:
        file.write("precious")
    with pytest.raises(OSError, match="in use"):
        Listen(path=noded.http).bind()
    unlink_socket(noded.http)
    assert os.path.exists(noded.http)


def test_a_port_is_bound_on_the_host_alone() -> None:
    with Listen(host="127.0.0.1").bind() as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


HELD = """
import os, sys
from nodekit import Node
node = Node()

@node.get("/pid")
def pid(request):
    return str(os.getpid())

@node.get("/child")
def child(request):
    import subprocess
    command = ["ls", "-l", "/proc/self/fd"]
    return subprocess.run(command, close_fds=False, capture_output=True, text=True).stdout

node.main()
"""


def handed(listener: socket.socket, place: Path, **more: str) -> subprocess.Popen[str]:
    """Started as the launcher does it: the socket as descriptor 3, and nothing else."""
    (place / "held.py").write_text(HELD)
    variables = environ(**{"NODED_LISTEN": "fd:3", "LISTEN_FDS": "1", **more})
    start = (
        "import os, sys; given = int(sys.argv[1]); os.dup2(given, 3); os.set_inheritable(given, given == 3)\n"
        "os.execv(sys.executable, [sys.executable, 'held.py'])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", start, str(listener.fileno())],
        cwd=place,
        env=variables,
        pass_fds=[listener.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ask(port: int, path: str) -> str:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        line.request("GET", path)
        return line.getresponse().read().decode()
    finally:
        line.close()


def test_a_socket_that_is_held_for_the_node_outlives_its_instances(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        first = handed(listener, tmp_path)
        second = None
        try:
            assert ask(port, "/pid") == str(first.pid)
            assert "socket:" not in ask(port, "/child"), "programs it starts hold nothing"
            first.kill()
            first.communicate(timeout=DEADLINE)
            # Nobody accepts now: who connects waits and is not refused.
            with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as early:
                early.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                second = handed(listener, tmp_path)
                assert early.makefile().read().endswith(str(second.pid))
            second.terminate()
            assert second.wait(DEADLINE) == 0
            socket.create_connection(("127.0.0.1", port), timeout=DEADLINE).close()
        finally:
            for each in filter(None, (first, second)):
                each.kill()
                each.communicate(timeout=DEADLINE)


def test_a_spare_leaves_the_connections_of_a_held_socket_alone(noded: NodedSide, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        own = {**noded.environ, "NODED_LISTEN": "fd:3"}
        spare = handed(listener, tmp_path, **own, NODED_ACTIVE="0")
        try:
            noded.hear_line("READY=1")
            with socket.create_connection(listener.getsockname(), timeout=DEADLINE):
                noded.hear_message("heartbeat")
                noded.hear_message("heartbeat")
                listener.accept()[0].close()
            noded.order("activate")
            assert ask(listener.getsockname()[1], "/pid") == str(spare.pid)
            spare.terminate()
            assert spare.wait(DEADLINE) == 0
        finally:
            spare.kill()
            spare.communicate(timeout=DEADLINE)


def test_a_descriptor_that_is_no_listening_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket() as unbound:
        for more, words in (({}, "not a listening socket"), ({"LISTEN_FDS": "0"}, "LISTEN_FDS is not set")):
            program = handed(unbound, tmp_path, **more)
            _, said = program.communicate(timeout=DEADLINE)
            assert program.returncode == 1
            assert words in said
