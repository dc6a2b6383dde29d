"""Are a release's own tests run enclosed, and is their answer told whole?"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.regenerator.workshop import (
    BWRAP,
    SYSTEM_PYTHON,
    Bench,
    bench,
    needs_bwrap,
    processes_with,
    wait_for,
)

TESTS = "tests/check_pages.py"


class Desk:
    def __init__(self, place: Bench) -> None:
        self.place = place
        self.out = place.folder / "outcome.json"
        self.host = place.folder / "host.json"
        self.host.write_text(json.dumps({"python": SYSTEM_PYTHON, "env": {}}))

    def words(self, *more: str) -> list[str]:
        return [
            *(sys.executable, "-m", "regenerator", "--test-only", "--node", str(self.place.node)),
            *("--host", str(self.host), "--out", str(self.out), *more),
        ]

    def run(self, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.words(*more), env=self.place.env(**env), capture_output=True, text=True,
                              timeout=60, check=False)  # fmt: skip

    def outcome(self, *more: str, **env: str) -> dict[str, Any]:
        done = self.run(*more, **env)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(self.out.read_text())
        left = {path.name for path in self.place.folder.iterdir()}
        assert left == {"node", "host.json", "outcome.json"}
        return found

    def tests(self, text: str) -> None:
        (self.place.node / TESTS).write_text(text)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with bench() as place:
        yield Desk(place)


@needs_bwrap
def test_tests_that_pass(desk: Desk) -> None:
    desk.place.lock()
    found = desk.outcome()
    assert (found["passed"], found["detail"], found["sandbox"]) == (True, "", "bubblewrap")
    assert "OK" in found["output"] and found["seconds"] > 0


@needs_bwrap
def test_tests_that_fail(desk: Desk) -> None:
    desk.tests("import os\nprint('told', flush=True)\nos._exit(3)")
    found = desk.outcome()
    assert (found["passed"], found["detail"]) == (False, "exit code 3")
    assert "told" in found["output"]


@needs_bwrap
def test_they_are_enclosed(desk: Desk) -> None:
    """No network, nothing of the host, and what they write is gone."""
    desk.tests(
        "import os, socket\n"
        "open('x', 'w') if os.access('.', os.W_OK) else print('read-only')\n"
        "print(os.path.exists('/etc/shadow'), 'SECRET' in os.environ, os.getcwd())\n"
        "try:\n    socket.create_connection(('192.0.2.1', 80), 1)\n"
        "except OSError as error:\n    print('no network:', error.strerror)\n"
    )
    before = sorted(str(path) for path in desk.place.node.rglob("*"))
    said = desk.outcome()["output"]
    assert (
        "read-only" in said and "False False /node" in said and "no network: Network is unreachable" in said
    )
    assert sorted(str(path) for path in desk.place.node.rglob("*")) == before


@needs_bwrap
def test_they_find_the_wheels_of_the_release(desk: Desk) -> None:
    place = desk.place
    place.change("node.toml", 'start_timeout = "5s"', 'requirements = "r.txt"')
    place.change("node.toml", 'command = ["python3"', 'command = ["checker"')
    (place.node / "r.txt").write_text("x==1\n")
    (place.node / ".noded/site/bin").mkdir(parents=True)
    (place.node / ".noded/site/extra.py").write_text("word = 'from a wheel'\n")
    script = place.node / ".noded/site/bin/checker"
    script.write_text("#!/usr/bin/env python3\nimport extra\nprint(extra.word)\n")
    script.chmod(0o755)
    found = desk.outcome()
    assert found["passed"] and "from a wheel" in found["output"]


@needs_bwrap
def test_they_start_from_the_environment_of_the_host(desk: Desk) -> None:
    sdk = desk.place.folder / "sdk"
    sdk.mkdir()
    (sdk / "kit.py").write_text("")
    desk.host.write_text(
        json.dumps({"python": SYSTEM_PYTHON, "env": {"PYTHONPATH": str(sdk), "A": "host", "B": "host"}})
    )
    desk.place.change("node.toml", 'start_timeout = "5s"', 'env = { A = "node" }')
    desk.tests("import kit, os\nprint(os.environ['A'], os.environ['B'])")
    assert desk.run().returncode == 0
    assert "node host" in json.loads(desk.out.read_text())["output"]


@needs_bwrap
def test_the_end_of_much_output_is_kept(desk: Desk) -> None:
    desk.tests("print('a' * 200_000); print('the end \\x1b[2J')")
    said = desk.outcome()["output"]
    assert len(said) <= 64 << 10 and "the end ?[2J" in said


@needs_bwrap
def test_tests_that_never_end(desk: Desk) -> None:
    desk.place.change("node.toml", 'timeout = "10s"', 'timeout = "1s"')
    mark = f"4711.{os.getpid()}"
    begin = f"import subprocess, time\nsubprocess.Popen(['sleep', '{mark}'])\n"
    desk.tests(f"{begin}print('begun', flush=True)\ntime.sleep(60)")
    found = desk.outcome()
    assert not found["passed"] and found["detail"].startswith("time limit of 1.0 s")
    assert "begun" in found["output"]
    assert processes_with(mark) == []


@needs_bwrap
def test_the_budget_ends_them_too(desk: Desk) -> None:
    desk.tests("import time\ntime.sleep(60)")
    assert desk.outcome("--budget", "2")["detail"].startswith("time limit of ")


def test_without_a_sandbox_it_is_told(desk: Desk) -> None:
    found = desk.outcome(NODED_BWRAP="/nowhere")
    assert found["passed"] and found["sandbox"] == "none"
    assert found["detail"] == "not enclosed: bubblewrap is missing or may not be used"


def test_a_release_without_tests(desk: Desk) -> None:
    desk.place.change("node.toml", "command =", "#")
    found = desk.outcome()
    assert (found["passed"], found["detail"]) == (False, "node.toml has no tests.command")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda desk: desk.out.write_text("x"), "a name that is not taken"),
        (lambda desk: desk.host.unlink(), "cannot be read: No such file"),
        (lambda desk: desk.host.write_text("{"), "host.json: file: "),
        (lambda desk: desk.host.write_text('{"python": "python3", "env": {}}'), "host.json: python: "),
        (lambda desk: desk.host.write_text('{"python": "/a", "env": {"A B": "1"}}'), "host.json: env.A B"),
        (lambda desk: desk.host.write_text('{"python": "/a", "env": {}, "more": 1}'), "host.json: more: "),
        (lambda desk: desk.host.write_bytes(b" " * ((1 << 20) + 1)), "expected at most 1,048,576 bytes"),
        (lambda desk: (desk.place.node / "node.toml").unlink(), "cannot be read: No such file"),
        (lambda desk: (desk.place.node / "node.toml").write_text("[nod]"), "nod: unknown key"),
        (lambda desk: setattr(desk, "out", Path("/nowhere/out")), "cannot be written: No such file"),
    ],
)
def test_bad_input_is_refused_whole(desk: Desk, spoil: Any, said: str) -> None:
    spoil(desk)
    done = desk.run()
    assert done.returncode == 2 and said in done.stderr
    assert not desk.out.exists() or desk.out.read_text() == "x"


def test_the_two_ways_of_calling_are_told_apart(desk: Desk) -> None:
    both = subprocess.run([*desk.words(), "--incident", "x"], env=desk.place.env(), capture_output=True,
                          text=True, timeout=60, check=False)  # fmt: skip
    assert both.returncode == 2 and "no --incident with --test-only" in both.stderr
    base = [sys.executable, "-m", "regenerator", "--node", str(desk.place.node), "--out", str(desk.out)]
    neither = subprocess.run(
        base, env=desk.place.env(), capture_output=True, text=True, timeout=60, check=False
    )
    assert neither.returncode == 2 and "expected --incident" in neither.stderr


@needs_bwrap
def test_stopped_it_leaves_nothing(desk: Desk) -> None:
    mark = f"4712.{os.getpid()}"
    desk.tests(f"import subprocess\nsubprocess.run(['sleep', '{mark}'])")
    process = subprocess.Popen(desk.words(), env=desk.place.env(), stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: processes_with(mark) != [])
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 1
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        assert process.stderr
        process.stderr.close()
    assert processes_with(mark) == []
    assert sorted(path.name for path in desk.place.folder.iterdir()) == ["host.json", "node"]


@needs_bwrap
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_as_an_unprivileged_user(desk: Desk) -> None:
    assert BWRAP and shutil.which("setpriv")
    desk.place.lock()
    os.chown(desk.place.folder, 65534, 65534)
    desk.host.chmod(0o644)
    words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *desk.words()]
    done = subprocess.run(
        words, env=desk.place.env(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(desk.out.read_text())["passed"]
