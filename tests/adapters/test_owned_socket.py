"""Does a path in a node's folder lead to the node's own socket or nowhere?"""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from noded.adapters.owned_socket import owned

UID = os.geteuid()


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    yield made
    shutil.rmtree(made)


def listening(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(path))
    return made


def test_it_leads_to_the_very_socket_however_long_its_path(folder: Path) -> None:
    deep = folder / ("x" * 120)
    deep.mkdir()
    with (
        closing(listening(folder / "s")) as heard,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as out,
    ):
        (folder / "s").rename(deep / "s")
        with owned(deep / "s", UID) as place:
            (deep / "s").unlink()
            (deep / "s").symlink_to("/dev/log")  # too late to lead us elsewhere
            out.sendto(b"hello", place)
        assert heard.recv(10) == b"hello"


def test_what_is_no_socket_of_this_user_is_refused(folder: Path) -> None:
    listening(folder / "s").close()
    (folder / "file").write_text("")
    (folder / "link").symlink_to(folder / "s")
    (folder / "folder").mkdir()
    for name, uid in (("s", UID + 1), ("file", UID), ("link", UID), ("folder", UID)):
        wrong = rf"{folder / name} is not a socket that uid {uid} made"
        with pytest.raises(PermissionError, match=wrong), owned(folder / name, uid):
            raise AssertionError("it was let through")


def test_what_is_not_there_is_told_as_that(folder: Path) -> None:
    with pytest.raises(FileNotFoundError), owned(folder / "none", UID):
        raise AssertionError("there is nothing")


def test_no_descriptor_is_left_behind(folder: Path) -> None:
    listening(folder / "s").close()
    before = len(os.listdir("/proc/self/fd"))
    for uid in (UID, UID + 1):
        try:
            with owned(folder / "s", uid):
                raise ValueError("an accident within")
        except (ValueError, PermissionError):
            pass
    assert len(os.listdir("/proc/self/fd")) == before
