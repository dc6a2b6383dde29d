"""Can a node's socket be reached by a path the node cannot turn elsewhere?"""

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.lab import Client, Lab, lab, until

NUMBERS = itertools.count(1)
LISTEN = (
    "import os,socket,time; s=socket.socket(socket.AF_UNIX); p=os.environ['PLACE']; s.bind(p); s.listen();"
    "time.sleep(1000)"
)


@pytest.fixture(scope="module")
def room() -> Iterator[Lab]:
    yield from lab(cgroups="none")


@pytest.fixture
def client(room: Lab) -> Iterator[Client]:
    made = room.client()
    yield made
    made.close()


def started(room: Lab, client: Client, script: str) -> tuple[str, Path]:
    name = f"listener.{next(NUMBERS)}"
    own = Path(room.settings["run"]) / name
    order = room.order(name, "/usr/bin/python3", "-c", script)
    client.do("start", **{**order, "env": {**order["env"], "PLACE": f"{own}/http.sock"}})
    return name, own


def end(client: Client, name: str) -> None:
    client.do("kill", instance=name)
    client.do("remove", instance=name)


def test_the_socket_gets_a_second_name_out_of_the_nodes_reach(room: Lab, client: Client) -> None:
    name, own = started(room, client, LISTEN)
    until(lambda: (own / "http.sock").exists(), "the node's socket")
    path = Path(client.do("publish", instance=name)["path"])
    assert path == own.parent / ".listen" / f"{name}.sock"
    assert path.stat().st_ino == (own / "http.sock").stat().st_ino
    assert path.parent.stat().st_uid == os.geteuid()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
    client.do("publish", instance=name)  # once more is fine
    end(client, name)
    assert not path.exists()


def test_a_socket_that_is_not_there_yet_is_not_found(room: Lab, client: Client) -> None:
    name, _ = started(room, client, "import time; time.sleep(1000)")
    kind, text = client.refused("publish", instance=name)
    assert (kind, text) == ("not_found", f"cannot publish {name}: http.sock is not there yet")
    end(client, name)


@pytest.mark.parametrize(
    "script",
    [
        "import os,time; os.symlink({target!r}, os.environ['PLACE']); time.sleep(1000)",
        "import os,time; open(os.environ['PLACE'],'w').close(); time.sleep(1000)",
        "import os,time; os.mkdir(os.environ['PLACE']); time.sleep(1000)",
    ],
    ids=["a link to the launcher", "a file", "a folder"],
)
def test_anything_else_in_its_place_is_refused(room: Lab, client: Client, script: str) -> None:
    name, own = started(room, client, script.format(target=str(room.settings["socket"])))
    until(lambda: os.path.lexists(own / "http.sock"), "what the node made")
    kind, text = client.refused("publish", instance=name)
    assert kind == "refused"
    assert str(own / "http.sock") in text
    assert not os.path.lexists(own.parent / ".listen" / f"{name}.sock")
    end(client, name)


def test_an_unknown_instance_is_not_found(client: Client) -> None:
    assert client.refused("publish", instance="nobody.1")[0] == "not_found"


def test_a_node_is_told_where_its_data_lies(room: Lab, client: Client) -> None:
    name = f"listener.{next(NUMBERS)}"
    order = room.order(
        name, "/bin/sh", "-c", "echo $NODED_DATA; echo mine > $NODED_DATA/x; sleep 1000", data=True
    )
    client.do("start", **order)
    folder = f"{room.settings['data']}/listener"
    until(lambda: room.output(name) == f"{folder}\n", "the folder's name in the log")
    until(lambda: Path(folder, "x").exists(), "what the node wrote")
    end(client, name)
