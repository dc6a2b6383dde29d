"""Do nodes get the folders they write to, and never somebody else's?"""

import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.lab import NOBODY, Client, Lab, needs_root

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def room() -> Iterator[Lab]:
    made = Lab(cgroups="none")
    (made.home / "srv").mkdir()
    made.settings["write"] = [str(made.home / "srv"), str(made.home / "missing")]
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def client(room: Lab) -> Iterator[Client]:
    made = room.client()
    yield made
    made.close()


def order(room: Lab, *paths: Path | str) -> dict[str, Any]:
    return room.order(f"writer.{next(NUMBERS)}", "sleep", "100", write=[str(path) for path in paths])


def test_folders_are_made_for_the_nodes_user_alone(room: Lab, client: Client) -> None:
    deep, flat = room.home / "srv/one/two", room.home / "srv/flat"
    uid = client.do("start", **order(room, deep, flat))["uid"]
    for path in (deep, flat):
        assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (uid, 0o700)
    assert deep.parent.stat().st_uid == os.geteuid()


def test_a_folder_that_is_there_keeps_its_mode_and_its_content(room: Lab, client: Client) -> None:
    place = room.home / "srv/kept"
    uid = client.do("start", **order(room, place))["uid"]
    place.chmod(0o2755)
    (place / "file").touch()
    assert client.do("start", **order(room, place))["uid"] == uid
    assert stat.S_IMODE(place.stat().st_mode) == 0o2755
    assert (place / "file").stat().st_uid == os.geteuid()


@needs_root
def test_somebody_elses_folder_stays_theirs(room: Lab, client: Client) -> None:
    for name, owner in (("theirs", NOBODY), ("roots", 0)):
        place = room.home / "srv" / name
        place.mkdir()
        (place / "file").touch()
        os.chown(place, owner, owner)
        kind, text = client.refused("start", **order(room, place))
        assert (kind, f"write {place}: it belongs to uid {owner}, not to" in text) == ("refused", True), text
        assert place.stat().st_uid == owner
    empty = room.home / "srv/empty"
    empty.mkdir()
    uid = client.do("start", **order(room, empty))["uid"]
    assert empty.stat().st_uid == uid


def test_links_on_the_way_are_not_followed(room: Lab, client: Client) -> None:
    victim = room.home / "victim"
    victim.mkdir(exist_ok=True)
    (room.home / "srv/link").symlink_to(victim)
    for path in (room.home / "srv/link", room.home / "srv/link/inner"):
        kind, text = client.refused("start", **order(room, path))
        assert kind == "refused"
        assert "Not a directory" in text or "symbolic links" in text
    assert list(victim.iterdir()) == []


def test_a_file_in_its_place(room: Lab, client: Client) -> None:
    (room.home / "srv/file").touch()
    kind, text = client.refused("start", **order(room, room.home / "srv/file/inner"))
    assert (kind, "Not a directory" in text) == ("refused", True)


@pytest.mark.parametrize("name", ["outside", "srv", "srvx/a", "data/other"])
def test_only_below_the_roots(room: Lab, client: Client, name: str) -> None:
    kind, text = client.refused("start", **order(room, room.home / name))
    assert (kind, "not below one of `write` of the launcher's settings" in text) == ("refused", True), text
    assert name == "srv" or not (room.home / name).exists()


def test_a_root_that_is_not_there(room: Lab, client: Client) -> None:
    kind, text = client.refused("start", **order(room, room.home / "missing/a"))
    assert (kind, "No such file or directory" in text) == ("not_found", True)


@pytest.mark.parametrize(
    "write",
    ["/srv/a", ["srv"], ["/srv/../etc"], ["/srv/"], ["//srv/a"], ["/"], [1], ["/srv/a\0"], ["/a"] * 65],
)
def test_orders_with_mistakes(room: Lab, client: Client, write: Any) -> None:
    kind, text = client.refused("start", **order(room) | {"write": write})
    assert (kind, "write: " in text) == ("refused", True)
