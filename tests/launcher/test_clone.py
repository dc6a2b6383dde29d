"""Is a child that is born in a group one like any other, and does it come to life where that cannot be?"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from launcher import clone


@pytest.fixture
def group() -> Iterator[Path]:
    for root in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        folder = root / f"noded-t-clone-{os.getpid()}"
        if not (root / "cgroup.procs").exists():
            continue
        with suppress(OSError):
            folder.mkdir()
            yield folder
            folder.rmdir()
            return
    pytest.skip("no cgroup v2 that may be changed here")


def told(folder: str, argv: list[str]) -> tuple[bool, str, int]:
    """Whether it was born there, what it printed, its wait status."""
    inner, outer = os.pipe()
    pid, inside = clone.fork(folder)
    if pid == 0:
        try:
            os.dup2(outer, 1)
            os.execv(argv[0], argv)
        finally:
            os._exit(99)
    os.close(outer)
    with os.fdopen(inner) as stream:
        text = stream.read()
    return inside, text, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


LOOKS = [sys.executable, "-c", "print(open('/proc/self/cgroup').read())"]


def test_the_child_is_in_its_group_from_the_beginning(group: Path) -> None:
    inside, text, code = told(str(group), LOOKS)
    assert (inside, code) == (True, 0)
    assert f"0::/{group.name}\n" in text


def test_the_child_is_a_whole_python(group: Path) -> None:
    """Its threads, locks and pids are its own, as after os.fork()."""
    inner, outer = os.pipe()
    parent = os.getpid()
    pid, _ = clone.fork(str(group))
    if pid == 0:
        try:
            import threading

            heard: list[int] = []
            thread = threading.Thread(target=lambda: heard.append(os.getpid()))
            thread.start()
            thread.join(5)
            own = heard == [os.getpid()] and os.getppid() == parent
            os.write(outer, b"well" if own and threading.active_count() == 1 else b"ill")
        finally:
            os._exit(7)
    assert os.read(inner, 10) == b"well"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    os.close(inner)
    os.close(outer)


@pytest.mark.parametrize("kind", ["none", "plain", "gone", "file"])
def test_where_it_cannot_be_it_is_forked_as_usual(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    places = {"none": "", "plain": tmp_path, "gone": tmp_path / "gone", "file": tmp_path / "file"}
    open_before = len(os.listdir("/proc/self/fd"))
    inside, text, code = told(str(places[kind]), LOOKS)
    assert (inside, code) == (False, 0)
    assert text
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_it_is_tried_before_it_is_relied_upon(group: Path, tmp_path: Path) -> None:
    inner = group / "birth"
    assert clone.works(str(inner))
    assert not inner.exists()
    for place in ("", str(tmp_path / "birth"), str(tmp_path / "gone/birth")):
        assert not clone.works(place)
    assert list(tmp_path.iterdir()) == []


def test_a_group_that_was_killed_is_no_birthplace_or_one_like_any_other(group: Path) -> None:
    """Whatever this kernel does with it, what `works` says is what happens then."""
    inner = group / "birth"
    inner.mkdir()
    if not (inner / "cgroup.kill").exists():
        inner.rmdir()
        pytest.skip("this kernel kills no group as a whole")
    (inner / "cgroup.kill").write_text("1")
    _, text, code = told(str(inner), LOOKS)
    assert clone.works(str(inner)) is (code == 0 and bool(text))
