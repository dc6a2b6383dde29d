"""Does every journal of every host of this run lead to the same decisions once more?"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.background import Hosted, Story
from tests.e2e.conftest import Rings
from tests.e2e.follow import Follower
from tests.e2e.ground import ROOT
from tests.e2e.host import Host
from tests.e2e.programs import SLEEPS, lay

pytestmark = pytest.mark.e2e
KINDS = {
    "ApplyRequested",
    "Booted",
    "InstanceExited",
    "InstanceReady",
    "InstanceStarted",
    "ProxyFound",
    "Sampled",
}


@pytest.fixture(scope="module")
def folders(
    host: Host,
    follower: Follower,
    rings: Rings,
    beside: dict[str, Story],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """The journals of all hosts so far; those of hosts that still run are read as they are."""
    node = lay(host, "sleeper", program=SLEEPS, tables='[health]\nreadiness = "none"\n')
    host.nodectl("apply", str(node))
    host.nodectl("restart", "sleeper")
    host.kill("noded")
    host.start_noded()
    follower.now("sleeper")
    hosted = {name: story for name, story in beside.items() if isinstance(story, Hosted) and story.began}
    living = {"journal": host, **{name: story.host for name, story in hosted.items()}}
    copies = tmp_path_factory.mktemp("living")
    for name, running in living.items():
        shutil.copytree(running.state / "ring", copies / name)
    return [*rings.kept, *(copies / name for name in living)]


def replayed(folders: list[Path], seed: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.replaying", *map(str, folders)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/daemon:{ROOT}/proto", "PYTHONHASHSEED": str(seed)},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_segment_replays_to_the_same_actions_under_two_hash_seeds(
    folders: list[Path], figures: dict[str, str]
) -> None:
    first, second = replayed(folders, 1), replayed(folders, 2)
    assert first["differences"] == []
    assert second["differences"] == []
    assert first == second, "the states at the end are equal too"
    assert set(first["inputs"]) >= KINDS
    count = sum(first["inputs"].values())
    figures["journal"] = f"{count} inputs in {first['segments']} segments replay without a difference"


def test_how_an_instance_ended_is_always_known_while_the_launcher_lives(folders: list[Path]) -> None:
    lived = [folder for folder in folders if "survival" not in folder.name]
    assert replayed(lived, 1)["unknown"] == []


def test_a_journal_that_was_changed_is_noticed(folders: list[Path], tmp_path: Path) -> None:
    """The test can fail: an action that was never decided is told."""
    source = next(path for folder in folders for path in sorted(folder.glob("*.jsonl")))
    text = source.read_text()
    assert "A [" in text
    (tmp_path / "00000001.jsonl").write_text(text.replace('"reason":"', '"reason":"not so: ', 1))
    assert replayed([tmp_path], 1)["differences"]
