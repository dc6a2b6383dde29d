"""Packages and hosts for the tests on real systemd, which only `make test-systemd` runs."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd import packages, roots
from tests.systemd.nspawn import Host

NODES = roots.ROOT / "nodes"
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    roots.need_root()
    into = tmp_path_factory.mktemp("debs")
    packages.build(into)
    return into


@pytest.fixture(scope="session")
def machine(debs: Path) -> Iterator[Host]:
    """A booted host with the packages in /srv/debs and nodes in /srv/nodes; nothing is installed yet."""
    host = Host(f"noded-t-{os.getpid()}")
    try:
        host.boot()
        copy_nodes(host.path("/srv/nodes"))
        shutil.copytree(debs, host.path("/srv/debs"))
        yield host
    finally:
        host.close()


def copy_nodes(into: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "nodekit")
    shutil.copytree(NODES, into, ignore=ignored)
    shutil.copytree(HERE / "nodes", into, ignore=ignored, dirs_exist_ok=True)
    # Ends of all nodes follow each other closely here, and noded would keep a second spare for a while.
    manifest = into / "catalog/node.toml"
    text = manifest.read_text("utf-8")
    manifest.write_text(text.replace("instances = 1", "instances = 2").replace("spares = 1", "spares = 0"))
    with (into / "ticker/node.toml").open("a", encoding="utf-8") as ticker:
        ticker.write('\n[resources]\nmemory_high = "64M"\n')
