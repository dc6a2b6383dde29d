"""Does what belongs to nothing go, and nothing else?"""

import os
from pathlib import Path

import pytest

from noded.adapters.leftovers import INCIDENTS, Leftovers
from noded.adapters.releases import FolderReleases
from noded.ports import PortError
from nodespec.release import pack
from tests.adapters.looped import looped

NOBODYS: frozenset[str] = frozenset()


class Aged(Leftovers):
    """As if everything had lain there for hours: the change time of a file cannot be set."""

    def _age(self, path: Path) -> float:
        return 10_000.0


def release(tmp_path: Path, version: str) -> bytes:
    folder = tmp_path / f"source-{version}"
    folder.mkdir()
    (folder / "node.toml").write_text(f'[node]\nname = "shop"\nversion = "{version}"\nrun = ["true"]\n')
    return pack(folder).blob


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "releases").mkdir()
    (tmp_path / "evidence").mkdir()
    return tmp_path / "releases", tmp_path / "evidence"


@looped
async def test_unknown_releases_go_when_they_are_old(tmp_path: Path, places: tuple[Path, Path]) -> None:
    releases = FolderReleases(places[0])
    known, _ = await releases.add(release(tmp_path, "1"))
    await releases.add(release(tmp_path, "2"))
    await Leftovers(releases, places[1]).sweep(frozenset({known}), NOBODYS)
    assert len(os.listdir(places[0])) == 2, "it may be decided about at this moment"
    await Aged(releases, places[1]).sweep(frozenset({known}), NOBODYS)
    assert os.listdir(places[0]) == [known.removeprefix("sha256:")]


@looped
async def test_the_newest_evidence_of_each_node_stays(tmp_path: Path, places: tuple[Path, Path]) -> None:
    for number in range(1, INCIDENTS + 4):
        for name in (f"shop-{number}", f"till-2-{number}"):
            (places[1] / name / "attempt-1").mkdir(parents=True)
            (places[1] / name / "attempt-1/report.json").write_text("{}")
    (places[1] / "other").mkdir()
    (places[1] / "shop-99").write_text("a file")
    (places[1] / "shop-0").symlink_to(tmp_path)
    leftovers = Leftovers(FolderReleases(places[0]), places[1])
    await leftovers.sweep(NOBODYS, frozenset({"shop-2"}))
    left = set(os.listdir(places[1]))
    assert {"shop-1", "shop-3", "till-2-1", "till-2-2", "till-2-3"}.isdisjoint(left)
    assert {"shop-2", "shop-4", "till-2-4", "other", "shop-99", "shop-0"} <= left
    assert len(left) == 2 * INCIDENTS + 4


@looped
async def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, places: tuple[Path, Path]) -> None:
    with pytest.raises(PortError, match="cannot look at"):
        await Leftovers(FolderReleases(places[0]), tmp_path / "gone").sweep(NOBODYS, NOBODYS)
