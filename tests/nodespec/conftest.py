"""A small folder that is a good release."""

from pathlib import Path

import pytest

from tests.nodespec.archives import MANIFEST


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "shop").mkdir(parents=True)
    (folder / "node.toml").write_bytes(MANIFEST)
    (folder / "start").write_bytes(b"#!/bin/sh\n")
    (folder / "start").chmod(0o755)
    (folder / "shop/main.py").write_bytes(b"print(1)\n")
    (folder / "latest").symlink_to("shop/main.py")
    return folder
