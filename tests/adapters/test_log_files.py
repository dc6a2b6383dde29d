"""Are the outputs of instances seen as they lie on disk, and trimmed by the launcher they belong to?"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from noded.adapters.log_files import LogFiles
from noded.ports import Conflict, Unavailable
from tests.adapters.looped import looped


class Launcher:
    def __init__(self, answer: Mapping[str, object] | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def ask(self, op: str, **fields: Any) -> Mapping[str, object]:
        self.asked.append((op, fields))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def put(folder: Path, name: str, text: bytes = b"line\n", hole: int = 0) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.seek(hole)
        file.write(text)
    return path


def test_only_outputs_count_and_holes_do_not(tmp_path: Path) -> None:
    put(tmp_path, "catalog/catalog.1.log", b"x" * 10_000, hole=2**20)
    put(tmp_path, "catalog/catalog.1.log.1")
    put(tmp_path, "catalog/other.1.log")
    put(tmp_path, "Bad/Bad.1.log")
    (tmp_path / "catalog/catalog.2.log").symlink_to(tmp_path / "catalog/catalog.1.log")
    os.mkfifo(tmp_path / "catalog/catalog.3.log")
    (tmp_path / "file").touch()
    os.utime(tmp_path / "catalog/catalog.1.log", (0, 1))
    (found,) = LogFiles(tmp_path, Launcher({})).look()
    assert (found.node, found.instance) == ("catalog", "catalog.1")
    assert 8192 <= found.held < 2**17 and found.age > 10**9
    names = ("catalog.1", "catalog.2", "catalog.3", "catalog.4", "gone.1")
    (again,) = LogFiles(tmp_path, Launcher({})).look_at(names)
    assert (again.node, again.instance, again.held) == (found.node, found.instance, found.held)


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path / "gone", Launcher({}))
    for look in (logs.look, logs.room):
        with pytest.raises(Unavailable, match=f"{tmp_path}/gone: No such file"):
            look()


@looped
async def test_the_launcher_trims_and_says_how(tmp_path: Path) -> None:
    launcher = Launcher({"how": "punched", "held": 4096})
    logs = LogFiles(tmp_path, launcher)
    assert await logs.trim("catalog.1", 4096)
    launcher.answer = {"how": "cut"}
    assert not await logs.trim("catalog.1", 4096)
    await logs.discard("catalog.1")
    assert launcher.asked[0] == ("trim", {"instance": "catalog.1", "keep": 4096})
    assert launcher.asked[2] == ("discard", {"instance": "catalog.1"})
    launcher.answer = Conflict("cannot discard catalog.1: it still runs")
    with pytest.raises(Conflict):
        await logs.discard("catalog.1")


def test_the_room_of_the_disk(tmp_path: Path) -> None:
    free, total = LogFiles(tmp_path, Launcher({})).room()
    assert 0 < free < total
