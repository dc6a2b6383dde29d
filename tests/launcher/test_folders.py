"""Are folders made, handed over and removed without ever touching what is somebody else's?"""

import os
from pathlib import Path

import pytest

from launcher import folders
from tests.launcher.lab import needs_root


def test_run_folder_is_made_and_taken_over(tmp_path: Path) -> None:
    for _ in range(2):
        folders.make_run(str(tmp_path), "a.1", os.geteuid(), os.getegid())
    assert (tmp_path / "a.1").stat().st_mode & 0o7777 == 0o2770


@pytest.mark.parametrize("make", [folders.make_run, folders.make_data])
def test_file_or_link_in_the_way_is_refused(tmp_path: Path, make: object) -> None:
    assert callable(make)
    (tmp_path / "target").mkdir()
    (tmp_path / "a.1").symlink_to("target")
    (tmp_path / "a.2").touch()
    for name in ("a.1", "a.2"):
        with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
            make(str(tmp_path), name, os.geteuid(), os.getegid())


def test_place_of_the_folders_may_not_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        folders.make_run(str(tmp_path / "link"), "a.1", os.geteuid(), os.getegid())


def test_log_is_opened_for_appending(tmp_path: Path) -> None:
    for word in (b"one ", b"two"):
        fd = folders.open_log(str(tmp_path), "a", "a.1", os.getegid())
        os.write(fd, word)
        os.close(fd)
    assert (tmp_path / "a/a.1.log").read_text() == "one two"


@needs_root
def test_interrupted_hand_over_is_done_again(tmp_path: Path) -> None:
    folders.make_data(str(tmp_path), "a", 64301, 64301)
    for name in ("done", "open"):
        (tmp_path / "a" / name).touch()
    os.chown(tmp_path / "a/done", 64302, 64302)
    os.chown(tmp_path / "a/open", 64301, 64301)
    folders.make_data(str(tmp_path), "a", 64302, 64302)
    assert {path.stat().st_uid for path in (tmp_path / "a").iterdir()} == {64302}
    assert (tmp_path / "a").stat().st_uid == 64302


@needs_root
def test_hard_link_to_the_file_of_another_is_not_given_away(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    folders.make_data(str(tmp_path), "a", 64301, 64301)
    os.link(other, tmp_path / "a/mine")
    folders.make_data(str(tmp_path), "a", 64302, 64302)
    assert other.stat().st_uid == 0


def test_removal_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    run = tmp_path / "run"
    (run / "a.1/inner").mkdir(parents=True)
    (run / "a.1/inner/link").symlink_to(tmp_path / "kept")
    (run / "a.2").symlink_to(tmp_path / "kept")
    assert folders.remove_run(str(run), "a.1") is None
    assert not (run / "a.1").exists()
    assert folders.remove_run(str(run), "a.1") is None
    assert "a.2: Not a directory" in str(folders.remove_run(str(run), "a.2"))
    assert (tmp_path / "kept/file").exists()


def test_removal_is_bounded_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a.1/deep").mkdir(parents=True)
    for number in range(10_050):
        (tmp_path / "a.1/deep" / str(number)).touch()
    assert "ask again" in str(folders.remove_run(str(tmp_path), "a.1"))
    assert folders.remove_run(str(tmp_path), "a.1") is None
    assert not (tmp_path / "a.1").exists()


def nest(top: Path, depth: int) -> None:
    """Deeper than a path can say."""
    here = os.open(top, os.O_RDONLY)
    for level in range(depth):
        for name in ("deep", f"beside{level}"):
            os.mkdir(name, dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.symlink("/etc/passwd", "link", dir_fd=here)
        inner = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def test_folders_however_deep_are_removed(tmp_path: Path) -> None:
    (tmp_path / "a.1").mkdir()
    nest(tmp_path / "a.1", 1500)
    assert folders.remove_run(str(tmp_path), "a.1") is None
    assert list(tmp_path.iterdir()) == []


def test_folders_deep_and_many_take_several_calls(tmp_path: Path) -> None:
    (tmp_path / "a.1").mkdir()
    nest(tmp_path / "a.1", 4000)
    assert "ask again" in str(folders.remove_run(str(tmp_path), "a.1"))
    for _ in range(3):
        if folders.remove_run(str(tmp_path), "a.1") is None:
            break
    assert list(tmp_path.iterdir()) == []
