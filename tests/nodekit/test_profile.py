"""Does a profile name the line that grows, and nothing of nodekit's own?"""

import json
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodekit.profile import LONGEST, Profile, function_at

SOURCE = textwrap.dedent(
    """\
    import json
    kept = []

    def outer(count):
        def leak(number):
            kept.append("x" * 1000 + str(number))

        for number in range(count):
            leak(number)

    def through_library(count):
        for number in range(count):
            kept.append(
                json.dumps({"n": number, "text": "y" * 500}, indent=1)
            )

    class Shop:
        def keep(self, count):
            self.kept = [object() for _ in range(count)]
    """
)


@pytest.fixture(autouse=True)
def untraced() -> Iterator[None]:
    yield
    tracemalloc.stop()


def load(folder: Path) -> dict[str, Any]:
    file = folder / "shop" / "leaky.py"
    file.parent.mkdir()
    file.write_text(SOURCE)
    names: dict[str, Any] = {}
    exec(compile(SOURCE, str(file), "exec"), names)
    return names


def profiled(folder: Path, call: Callable[[], object], frames: int = 1, top: int = 15) -> dict[str, Any]:
    profile = Profile(str(folder))
    profile.start(frames)
    call()
    return profile.stop(top)


def test_the_line_that_grows_comes_first_with_its_function(tmp_path: Path) -> None:
    names = load(tmp_path)
    found = profiled(tmp_path, lambda: names["outer"](500))
    site = found["sites"][0]
    assert (site["file"], site["line"], site["function"]) == ("shop/leaky.py", 6, "leak")
    assert 500_000 < site["bytes"] < 700_000
    assert 500 <= site["count"] <= 520
    assert found["seconds"] >= 0
    json.dumps(found)


def test_with_frames_a_library_line_counts_for_the_release_line_that_called_it(tmp_path: Path) -> None:
    names = load(tmp_path)
    site = profiled(tmp_path, lambda: names["through_library"](500), frames=25)["sites"][0]
    assert (site["file"], site["function"]) == ("shop/leaky.py", "through_library")
    assert site["line"] in (13, 14)


def test_memory_held_before_is_not_growth(tmp_path: Path) -> None:
    names = load(tmp_path)
    tracemalloc.start()
    names["outer"](500)
    found = profiled(tmp_path, lambda: names["outer"](100))
    assert 90 <= found["sites"][0]["count"] <= 120
    assert tracemalloc.is_tracing(), "a trace somebody else began goes on"


def test_nodekit_and_tracemalloc_are_left_out(tmp_path: Path) -> None:
    def work() -> None:
        tracemalloc.take_snapshot()
        load_again.append(function_at(str(tmp_path / "shop" / "leaky.py"), 1))

    load_again: list[str] = []
    load(tmp_path)
    files = {site["file"] for site in profiled(tmp_path, work, top=100)["sites"]}
    assert not [file for file in files if "nodekit/profile.py" in file or file == tracemalloc.__file__]


def test_only_so_many_sites_are_told(tmp_path: Path) -> None:
    names = load(tmp_path)
    found = profiled(tmp_path, lambda: (names["outer"](50), names["Shop"]().keep(50)), top=1)
    assert len(found["sites"]) == 1


def test_one_profile_at_a_time(tmp_path: Path) -> None:
    profile = Profile(str(tmp_path))
    profile.start(1)
    with pytest.raises(ValueError, match="already running"):
        profile.start(1)
    profile.stop(1)
    with pytest.raises(ValueError, match="no profile is running"):
        profile.stop(1)
    assert not tracemalloc.is_tracing()


def test_a_forgotten_profile_is_overdue(tmp_path: Path) -> None:
    profile = Profile(str(tmp_path))
    profile.start(1)
    fresh = profile.overdue
    assert not fresh
    profile.started -= LONGEST + 1
    assert profile.overdue
    profile.abandon()
    assert not profile.running


@pytest.mark.parametrize(
    ("line", "name"), [(1, ""), (4, "outer"), (6, "leak"), (8, "outer"), (19, "keep"), (99, "")]
)
def test_function_at(tmp_path: Path, line: int, name: str) -> None:
    load(tmp_path)
    assert function_at(str(tmp_path / "shop" / "leaky.py"), line) == name


@pytest.mark.parametrize("content", [b"def broken(:\n", b"\x00", b"\xff\xfe", b"(" * 5000])
def test_a_source_that_cannot_be_read_has_no_function(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.py").write_bytes(content)
    assert function_at(str(tmp_path / "odd.py"), 1) == ""
    assert function_at(str(tmp_path / "missing.py"), 1) == ""
