"""Do the examples in the documents run? They are taken out of the text as a reader would copy them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodespec.manifest import Autonomy
from nodespec.reading import read_node
from tests.docs import markdown
from tests.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def wait_for(condition: Callable[[], object], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.05)


def get(port: int, path: str) -> str:
    """The body; empty when nobody answers well."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return ""


@pytest.mark.parametrize("document", ["README.md", "docs/guides/write-a-node.md"])
def test_the_first_node_runs(document: str, tmp_path: Path) -> None:
    manifest, program = (markdown.blocks(text_of(document), kind)[0] for kind in ("toml", "python"))
    (tmp_path / "node.toml").write_text(manifest)
    (tmp_path / "hello.py").write_text(program)
    assert read_node(manifest, "node.toml").name == "hello"
    assert len([line for line in program.splitlines() if line]) <= 11
    port = free_ports()
    command = [sys.executable, "-m", "nodekit", "run", str(tmp_path), "--port", str(port)]
    node = subprocess.Popen([*command, "--data", str(tmp_path / "data")])
    try:
        wait_for(lambda: get(port, "/hello/anna") == "hello, anna\n", "the greeting", 15)
    finally:
        node.terminate()
        assert node.wait(15) == 0


def test_manifests_in_the_guide_are_valid() -> None:
    shown = markdown.blocks(text_of("docs/guides/write-a-node.md"), "toml")
    whole = [block for block in shown if block.startswith("[node]")]
    assert len(whole) >= 2
    named = [read_node(block, "node.toml").name for block in whole]
    assert named == ["hello", "shop", "relay", "payment", "payment", "quotes"]
    parts = [block for block in shown if not block.startswith("[node]")]
    head = '[node]\nname = "x"\nversion = "1"\nrun = ["x"]\n'
    levels = [read_node(head + part, "node.toml").healing.autonomy.tune for part in parts]
    assert levels.count(Autonomy.ACT) == 1


class ByHand:
    """The host of the administrator's guide, started by the guide's own commands."""

    def __init__(self, folder: Path) -> None:
        (script,) = markdown.blocks(text_of("docs/guides/administer.md"), "sh")
        self.port, metrics, events = free_ports(), free_ports(), free_ports()
        script = script.replace("mktemp -d /tmp/nd-XXXXXX", f"echo {folder}")
        script = (
            script.replace("8100-8107", str(self.port))
            .replace("9464", str(metrics))
            .replace("9465", str(events))
        )
        self.script = f"set -eu\n{script}"
        self.folder = folder
        self.metrics = metrics

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        user: dict[str, Any] = nobody if os.geteuid() == 0 else {}
        done: subprocess.CompletedProcess[str] = subprocess.run(
            ["bash", "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            env={
                "PATH": f"{ROOT}/.venv/bin:/usr/local/bin:/usr/bin:/bin",
                "NODED_SOCKET_PATH": str(self.folder / "run/control.sock"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "HOME": str(self.folder),
            },
            **user,
        )
        return done

    def end(self) -> None:
        for node in ("hello", "catalog"):
            self.shell(f"nodectl remove {node} -y")
        for name in ("noded", "proxy", "mesh", "launcher"):
            file = self.folder / f"{name}.pid"
            if file.exists():
                pid = int(file.read_text())
                os.kill(pid, signal.SIGTERM)
                wait_for(lambda pid=pid: ended(pid), f"the end of {name}", 15)  # type: ignore[misc]


def ended(pid: int) -> bool:
    """Gone, or only its exit status is left for somebody to read."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def open_to_all(path: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


@pytest.fixture
def by_hand() -> Iterator[ByHand]:
    needed = (ROOT, (ROOT / ".venv/bin/python").resolve().parent)
    if os.geteuid() == 0 and not all(map(open_to_all, needed)):
        pytest.skip("an ordinary user cannot enter this checkout")
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    host = ByHand(folder)
    try:
        started = host.shell(host.script)
        assert started.returncode == 0, started.stdout + started.stderr
        yield host
    finally:
        host.end()
        shutil.rmtree(folder)


@pytest.mark.e2e
def test_a_host_can_be_started_by_hand(by_hand: ByHand) -> None:
    """As the guide says: four programs, as an ordinary user; then the README's nodes are applied."""
    node = by_hand.folder / "hello"
    node.mkdir()
    manifest, program = (markdown.blocks(text_of("README.md"), kind)[0] for kind in ("toml", "python"))
    (node / "node.toml").write_text(manifest.replace("8101", str(by_hand.port)))
    (node / "hello.py").write_text(program)
    applied = by_hand.shell(f"nodectl apply {node}")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    wait_for(lambda: get(by_hand.port, "/hello/anna") == "hello, anna\n", "the greeting", 15)
    assert 'noded_node_instances_ready{node="hello"} 1.0' in get(by_hand.metrics, "/metrics")
    planned = by_hand.shell(f"nodectl plan {node}")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    for line in (
        "status hello",
        "describe hello",
        "explain hello",
        "incidents hello",
        "rollout history hello",
    ):
        shown = by_hand.shell(f"nodectl {line}")
        assert shown.returncode == 0, f"{line}: {shown.stderr}"
    assert "it is ready and takes traffic" in by_hand.shell("nodectl explain hello").stdout
    for name in ("lock", "ring", "journal.db", "registry.db", "releases", "data", "evidence"):
        assert (by_hand.folder / "state" / name).exists(), name
    assert "[ALERT]" not in (by_hand.folder / "proxy.log").read_text()


@pytest.mark.e2e
def test_nodes_with_events_start_there(by_hand: ByHand) -> None:
    """The README's first steps: `nodectl apply nodes/catalog`."""
    node = by_hand.folder / "catalog"
    shutil.copytree(ROOT / "nodes/catalog", node, ignore=shutil.ignore_patterns("__pycache__"))
    manifest = (node / "node.toml").read_text()
    (node / "node.toml").write_text(manifest.replace("8100", str(by_hand.port)))
    applied = by_hand.shell(f"nodectl apply {node} --timeout 20s")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "catalog 1.0.0 runs" in applied.stderr


def test_the_test_of_the_sdk_is_one(tmp_path: Path) -> None:
    """The node that handles an event once, and its test, as the SDK's document shows them."""
    blocks = markdown.blocks(text_of("nodes/nodekit/README.md"), "python")
    (classes, once), (test,) = (
        [block for block in blocks if word in block][:2] for word in ("@node.on(OrderPlaced", "testing.Mesh")
    )
    classes = classes.partition("@node.on(")[0]
    (tmp_path / "payment.py").write_text(f"import sqlite3\n{classes}\n{once}")
    (tmp_path / "test_payment.py").write_text(f"{test}\n\ntest_capture()\n")
    done = subprocess.run(
        [sys.executable, "test_payment.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}/nodes", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
