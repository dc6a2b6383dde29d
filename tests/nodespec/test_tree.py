"""Which paths and links may a release have, and does its digest see every difference?"""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodespec.tree import Tree, digest_of, file, link, link_mistakes, path_mistakes

ONE = "1" * 64
TWO = "2" * 64


def why(tree: Tree) -> list[str]:
    return [str(mistake) for mistake in link_mistakes(tree)]


@pytest.mark.parametrize(
    "path", ["a", "a/b.py", "ä/ß", "-rf", "a b", "..a", "a..", "x" * 255, "node.toml", "venv/x"]
)
def test_paths_that_may_be(path: str) -> None:
    assert list(path_mistakes(path)) == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "step"),
        ("/", "absolute"),
        ("/etc/passwd", "absolute"),
        ("..", "step"),
        ("../a", "step"),
        ("a/../b", "step"),
        ("a/./b", "step"),
        ("a//b", "step"),
        ("a/", "step"),
        ("x" * 256, "256 bytes long; at most 255"),
        ("ä" * 128, "256 bytes long"),
        ("a\nb", "control"),
        ("a\x1b[0m", "control"),
        ("a\x9b", "control"),
        ("a\0", "control"),
        ("a\udcff", "not UTF-8"),
        (".git/config", "never part"),
        ("a/__pycache__/b", "never part"),
        ("a.pyc", "never part"),
    ],
)
def test_paths_that_may_not_be(path: str, reason: str) -> None:
    (mistake,) = path_mistakes(path)
    assert reason in mistake.hint
    assert str(mistake).isprintable()


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", "b"),
        ("a", "./b"),
        ("d/a", "../b"),
        ("d/e/a", "../../d/e/b"),
        ("a", "gone/away"),
        ("d/a", ".."),
        ("a", "d/../b"),
    ],
)
def test_links_that_stay_inside(path: str, target: str) -> None:
    assert why({path: link(target), "b": file(False, 0, ONE)}) == []


@pytest.mark.parametrize(
    ("path", "target", "reason"),
    [
        ("a", "/etc/passwd", "it leads out"),
        ("a", "//etc", "it leads out"),
        ("a", "..", "it leads out"),
        ("a", "../a", "it leads out"),
        ("d/a", "../../x", "it leads out"),
        ("d/a", "x/../../../d/x", "it leads out"),
        ("a", "a", "in a circle"),
        ("a", "a/b", "in a circle"),
        ("a", "", "empty"),
        ("a", "b\nc", "control"),
        ("a", "b\udcff", "not UTF-8"),
        ("a", "b" * 256, "256 bytes"),
    ],
)
def test_links_that_do_not(path: str, target: str, reason: str) -> None:
    (got,) = why({path: link(target)})
    assert got.startswith(f"{path}: expected a link to a place inside the release, got link to ")
    assert reason in got
    assert got.isprintable()


def test_links_are_followed_through_links() -> None:
    assert why({"a/b/up": link(".."), "out": link("a/b/up/../.."), "ok": link("a/b/up/..")}) == [
        "out: expected a link to a place inside the release, got link to a/b/up/../..; it leads out"
    ]
    assert len(why({"a": link("b/x"), "b": link("/tmp")})) == 2
    assert len(why({"a": link("b"), "b": link("c"), "c": link("a")})) == 3


def test_winding_links_take_little_time() -> None:
    tree = {f"l{count}": link(f"l{count + 1}/" + "d/" * 120) for count in range(2_000)}
    started = time.process_time()
    why(tree)
    assert time.process_time() - started < 4


def test_the_digest_sees_every_difference() -> None:
    tree: Tree = {"a": file(False, 1, ONE), "b": file(True, 1, TWO), "c": link("a")}
    others: list[Tree] = [
        {},
        {**tree, "a": file(True, 1, ONE)},
        {**tree, "a": file(False, 1, TWO)},
        {**tree, "c": link("b")},
        {**tree, "c": file(False, 1, tree["c"].content)},
        {**tree, "d": file(False, 1, ONE)},
        {"a": tree["a"], "c": tree["c"]},
        {"A": tree["a"], "b": tree["b"], "c": tree["c"]},
    ]
    assert len({digest_of(other) for other in [tree, *others]}) == len(others) + 1


def test_the_digest_is_the_same_for_ever() -> None:
    """Stored releases are found by it: a change here is a change of format."""
    tree: Tree = {"node.toml": file(False, 1, ONE), "bin/x": file(True, 1, TWO), "l": link("bin/x")}
    assert digest_of(tree) == "sha256:3c054fcd063169b6b5695de7a35b2c129030b2b2a2aa6fb10911aeb3be432d57"


names = st.text(st.characters(codec="utf-8"), max_size=6)


@given(st.dictionaries(names, st.sampled_from([ONE, TWO])), st.randoms())
def test_the_digest_does_not_know_any_order(content: dict[str, str], chance: object) -> None:
    tree = {name: file(False, 1, digest) for name, digest in content.items()}
    assert digest_of(dict(reversed(tree.items()))) == digest_of(tree)
