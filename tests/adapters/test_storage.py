"""Is everything in the state folder opened, closed and cleared of what a crash left?"""

from dataclasses import replace
from pathlib import Path

from noded.adapters.storage import opened
from noded.config import Settings, folders
from nodespec.host import JournalPart, Paths
from tests.adapters.looped import looped


def settings(folder: Path) -> Settings:
    paths = Paths(state=str(folder / "state"), run=str(folder / "run"), logs=str(folder / "logs"))
    return replace(Settings(), paths=paths, journal=JournalPart(ballast=4096))


@looped
async def test_it_is_opened_again_as_it_was(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    (tmp_path / "state").mkdir()
    for revision in (1, 2):
        storage = await opened(chosen, folders(chosen))
        assert await storage.registry.put("nodes/web", b"{}") == revision
        assert list(storage.told("")) == []
        assert next(storage.told("no room")).startswith("disk full: no room")
        await storage.close()
    assert (tmp_path / "state/evidence").stat().st_mode & 0o777 == 0o700


@looped
async def test_what_a_crash_left_of_a_restore_goes(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    half = tmp_path / "state/restore-abc"
    half.mkdir(parents=True)
    (half / "backup").write_text("half")
    (tmp_path / "state/data").mkdir()
    storage = await opened(chosen, folders(chosen))
    await storage.close()
    assert not half.exists()
    assert (tmp_path / "state/data").is_dir()
