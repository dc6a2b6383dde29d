"""A machine-written change is found again in a later release, wherever that comes from; or shown as lost."""

import asyncio
import json
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from noded.adapters import lineage
from noded.model.incident import Incident, Record, Report, Stage
from noded.model.release import Release
from noded.model.state import NodeState
from tests.fakes.registry import FakeRegistry
from tests.runtime.nouns import node

PARENT = """import os

cache = {}


def price(sku):
    if sku not in cache:
        cache[sku] = os.getpid()
    return cache[sku]
"""
HEALED = PARENT.replace("cache = {}\n", "from bounded import Bounded\n\ncache = Bounded(100)\n").replace(
    "    return cache[sku]\n", "    return cache[sku]  # bounded\n"
)
MANIFEST = '[node]\nname = "catalog"\nversion = "1.4.0"\n'


def tree(folder: Path, **files: str | bytes | None) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    before = tree(tmp_path / "1", shop_py=PARENT, node_toml=MANIFEST, other_py="x = 1\n")
    after = tree(
        tmp_path / "2",
        shop_py=HEALED,
        node_toml=MANIFEST.replace("1.4.0", "1.4.0+heal.1"),
        other_py="x = 1\n",
    )
    return before, after


def healed_node() -> NodeState:
    release = Release("catalog", "1.4.0+heal.1", "sha256:" + "2" * 64, "incident catalog-1")
    return replace(node("catalog"), release=release)


def lost(trees: tuple[Path, Path], **files: str | bytes) -> str:
    changed = lineage.changes(healed_node(), *trees)
    new = {n.replace("_", "."): c.encode() if isinstance(c, str) else c for n, c in files.items()}
    return lineage.lost(changed, trees[1], new)


def test_the_same_file_descends(trees: tuple[Path, Path]) -> None:
    assert lost(trees, shop_py=HEALED) == ""


def test_a_release_from_before_the_change_loses_it_all(trees: tuple[Path, Path]) -> None:
    told = lost(trees, shop_py=PARENT)
    assert told.splitlines()[:2] == ["--- a/shop.py", "+++ b/shop.py"]
    assert "+cache = Bounded(100)" in told and "+    return cache[sku]  # bounded" in told
    assert "version" not in told


def test_work_elsewhere_in_the_file_keeps_it(trees: tuple[Path, Path]) -> None:
    merged = (
        "# more\n" + HEALED.replace("import os\n", "import os\nimport sys\n") + "\n\ndef more():\n    pass\n"
    )
    assert lost(trees, shop_py=merged) == ""


def test_work_right_beside_it_keeps_it(trees: tuple[Path, Path]) -> None:
    assert lost(trees, shop_py=HEALED.replace("import os\n\n", "import sys\n")) == ""


def test_half_of_it_is_not_enough(trees: tuple[Path, Path]) -> None:
    half = HEALED.replace("  # bounded", "")
    told = lost(trees, shop_py=half)
    assert "+    return cache[sku]  # bounded" in told
    whole = lost(trees, shop_py=HEALED.replace("Bounded(100)", "Bounded(10**9)"))
    assert "+cache = Bounded(100)" in whole


def test_a_file_that_is_gone_or_turned_into_bytes_loses_it(trees: tuple[Path, Path]) -> None:
    assert "Bounded(100)" in lost(trees)
    assert "Bounded(100)" in lost(trees, shop_py=b"\0" + HEALED.encode())


def test_files_that_came_went_or_are_no_text(tmp_path: Path) -> None:
    before = tree(tmp_path / "1", old_py="x\n", data_bin=b"\0a", same_py="s\n")
    after = tree(tmp_path / "2", new_py="y\n", data_bin=b"\0b", same_py="s\n")
    both = (before, after)
    assert lost(both, new_py="y\n", data_bin=b"\0b") == ""
    told = lost(both, old_py="x\n", data_bin=b"\0a")
    assert "the file data.bin is another one" in told
    assert "--- /dev/null\n+++ b/new.py" in told
    assert "the file old.py is gone" in told


def test_lines_that_were_taken_away_must_be_away(tmp_path: Path) -> None:
    before = tree(tmp_path / "1", a_py="one\ntwo\nleak()\nthree\nfour\n")
    after = tree(tmp_path / "2", a_py="one\ntwo\nthree\nfour\n")
    assert lost((before, after), a_py="one\ntwo\nthree\nfour\nfive\n") == ""
    assert "-leak()" in lost((before, after), a_py="one\ntwo\nleak()\nthree\nfour\nfive\n")


def test_a_line_that_looks_like_a_head_is_a_line(tmp_path: Path) -> None:
    before = tree(tmp_path / "1", a_sql="-- old\nselect 1\n-- x\n++ y\n")
    after = tree(tmp_path / "2", a_sql="-- new\nselect 1\n-- z\n++ y")
    assert lost((before, after), a_sql="-- new\nselect 1\n-- z\n++ y") == ""
    assert "+-- z" in lost((before, after), a_sql="-- new\nselect 1\n-- x\n++ y\n")


def test_the_report_tells_when_the_files_are_gone(trees: tuple[Path, Path], tmp_path: Path) -> None:
    head, last = "--- a/shop.py\n+++ b/shop.py\n@@ -3 +3 @@\n", "\\ No newline at end of file\n"
    diff = f"{head}-cache = {{}}\n+cache = Bounded(100)\n{last}"
    report = Report("candidate", "bounded", version="1.4.0+heal.1", diff=diff)
    incident = Incident(
        "catalog-1", "x", "catalog.1", "f", 0.0, 0.0, 0.0, 0.0, 0.0, Stage.RESOLVED, 0.0, report=report
    )
    known = replace(healed_node(), healing=Record(past=(incident,)))
    changed = lineage.changes(known, None, trees[1])
    assert lineage.lost(changed, trees[1], {"shop.py": b"cache = Bounded(100)\n"}) == ""
    assert lineage.lost(changed, trees[1], {"shop.py": PARENT.encode()}) == diff.removesuffix(last)
    nothing = lineage.changes(healed_node(), tmp_path / "none", trees[1])
    told = lineage.lost(nothing, trees[1], {"node.toml": b"", "shop.py": HEALED.encode()})
    assert told == "the change of 1.4.0+heal.1 cannot be read any more\n"


@pytest.mark.parametrize(
    "text", ["", "@@", "@@ -1,9 +1,9 @@\n", "@@ -1,999999999 +1 @@\n+x", "--- a\n@@ -x @@", "\0"]
)
def test_a_report_that_is_no_diff_is_no_danger(text: str) -> None:
    assert len(list(lineage.parsed(text * 100))) <= 100


def test_large_changes_are_compared_in_bounded_time_and_shown_in_part(tmp_path: Path) -> None:
    dice = random.Random(3)
    lines = [f"x{dice.randrange(50)} = 1\n" for _ in range(20_000)]
    before = tree(tmp_path / "1", a_py="".join(lines))
    after = tree(tmp_path / "2", a_py="".join(reversed(lines)), b_py="".join(lines[:2900]) * 2)
    began = time.process_time()
    told = lost((before, after), a_py="".join(lines), b_py="x0 = 1\n" * 20_000)
    assert time.process_time() - began < 5
    assert "the file a.py is another one" in told
    empty = tree(tmp_path / "3", c_py="")
    wide = tree(tmp_path / "4", c_py="".join(f"{line.strip():200}\n" for line in lines[:2900]))
    told = lost((empty, wide), c_py="")
    assert told.endswith("... and more\n") and len(told) < lineage.LONGEST + 20


def origins(**known: str) -> FakeRegistry:
    """What is on record of the versions 1.4.0 (one) and 1.4.0+heal.2 (two): who wrote them."""
    registry = FakeRegistry()
    for name, version in (("one", "1.4.0"), ("two", "1.4.0+heal.2")):
        if name in known:
            value = json.dumps({"digest": name, "origin": known[name]}).encode()
            asyncio.run(registry.put(f"releases/catalog/{version}", value))
    return registry


def parent(origin: str, registry: FakeRegistry, version: str = "1.4.0+heal.2") -> str | None:
    release = replace(healed_node().release, version=version, origin=origin)
    return asyncio.run(lineage.parent(replace(healed_node(), release=release), registry))


@pytest.mark.parametrize(
    ("origin", "known", "found"),
    [
        ("incident catalog-2", {"one": "uid 0", "two": "incident catalog-2"}, "one"),
        # The memory of noded was lost.
        ("the registry", {"one": "uid 0", "two": "incident catalog-2"}, "one"),
        # The registry was lost, too.
        ("what runs", {}, ""),
        ("incident catalog-2", {"two": "incident catalog-2"}, ""),
        # A person has called it so.
        ("the registry", {"one": "uid 0", "two": "uid 1000"}, None),
        ("uid 1000", {}, None),
    ],
)
def test_who_wrote_what_runs_is_told_by_the_record(
    origin: str, known: dict[str, str], found: str | None
) -> None:
    assert parent(origin, origins(**known)) == found


def test_what_a_person_wrote_has_nothing_to_lose() -> None:
    assert parent("uid 0", origins(one="uid 0"), "1.4.0") is None
    assert asyncio.run(lineage.parent(None, origins())) is None


def test_a_version_in_a_table_before_node_is_not_the_release_s(tmp_path: Path) -> None:
    head = '[regeneration]\nversion = "9"\n'
    before = tree(tmp_path / "1", node_toml=head + MANIFEST)
    healed = head.replace("9", "10") + MANIFEST.replace("1.4.0", "1.4.0+heal.1")
    after = tree(tmp_path / "2", node_toml=healed)
    next_ = MANIFEST.replace("1.4.0", "1.5.0")
    assert '+version = "10"' in lost((before, after), node_toml=head + next_)
    assert lost((before, after), node_toml=head.replace("9", "10") + next_) == ""


def test_a_manifest_that_is_no_text_is_compared_all_the_same(tmp_path: Path) -> None:
    before, after = tree(tmp_path / "1", node_toml=b"\xff\n"), tree(tmp_path / "2", node_toml=b"\xfe\n")
    assert "node.toml is another one" in lost((before, after), node_toml=b"\xff\n")
