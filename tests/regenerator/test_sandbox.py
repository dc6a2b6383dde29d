"""Can a hostile candidate outlast, outgrow, outshout or leave its surroundings?"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from regenerator.children import Ran, child, run
from regenerator.processes import adopt_strays, end_strays, family
from regenerator.sandbox import Sandbox, open_sandbox
from regenerator.trial import shared_folder
from tests.regenerator.workshop import BWRAP, SYSTEM_PYTHON, needs_bwrap, processes_with


@pytest.fixture
def enclosed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setenv("NODED_BWRAP", BWRAP)
    sandbox = open_sandbox(SYSTEM_PYTHON, (), tmp_path)
    assert sandbox.level == "bubblewrap"
    return sandbox


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Sandbox]:
    adopt_strays()
    yield Sandbox("", SYSTEM_PYTHON, (), tmp_path)
    end_strays()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "code.py").write_text("x = 1\n")
    return folder


def told(sandbox: Sandbox, tree: Path, code: str, seconds: float = 20.0, memory: int = 0) -> Ran:
    with shared_folder() as shared:
        words = sandbox.command(tree, shared, ["python3", "-c", code])
        env = sandbox.environment(shared)
        if not memory:
            return asyncio.run(run(words, env, tree, shared, seconds))
        return asyncio.run(_limited(words, env, tree, shared, memory))


async def _limited(words: list[str], env: dict[str, str], tree: Path, shared: Path, memory: int) -> Ran:
    async with child(words, env, tree, shared, memory) as running, asyncio.timeout(20):
        await running.process.wait()
    return Ran(running.process.returncode or 0, running.ended_by, 0.0, running.output, running.last_line)


@needs_bwrap
def test_what_it_sees(enclosed: Sandbox, tree: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    os.environ["NODED_TEST_SECRET"] = "s3cret"
    try:
        ran = told(
            enclosed,
            tree,
            f"""
import os, socket
assert os.getcwd() == "/node" and os.listdir(".") == ["code.py"]
assert "NODED_TEST_SECRET" not in os.environ, "environment"
assert not os.path.exists({str(secret)!r}), "another file"
for folder in ("/root", "/home", "/var", "/work", "/etc/ssl", "/etc/shadow"):
    assert not os.path.exists(folder), folder
assert os.path.exists("/etc/passwd") and socket.gethostbyname("localhost") == "127.0.0.1"
assert len([p for p in os.listdir("/proc") if p.isdigit()]) <= 3, "processes of others"
assert "CapEff:\\t0000000000000000" in open("/proc/self/status").read()
assert "NoNewPrivs:\\t1" in open("/proc/self/status").read()
open("/tmp/mine", "w").write("x")
open(os.environ["NODED_DATA"] + "/mine", "w").write("x")
""",
        )
    finally:
        del os.environ["NODED_TEST_SECRET"]
    assert ran.ok, ran.output


@needs_bwrap
@pytest.mark.parametrize(
    "path",
    ["/node/code.py", "/node/new", "/usr/new", "/etc/new", "/etc/passwd", "/new", "/dev/new"],
)
def test_it_writes_nothing_outside(enclosed: Sandbox, tree: Path, path: str) -> None:
    ran = told(enclosed, tree, f"open({path!r}, 'w').write('x')")
    assert ran.code == 1
    assert "Read-only" in ran.output or "Permission" in ran.output
    assert (tree / "code.py").read_text() == "x = 1\n"


@needs_bwrap
def test_it_reaches_nobody(enclosed: Sandbox, tree: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = told(enclosed, tree, f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)")
        assert "refused" in ran.output
        ran = told(enclosed, tree, "import socket; socket.create_connection(('192.0.2.1', 80), 2)")
        assert "unreachable" in ran.output


HANGING = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('on', flush=True)
time.sleep(60)
"""
FORKING = """
import os, time
while True:
    try:
        if os.fork() == 0:
            time.sleep(60)
    except OSError:
        time.sleep(0.01)
"""
SHOUTING = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
HOARDING = "import time\nkept = []\nwhile True: kept.append(bytearray(b'x' * 1000000)); time.sleep(0.001)"
LEAVING = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.environ
        os.closerange(0, 3)
        time.sleep(60)
"""


@pytest.fixture(params=[pytest.param("enclosed", marks=needs_bwrap), "bare"])
def either(request: pytest.FixtureRequest) -> Sandbox:
    sandbox = request.getfixturevalue(request.param)
    assert isinstance(sandbox, Sandbox)
    return sandbox


def test_hanging(either: Sandbox, tree: Path) -> None:
    started = time.monotonic()
    ran = told(either, tree, HANGING, seconds=0.7)
    assert ran.ended_by == "time limit of 0.7 s"
    assert ran.output.startswith("on")
    assert time.monotonic() - started < 5


def test_forking(either: Sandbox, tree: Path) -> None:
    ran = told(either, tree, FORKING)
    assert ran.ended_by == "more than 128 processes"
    end_strays()
    assert len(family(os.getpid())) < 20


def test_shouting(either: Sandbox, tree: Path) -> None:
    ran = told(either, tree, SHOUTING)
    assert ran.ended_by == "more than 8 MiB of output"
    assert len(ran.output) <= 16384


def test_hoarding(either: Sandbox, tree: Path) -> None:
    ran = told(either, tree, HOARDING, memory=100 << 20)
    assert ran.ended_by == "more than 100 MiB of memory"


def test_filling_the_shared_folder(either: Sandbox, tree: Path) -> None:
    where = "/run/node" if either.bwrap else "."
    code = f"import os, time; d = os.environ['HOME'] if {where!r} == '.' else {where!r}\n"
    ran = told(either, tree, code + "open(d + '/big', 'wb').write(b'x' * (17 << 20)); time.sleep(30)")
    assert ran.ended_by == "more than 16 MiB written"


def test_leaving(either: Sandbox, tree: Path, tmp_path: Path) -> None:
    mark = f"mark-{tmp_path}"
    ran = told(either, tree, f"mark = {mark!r}\n" + LEAVING)
    assert ran.code == 0
    end_strays()
    assert processes_with(mark) == []


def test_what_it_prints_is_only_shown(bare: Sandbox, tree: Path) -> None:
    ran = told(
        bare, tree, r"import sys; sys.stdout.buffer.write(b'\x1b[31mred\xff\x00\nRan 9 tests\n'); sys.exit(3)"
    )
    assert ran.fault == "exit code 3: Ran 9 tests"
    assert ran.output.startswith("?[31mred?")


def test_a_command_that_does_not_exist(bare: Sandbox, tree: Path) -> None:
    with shared_folder() as shared:
        ran = asyncio.run(run(["/nowhere/program"], bare.environment(shared), tree, shared, 5.0))
    assert ran.code != 0
    assert "nowhere" in ran.output


@needs_bwrap
def test_an_interpreter_elsewhere_comes_along(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual environment outside /usr, made from the interpreter that runs the tests."""
    monkeypatch.setenv("NODED_BWRAP", BWRAP)
    made = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True, timeout=60)
    work = tmp_path / "work"
    work.mkdir()
    sandbox = open_sandbox(str(made / "bin/python"), (), work)
    assert sandbox.level == "bubblewrap"
    ran = told(sandbox, tree, "import sys; print(sys.prefix)")
    assert ran.last_line == str(made)


def test_a_bwrap_that_cannot_make_namespaces_means_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("NODED_BWRAP", str(fake))
    assert open_sandbox(SYSTEM_PYTHON, (), tmp_path).level == "none"
