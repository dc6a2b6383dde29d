"""Does each static gate refuse what it is there for, and let the harmless pass?"""

from dataclasses import replace

import pytest

from regenerator.gates import diff_size, parse, paths, policy, public_names
from regenerator.incident import Site
from regenerator.proposal import Proposal
from regenerator.report import Gate
from tests.regenerator.bench import sources

BEFORE = """
import os

LIMIT: int = 3
_hidden = 4


def look(name: str, deep: bool = False) -> str:
    return os.environ.get(name, "")


class Shelf:
    def get(self, name: str) -> str:
        return look(name)
"""
PARENT = sources(case=BEFORE, test_case="def test_it(): pass\n")


def change(old: str, new: str, path: str = "shop/case.py") -> Proposal:
    text = PARENT.texts[path]
    assert old in text
    return Proposal("codemod:x/1", Site(path, 1), "x", {path: text.replace(old, new)}, "because")


def added(text: str) -> Proposal:
    return change("_hidden = 4\n", f"_hidden = 4\n{text}\n")


def refused(gate: Gate) -> str:
    assert not gate.passed
    return gate.detail


def test_a_harmless_change_passes_all() -> None:
    proposal = change("_hidden = 4", "_hidden = 5")
    for gate in (parse, paths, diff_size, public_names, policy):
        result = gate(PARENT, proposal)
        assert result.passed, result
        assert any(letter.isdigit() for letter in result.detail)


def test_parse() -> None:
    assert "invalid syntax" in refused(parse(PARENT, change("_hidden = 4", "_hidden = = 4")))
    assert "null bytes" in refused(parse(PARENT, change("_hidden = 4", "_hidden = '\x00'")))
    assert "1 MiB" in refused(parse(PARENT, change("_hidden = 4", "_hidden = '" + "x" * (1 << 20) + "'")))


@pytest.mark.parametrize(
    "path",
    ["shop/new.py", "../shop/case.py", "/etc/passwd", "node.toml", "tests/test_shop.py", "soak.py"],
)
def test_paths_outside_the_sources(path: str) -> None:
    proposal = replace(change("_hidden = 4", "_hidden = 5"), files={path: "x = 1\n"})
    assert path in refused(paths(PARENT, proposal))


@pytest.mark.parametrize(
    "path", ["shop/test_case.py", "conftest.py", "soak.py", "load/soak.py", "tests/deep/x.py"]
)
def test_paths_of_tests_and_of_the_load_are_never_written_whatever_the_globs(path: str) -> None:
    spec = replace(
        PARENT.spec,
        regeneration=replace(PARENT.spec.regeneration, write=("**", "**/*.py")),
        tests=replace(PARENT.spec.tests, soak=("python3", "soak.py", "./load/soak.py")),
    )
    parent = replace(PARENT, spec=spec, files=PARENT.files | {path})
    proposal = replace(change("_hidden = 4", "_hidden = 5"), files={path: "x = 1\n"})
    assert path in refused(paths(parent, proposal))


def test_paths_follow_the_globs() -> None:
    proposal = change("_hidden = 4", "_hidden = 5")
    for pattern, passes in {
        "shop/*.py": True,
        "shop/**": True,
        "**/case.py": True,
        "*.py": False,
        "shop": False,
        "other/*.py": False,
    }.items():
        parent = sources(write=(pattern,), case=BEFORE)
        assert paths(parent, proposal).passed is passes, pattern


def test_nothing_proposed_is_refused() -> None:
    nothing = replace(change("_hidden = 4", "_hidden = 5"), files={})
    assert refused(diff_size(PARENT, nothing)).startswith("0 ")
    assert not paths(PARENT, nothing).passed


def test_diff_size() -> None:
    assert diff_size(PARENT, added("_x = 1\n" * 118)).passed
    assert refused(diff_size(PARENT, added("_x = 1\n" * 121))).startswith("122 ")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("LIMIT: int = 3\n", "", "LIMIT: is gone"),
        ("LIMIT: int", "LIMIT: str", "LIMIT: was"),
        ("_hidden = 4", "_hidden = 4\nSHOWN = 5", "SHOWN: is new"),
        ("deep: bool = False", "deep: bool = True", "look: was"),
        ("deep: bool = False", "*, deep: bool = False", "look: was"),
        ("-> str:\n    return os", "-> object:\n    return os", "look: was"),
        ("def look(name", "async def look(name", "look: was"),
        ("def get(self", "def fetch(self", "Shelf.fetch: is new"),
        ("class Shelf:", "class Shelf(dict):", "Shelf: was"),
    ],
)
def test_public_names(old: str, new: str, told: str) -> None:
    assert told in refused(public_names(PARENT, change(old, new)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("_x = eval('1')", "calls eval"),
        ("exec('1')", "calls exec"),
        ("_x = __import__('subprocess')", "calls __import__"),
        ("import subprocess", "imports subprocess"),
        ("import subprocess as _s", "imports subprocess"),
        ("from subprocess import run as _r", "imports from subprocess"),
        ("from os import path as _p", "imports from os"),
        ("import ctypes", "imports ctypes"),
        ("import pickle", "imports pickle"),
        ("os.system('true')", "calls system"),
        ("os._exit(0)", "calls _exit"),
        ("_x = os.environ['HOME']", "uses environ"),
        ("_x = os.getenv('HOME')", "calls getenv"),
        ("_x = open('/tmp/x', 'w')", "opens a file"),
        ("import gc\ngc.disable()", "calls gc.disable"),
        ("import atexit", "imports atexit"),
        ("import signal", "imports signal"),
        ("import sys", "imports sys"),
        ("_x = 'PYTEST_CURRENT_TEST'", "looks for the tests"),
        ("try:\n    _x = 1\nexcept Exception:\n    pass", "swallows"),
        ("try:\n    _x = 1\nexcept:\n    pass", "swallows"),
        ("_x = 1  # noqa", "adds 'noqa'"),
        ("_x = 1  # type: ignore", "adds 'type: ignore'"),
        ("_x = ().__class__.__subclasses__()", "uses __subclasses__"),
        ("setattr(os, 'name', 1)", "calls setattr"),
    ],
)
def test_policy_refuses_what_is_added(text: str, told: str) -> None:
    assert told in refused(policy(PARENT, added(text)))


def test_policy_leaves_old_sins_alone_but_counts_them() -> None:
    parent = sources(case="_x = eval('1')  # noqa\n\n\ndef f():\n    return 1\n")
    moved = "_y = 2\n_x = eval('1')  # noqa\n\n\ndef f():\n    return 1\n"
    site = Site("shop/case.py", 1)
    assert policy(parent, Proposal("g", site, "x", {"shop/case.py": moved}, "")).passed
    twice = moved + "_z = eval('1')\n"
    assert not policy(parent, Proposal("g", site, "x", {"shop/case.py": twice}, "")).passed
