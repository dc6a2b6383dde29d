"""Are packages what they should be, wherever they were built?"""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd import packages
from tests.systemd.roots import ROOT

pytestmark = pytest.mark.systemd

SOURCES = ("daemon", "proto", "nodes", "packaging", "requirements", "systemd")
FILES = ("LICENSE", "CHANGELOG.md", "setup.cfg")


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.deb")}


def test_a_build_elsewhere_gives_the_same_bytes(debs: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in SOURCES:
        shutil.copytree(ROOT / name, elsewhere / name, copy_function=shutil.copyfile)
    for name in FILES:
        shutil.copyfile(ROOT / name, elsewhere / name)
    (elsewhere / ".tools").symlink_to(ROOT / ".tools")
    packages.build(tmp_path / "debs", elsewhere)
    assert len(sums(debs)) == 3
    assert sums(tmp_path / "debs") == sums(debs)


def test_nothing_tells_where_it_was_built(debs: Path, tmp_path: Path) -> None:
    (package,) = debs.glob("noded-runtime_*.deb")
    subprocess.run(["dpkg-deb", "--extract", str(package), str(tmp_path)], check=True, timeout=300)
    place = bytes(ROOT / "build")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and place in path.read_bytes()] == []
    sources = {path for path in tmp_path.rglob("site-packages/noded/**/*.py")}
    compiled = {path.stem.partition(".")[0] for path in tmp_path.rglob("site-packages/noded/**/*.pyc")}
    assert sources
    assert {path.stem for path in sources} == compiled
