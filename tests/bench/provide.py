"""Where do nats-server, redis-server and their Python clients come from? Nothing is installed on the host.

Debian's packages are unpacked into `.tools/root`, as `make setup` does it; the clients, locked by hash, are
installed into `.tools/bench`, which only the measured programs look into.
"""

import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
from types import ModuleType

from tests.e2e.ground import ROOT

TOOLS = ROOT / ".tools"
NATS = TOOLS / "root/usr/sbin/nats-server"
REDIS = TOOLS / "root/usr/bin/redis-server"
CLIENTS = TOOLS / "bench"
PACKAGES = {"nats-server": NATS, "redis-tools": TOOLS / "root/usr/bin/redis-check-rdb", "redis-server": REDIS}
LIBRARIES = {"libjemalloc.so.2": "libjemalloc2", "liblzf.so.1": "liblzf1", "libatomic.so.1": "libatomic1"}
"""Those of redis-server that a small Debian may lack."""
LOCK = ROOT / "requirements/bench.txt"


def provide() -> None:
    """Fetches what is not there."""
    for package, member in PACKAGES.items():
        if not member.exists():
            _debian().unpack(package, TOOLS)
    shown = subprocess.run(["ldd", str(REDIS)], env=environment(), capture_output=True, text=True, check=True)
    for library in re.findall(r"^\s*(\S+) => not found$", shown.stdout, flags=re.MULTILINE):
        _debian().unpack(LIBRARIES[library], TOOLS)
    _install_clients()


def environment() -> dict[str, str]:
    """For redis-server: where its libraries are."""
    folders = sorted((TOOLS / "root").glob("usr/lib/*-linux-gnu*"))
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(str(folder) for folder in folders)}


def versions() -> dict[str, str]:
    """Of the servers and clients, for the report."""
    said = {
        name: subprocess.run(
            [str(path), "--version"], env=environment(), capture_output=True, text=True, check=True
        )
        for name, path in (("nats-server", NATS), ("redis-server", REDIS))
    }
    found = {name: re.search(r"v=?(\d[\d.]*)", done.stdout) for name, done in said.items()}
    clients = re.findall(r"^(nats-py|redis|hiredis)==(\S+)", LOCK.read_text(), flags=re.MULTILINE)
    return {**{name: version[1] for name, version in found.items() if version}, **dict(clients)}


def _install_clients() -> None:
    stamp, wanted = CLIENTS / "stamp", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(CLIENTS, ignore_errors=True)
    options = ["--require-hashes", "--only-binary=:all:", "--no-deps", "--no-input", "--upgrade", "-q"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(CLIENTS), "-r", str(LOCK)]
    subprocess.run(command, check=True)
    stamp.write_text(wanted)


def _debian() -> ModuleType:
    sys.path.append(str(ROOT / "packaging/setup"))
    return importlib.import_module("debian")
