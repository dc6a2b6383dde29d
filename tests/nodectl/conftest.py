"""A scripted noded, and nodectl run against it as a person would."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from nodectl.cli import nodectl
from tests.fakes.control import Running, a_node, a_rollout, serving


class Desk:
    """`desk("status")` types `nodectl status`."""

    def __init__(self, socket: Path, fake: Running) -> None:
        self.socket = socket
        self.fake = fake
        self.control = fake.control

    def __call__(self, *words: str, answer: str = "", expect: int = 0) -> Result:
        environment = {"NODED_SOCKET_PATH": str(self.socket), "TZ": "UTC"}
        result = CliRunner().invoke(nodectl, list(words), input=answer, env=environment, prog_name="nodectl")
        assert "Traceback" not in result.output
        assert result.exit_code == expect, result.output
        return result

    def json(self, *words: str, expect: int = 0) -> Any:
        return json.loads(self(*words, "-o", "json", expect=expect).stdout)

    def yaml(self, *words: str, expect: int = 0) -> Any:
        return yaml.safe_load(self(*words, "-o", "yaml", expect=expect).stdout)

    def orders(self) -> list[tuple[int, str]]:
        return [(one.verb, one.node) for name, one in self.control.calls if name == "Command"]


@pytest.fixture
def desk() -> Iterator[Desk]:
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    with serving(folder / "s") as fake:
        yield Desk(folder / "s", fake)
    shutil.rmtree(folder)


@pytest.fixture
def rolling(desk: Desk) -> Desk:
    """A node with a rollout under way."""
    desk.control.status.nodes.append(a_node(rollout=a_rollout()))
    return desk


@pytest.fixture
def node_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "catalog"
    folder.mkdir()
    (folder / "node.toml").write_text(
        '[node]\nname = "catalog"\nversion = "1.5.0"\nrun = ["python3", "x.py"]\n'
    )
    (folder / "x.py").write_text("print('hello')\n")
    return folder
