"""Does the terminal print what the documents show?"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.session import Command, commands, pattern, run
from tests.e2e import host as hosts
from tests.e2e.ground import ROOT, readable
from tests.e2e.host import Host

SESSIONS = sorted((ROOT / "docs/sessions").glob("*.md"))


@pytest.fixture
def host() -> Iterator[Host]:
    made = hosts.make("nds")
    try:
        made.start(mesh=True)
        yield made
    finally:
        made.close()


@pytest.fixture
def folder(host: Host) -> Path:
    """Where the sessions are typed: copies of two example nodes, and an empty folder."""
    place = host.folder / "home"
    for name in ("catalog", "trends"):
        shutil.copytree(ROOT / "nodes" / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "empty").mkdir()
    manifest = place / "catalog/node.toml"
    manifest.write_text(re.sub(r"(?m)^port = .*$", f"port = {host.first_port}", manifest.read_text()))
    readable(place)
    return place


@pytest.mark.e2e
@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.stem)
def test_a_session_prints_what_it_shows(host: Host, folder: Path, path: Path) -> None:
    environment = {**host.env(), "NODED_SOCKET_PATH": str(host.control)}
    learned: dict[str, str] = {}
    for command in commands(path.read_text()):
        run(command, folder, environment, (host.python, "-m", "nodectl"), learned)


def test_there_are_sessions() -> None:
    assert SESSIONS
    for path in SESSIONS:
        assert any(command.words[0] == "nodectl" for command in commands(path.read_text())), path


def test_commands_and_what_they_print_are_told_apart() -> None:
    text = (
        "words\n```console\n$ nodectl status\none\n…\n$ sed -i 's/a b/c/' x\n```\n```toml\n$ not = 1\n```\n"
    )
    first, second = commands(text)
    assert first == Command(3, ("nodectl", "status"), ("one", "…"))
    assert second == Command(6, ("sed", "-i", "s/a b/c/", "x"), ())
    assert (first.looks, second.looks) == (True, False)


def test_no_session_starts_another_program() -> None:
    with pytest.raises(ValueError, match="line 2: expected one of nodectl, sed, got rm"):
        list(commands("```console\n$ rm -rf /\n```\n"))


@pytest.mark.parametrize(
    ("printed", "text", "fits"),
    [
        (("a  …  b",), "a  anything  b\n", True),
        (("a  …  b",), "a    b\n", True),
        (("a  b",), "a b\n", False),
        (("a", "…", "b"), "a\n1\n2\nb\n", True),
        (("a", "…", "b"), "a\nb\n", True),
        (("a", "…", "b"), "a\n1\n", False),
        (("a.b",), "axb\n", False),
        ((), "", True),
        ((), "more\n", False),
    ],
)
def test_what_varies(printed: tuple[str, ...], text: str, fits: bool) -> None:
    assert bool(pattern(printed).fullmatch(text)) is fits


@pytest.mark.parametrize(
    ("words", "looks"),
    [
        ("map", True),
        ("trace x.1", True),
        ("events show x.1", True),
        ("events dead list", True),
        ("events dead drop a --all", False),
        ("events publish x 1", False),
        ("rollout status a", True),
        ("rollout promote a", False),
    ],
)
def test_only_what_looks_is_repeated(words: str, looks: bool) -> None:
    assert Command(1, ("nodectl", *words.split()), ()).looks is looks


def test_the_ids_of_a_persons_events_are_learned(tmp_path: Path) -> None:
    learned: dict[str, str] = {}
    says = ("python3", "-c", "import sys; print(*sys.argv[1:])")
    first = Command(1, ("nodectl", "published", "nodectl-77.1"), ("published nodectl-5.1",))
    run(first, tmp_path, {}, says, learned)
    assert learned == {"nodectl-5": "nodectl-77"}
    second = Command(2, ("nodectl", "status", "nodectl-5.1"), ("status nodectl-5.1",))
    assert run(second, tmp_path, {}, says, learned) == "status nodectl-77.1\n"
