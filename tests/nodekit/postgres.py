"""Where do tests get a real PostgreSQL and psycopg from, and what is missing when they get none?

Installed ones, else Debian's packages unpacked into `.tools`. Nothing is installed and no service is started.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TOOLS = CHECKOUT / ".tools"
SECONDS = 120


class Missing(Exception):
    """The text says what is not there."""


def unpacked(package: str) -> None:
    """Raises Missing."""
    program = "import sys, pathlib, debian; debian.unpack(sys.argv[1], pathlib.Path(sys.argv[2]))"
    done = subprocess.run(
        [sys.executable, "-c", program, package, str(TOOLS)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / "packaging/setup")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Missing(f"{package} is not installed and cannot be fetched: {last}")


def psycopg() -> None:
    """Makes `import psycopg` work. Raises Missing."""
    packages = TOOLS / "root/usr/lib/python3/dist-packages"
    with contextlib.suppress(ImportError):
        __import__("psycopg")
        return
    if not (packages / "psycopg").is_dir():
        unpacked("python3-psycopg")
    sys.path.append(str(packages))
    try:
        __import__("psycopg")
    except ImportError as error:
        raise Missing(f"psycopg cannot be imported: {error}") from None


def programs() -> Path:
    """The folder of initdb and postgres. Raises Missing."""
    for attempt in range(2):
        for root in (Path("/"), TOOLS / "root"):
            for folder in sorted((root / "usr/lib/postgresql").glob("*/bin"), reverse=True):
                if runs(folder / "initdb") and runs(folder / "postgres"):
                    return folder
        if not attempt:
            unpacked("postgresql-15")
    raise Missing("PostgreSQL's programs do not run here: libraries that they need are not installed")


def runs(program: Path) -> bool:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return (
            subprocess.run([program, "--version"], capture_output=True, timeout=30, check=False).returncode
            == 0
        )
    return False


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A cluster of its own on a unix socket; yields what psycopg connects to."""
    bin = programs()
    psycopg()
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    # PostgreSQL refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    log = (folder / "log").open("wb")
    common = {"user": user, "cwd": "/", "stdout": log, "stderr": log, "env": {"LC_ALL": "C"}}
    running: subprocess.Popen[bytes] | None = None
    try:
        # No fsync: what is tested here is what the database decides, not what the disk keeps.
        made = [bin / "initdb", "-D", folder / "data", "-U", "test", "-A", "trust", "-N", "-E", "UTF8"]
        subprocess.run(made, check=True, timeout=SECONDS, **common)  # type: ignore[call-overload]
        settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        running = subprocess.Popen([bin / "postgres", "-D", folder / "data", *settings], **common)  # type: ignore[call-overload]
        yield f"host={folder} user=test dbname=postgres"
    finally:
        if running:
            running.terminate()
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
