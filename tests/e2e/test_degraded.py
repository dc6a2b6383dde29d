"""What works for a user without rights, and is what does not work told?"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.ground import ROOT, open_to_all, readable

pytestmark = pytest.mark.e2e
NOBODY_ELSE = 64102


@pytest.fixture
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The checkout, or a copy of what the test needs when others may not go in there."""
    if os.geteuid() != 0 or (open_to_all(ROOT) and open_to_all(Path(sys.executable).resolve())):
        yield ROOT
        return
    copy = Path("/tmp") / f"ndc-{os.getpid()}"
    for name in ("daemon", "proto", "nodes", "tests/e2e", ".venv", ".tools"):
        skip = shutil.ignore_patterns("__pycache__", ".pytest_cache")
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=skip)
    readable(copy)
    yield copy
    shutil.rmtree(copy)


def test_an_ordinary_user_has_a_host_that_says_what_it_lacks(checkout: Path, tmp_path: Path) -> None:
    root = os.geteuid() == 0
    home = Path("/tmp") / f"ndh-{os.getpid()}"
    home.mkdir()
    home.chmod(0o755)
    if root:
        os.chown(home, NOBODY_ELSE, NOBODY_ELSE)
    python = checkout / ".venv/bin/python" if (checkout / ".venv").exists() else Path(sys.executable)
    try:
        done = subprocess.run(
            [str(python), "-m", "tests.e2e.unprivileged"],
            capture_output=True,
            text=True,
            cwd=checkout,
            env={
                **os.environ,
                "PYTHONPATH": str(checkout),
                "HOME": str(home),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            timeout=150,
            check=False,
            **({"user": NOBODY_ELSE, "group": NOBODY_ELSE, "extra_groups": []} if root else {}),
        )
    finally:
        shutil.rmtree(home)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["uid"] == (NOBODY_ELSE if root else os.geteuid())
    assert found["uids"] == [found["uid"]]
    assert "web 1.0.0 runs" in found["applied"]
    assert (found["failed"], found["adopted"], found["version"], found["left"]) == (0, True, "1.1.0", [])
    assert found["total"] > 20
    assert found["memory"] > 1_000_000, "memory is read without control groups too"
    assert any("not root" in text for text in found["degraded"]), found["degraded"]
    assert any("cgroup" in text or "control group" in text for text in found["degraded"]), found["degraded"]
    for text in found["degraded"]:
        assert f"this host: {text}" in found["status"]
    assert "nobody" in found["other_user"]
