"""What the tests of nodekit share: noded's side, and small nodes that are started as real processes."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.nodekit.noded_side import DEADLINE, NodedSide, environ

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def noded() -> Iterator[NodedSide]:
    side = NodedSide()
    yield side
    side.close()


@pytest.fixture
def start(noded: NodedSide, tmp_path: Path) -> Iterator[Start]:
    """Starts a program in tmp_path, with noded's environment unless told otherwise; kills it at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(source: str, **more: str) -> subprocess.Popen[str]:
        (tmp_path / "trial.py").write_text(textwrap.dedent(source))
        program = subprocess.Popen(
            [sys.executable, "trial.py"],
            cwd=tmp_path,
            env=environ(**{**noded.environ, **more}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(program)
        return program

    yield begin
    for program in started:
        program.kill()
        program.communicate(timeout=DEADLINE)
