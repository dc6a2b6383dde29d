"""Can nobody but a node speak where noded listens to it?"""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.launcher.lab import NOBODY, PYTHON, Client, Lab, is_root, lab, needs_root

NODED = 64101
FOREIGN = 12345
NUMBERS = itertools.count(1)
SAY = (
    "import os,socket,sys; s=socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
    "try: s.sendto(b'x', os.environ['NOTIFY_SOCKET'])\n"
    "except OSError as error: print(error.strerror, end='')\n"
)


@pytest.fixture(scope="module")
def room() -> Iterator[Lab]:
    """Its orders come from noded's user, whose sockets are the only ones it gives away."""
    yield from lab(cgroups="none", **({"peers": [NODED]} if is_root else {}))


@pytest.fixture
def client(room: Lab) -> Iterator[Client]:
    made = room.client()
    yield made
    made.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def bound(path: Path, uid: int = NODED) -> socket.socket:
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.settimeout(10)
    os.fchmod(heard.fileno(), 0o600)
    heard.bind(str(path))
    if is_root:
        os.chown(path, uid, uid)
    return heard


def say(path: Path, uid: int) -> str:
    """Why that user cannot, "" when it can."""
    command = [PYTHON, "-c", SAY]
    done = subprocess.run(
        command,
        env={"NOTIFY_SOCKET": str(path)},
        capture_output=True,
        text=True,
        check=True,
        user=uid,
        group=uid,
        extra_groups=[],
    )
    return done.stdout


@needs_root
def test_a_socket_given_at_the_start_is_its_nodes_before_it_begins(
    room: Lab, client: Client, folder: Path
) -> None:
    path = folder / "n.sock"
    name = f"speaker.{next(NUMBERS)}"
    order = room.order(name, PYTHON, "-c", SAY, notify=str(path))
    order["env"]["NOTIFY_SOCKET"] = str(path)
    with closing(bound(path)) as heard:
        told = client.do("start", **order)
        assert told["entrusted"] is True
        assert heard.recv(10) == b"x"
        found = path.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (told["uid"], NODED, 0o600)
        assert say(path, FOREIGN) == "Permission denied"
    client.exited(name)
    client.do("remove", instance=name)


@needs_root
def test_a_socket_bound_anew_is_given_to_a_running_instance(room: Lab, client: Client, folder: Path) -> None:
    name = f"speaker.{next(NUMBERS)}"
    uid = client.do("start", **room.order(name, "sleep", "1000"))["uid"]
    path = folder / "n.sock"
    with closing(bound(path)) as heard:
        assert say(path, uid) == "Permission denied"
        for _ in range(2):
            assert client.do("entrust", instance=name, path=str(path)) == {"entrusted": True}
            assert (say(path, uid), heard.recv(10)) == ("", b"x")
        assert say(path, FOREIGN) == "Permission denied"
    client.do("kill", instance=name)
    kind, text = client.refused("entrust", instance=name, path=str(path))
    assert (kind, "is not running" in text) == ("conflict", True)
    client.do("remove", instance=name)
    assert client.refused("entrust", instance=name, path=str(path))[0] == "not_found"


def test_nothing_else_is_given_away(room: Lab, client: Client, folder: Path) -> None:
    name = f"speaker.{next(NUMBERS)}"
    client.do("start", **room.order(name, "sleep", "1000"))
    for other in (folder / "file", folder / "link", folder / "roots", folder / "somebodys"):
        if other.name == "file":
            other.write_text("")
            if is_root:
                os.chown(other, NODED, NODED)
        elif other.name == "link":
            bound(folder / "real").close()
            other.symlink_to("real")
        elif is_root:
            bound(other, 0 if other.name == "roots" else NOBODY).close()
        else:
            continue
        before = other.lstat()
        kind, text = client.refused("entrust", instance=name, path=str(other))
        assert (kind, str(other) in text) == ("refused", True), text
        assert other.lstat().st_uid == before.st_uid
        order = room.order(f"speaker.{next(NUMBERS)}", "true", notify=str(other))
        assert client.refused("start", **order)[0] == "refused"
        assert client.refused("status", instance=order["instance"])[0] == "not_found"
    assert client.refused("entrust", instance=name, path=str(folder / "none"))[0] == "not_found"
    client.do("kill", instance=name)
    client.do("remove", instance=name)


@pytest.mark.parametrize("path", ["", "n.sock", "/tmp/../n.sock", 7, None, "/n\0"])
def test_paths_that_are_none(room: Lab, client: Client, path: object) -> None:
    kind, text = client.refused("entrust", instance="speaker.1", path=path)
    assert (kind, "path: " in text) == ("refused", True)
    if path != "":
        kind, text = client.refused("start", **room.order("speaker.1", "true", notify=path))
        assert (kind, "notify: " in text) == ("refused", True)


def test_a_launcher_without_rights_says_so(folder: Path) -> None:
    """Its nodes are its own user's: what belongs to that user is theirs already."""
    for found in lab(cgroups="none", uid=NOBODY, peers=[0, NODED]) if is_root else lab(cgroups="none"):
        client, path = found.client(), folder / "n.sock"
        client.do("start", **found.order("speaker.1", "sleep", "1000"))
        uid = NOBODY if is_root else os.geteuid()
        bound(path, uid).close()
        assert client.do("entrust", instance="speaker.1", path=str(path)) == {"entrusted": True}
        if is_root:
            os.chown(path, NODED, NODED)
            assert client.do("entrust", instance="speaker.1", path=str(path)) == {"entrusted": False}
            assert path.stat().st_uid == NODED
