"""Is NODED_LISTEN read strictly, and does the socket get the right mode?"""

import os
import socket
import stat

import pytest

from nodekit import Listen
from nodekit.listen import unlink_socket
from tests.nodekit.noded_side import NodedSide


@pytest.mark.parametrize("text", ["unix:/run/i/a.1/http.sock", "127.0.0.1:8080", "[::1]:80", "localhost:0"])
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
    ],
)
def test_anything_else_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match='NODED_LISTEN: expected "unix:/path" or "host:port"'):
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
