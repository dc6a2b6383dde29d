"""What do the wheels of a requirements file unpack to?

pip unpacks them in a scratch folder, for root as the user nobody, and runs nothing of them. What comes out is
read without following links and cleaned of what differs from one time to the next, so that the same
wheels are the same bytes.
"""

import csv
import io
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from nodectl.failures import Exit, Failure
from nodectl.text import clean
from nodespec.scan import Scan
from nodespec.tree import MOST_BYTES, Kind, ReleaseError, refuse_if

PATH = "/usr/local/bin:/usr/bin:/bin"
LONGEST = 300.0
"""Seconds for pip, with what it fetches."""
PROBE = 20.0
LARGEST = 4 * MOST_BYTES
"""Bytes in the scratch folder: the wheels as they came, and unpacked."""
LARGEST_OUTPUT = 1024 * 1024
SHOWN_LINES = 12
GLANCE = 0.3
PASSED = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST"),
    *(
        "PIP_CERT",
        "PIP_CLIENT_CERT",
        "PIP_PROXY",
        "PIP_TIMEOUT",
        "PIP_DEFAULT_TIMEOUT",
        "PIP_RETRIES",
        "PIP_CONFIG_FILE",
    ),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
)
"""Where to fetch from. What may come is decided by the hashes alone."""
INSTALL = (
    *("-I", "-m", "pip", "install", "--only-binary", ":all:", "--require-hashes", "--no-compile"),
    *("--no-input", "--no-cache-dir", "--disable-pip-version-check", "--no-warn-script-location"),
    *("--progress-bar", "off"),
)
LOOK = (
    "import json, sys, sysconfig, pip; version = '%d.%d' % sys.version_info[:2]; "
    "print(json.dumps([sys.executable, version, sysconfig.get_platform(), pip.__version__]))"
)
LEFT_OUT = frozenset({"INSTALLER", "REQUESTED", "direct_url.json"})
"""Of a .dist-info: how and from where it was installed, which nothing reads when it runs."""

Files = dict[str, tuple[bytes, bool]]


@dataclass(frozen=True, slots=True)
class Python:
    path: str
    version: str
    platform: str
    pip: str


def find_python(given: str) -> Python:
    """The one that nodes run unless one is named. Raises Failure."""
    path = given or shutil.which("python3", path=PATH)
    if not path:
        raise Failure(f"no python3 in {PATH}", Exit.FAILED, "apt install python3, or --python PATH")
    with _scratch() as folder:
        code, output = _run([path, "-I", "-c", LOOK], folder, PROBE)
    # before its last line it may have warned of something
    with suppress(ValueError, TypeError, IndexError):
        itself, version, platform, pip = map(str, json.loads(output.splitlines()[-1] if code == 0 else ""))
        return Python(itself, version, platform, f"pip {pip}")
    if "No module named" in output and "pip" in output:
        raise Failure(f"{path} has no pip", Exit.FAILED, "apt install python3-pip, or another --python PATH")
    raise Failure(f"{path} is no Python that can unpack wheels:\n{_end_of(output)}", Exit.USAGE)


def unpacked(requirements: bytes, python: Python) -> Files:
    """Raises Failure with what pip says."""
    with _scratch() as folder:
        (folder / "requirements.txt").write_bytes(requirements)
        (folder / "requirements.txt").chmod(0o644)
        words = [python.path, *INSTALL, "--target", "site", "--requirement", "../requirements.txt"]
        code, output = _run(words, folder, LONGEST)
        if code != 0:
            raise Failure(f"pip cannot unpack the requirements:\n{_end_of(output)}", Exit.FAILED)
        return _cleaned(_taken_back(folder / "work"), python.path)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder of ours that pip can read, and in it `work`, where it may write."""
    folder = Path(tempfile.mkdtemp(prefix="noded-wheels-"))
    try:
        folder.chmod(0o711)
        (folder / "work").mkdir(mode=0o700)
        owner = _nobody()
        if owner is not None:
            os.chown(folder / "work", owner.pw_uid, owner.pw_gid, follow_symlinks=False)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _taken_back(work: Path) -> Path:
    """Nobody else who runs as nobody may put another folder in its place while it is read."""
    os.chown(work, os.geteuid(), os.getegid(), follow_symlinks=False)
    site = work / "site"
    if not stat.S_ISDIR(site.lstat().st_mode):
        raise Failure("pip left a link where it should unpack", Exit.FAILED)
    return site


def _nobody() -> pwd.struct_passwd | None:
    """Whom root becomes for this; others stay who they are."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise Failure("there is no user nobody to unpack wheels as", Exit.FAILED) from None


def _run(words: list[str], folder: Path, seconds: float) -> tuple[int, str]:
    """The exit code and what was printed. Everything it started in its session is ended with it."""
    owner, work = _nobody(), folder / "work"
    who: dict[str, Any] = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    env = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": str(work), "TMPDIR": str(work)}
    env |= {name: os.environ[name] for name in PASSED if name in os.environ}
    with tempfile.TemporaryFile() as out:
        try:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=work,
                                       env=env, start_new_session=True, umask=0o022, **who)  # fmt: skip
        except OSError as error:
            raise Failure(f"cannot run {words[0]}: {error.strerror}", Exit.FAILED, "--python PATH") from None
        try:
            code = _awaited(process, work, out, seconds)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        return code, out.read(LARGEST_OUTPUT).decode(errors="replace")


def _awaited(process: subprocess.Popen[bytes], work: Path, out: IO[bytes], seconds: float) -> int:
    end = time.monotonic() + seconds
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(GLANCE)
        if time.monotonic() > end:
            raise Failure(f"the wheels were not there within {seconds:.0f} s", Exit.OUT_OF_TIME)
        if os.fstat(out.fileno()).st_size > LARGEST_OUTPUT:
            raise Failure(f"pip printed more than {LARGEST_OUTPUT // 1024} KiB", Exit.FAILED)
        if _bytes_in(work) > LARGEST:
            raise Failure(f"the wheels hold more than {LARGEST // 1024**2} MiB", Exit.FAILED)


def _bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _cleaned(site: Path, python: str) -> Files:
    scan = Scan(source=True)
    scan.walk(site)
    links = [path for path, entry in scan.tree.items() if entry.kind is Kind.LINK]
    try:
        refuse_if("the requirements", scan.mistakes)
    except ReleaseError as error:
        raise Failure(f"the wheels do not fit into a release:\n{error}", Exit.FAILED) from None
    if links:
        raise Failure(f"a wheel holds a link: {links[0]}", Exit.FAILED)
    found: Files = {}
    for path, content in sorted(scan.contents.items()):
        folder, _, name = path.rpartition("/")
        if folder.endswith(".dist-info") and name in LEFT_OUT:
            continue
        text = _movable(content, python) if folder == "bin" else content
        found[path] = (text, scan.tree[path].mode == 0o755)
    for path in [path for path in found if path.endswith(".dist-info/RECORD")]:
        found[path] = (_record(found[path][0], found), False)
    return found


def _movable(script: bytes, python: str) -> bytes:
    """A script that takes the node's Python, wherever the release lies."""
    first, _, rest = script.partition(b"\n")
    if first == b"#!/bin/sh" and rest.startswith(b"'''exec' "):
        # how pip writes the way to an interpreter that is too long for the kernel
        rest = rest.split(b"\n", 2)[2]
    elif not first.startswith(b"#!" + python.encode()):
        return script
    return b"#!/usr/bin/env python3\n" + rest


def _record(content: bytes, files: Mapping[str, object]) -> bytes:
    """Sorted, of what is there, and without what was changed here: scripts."""
    rows = csv.reader(io.StringIO(content.decode(errors="replace"), newline=""))
    kept = sorted(row for row in rows if row and row[0] in files and not row[0].startswith("bin/"))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(kept)
    return text.getvalue().encode()


def _end_of(output: str) -> str:
    lines = [line for line in clean(output).splitlines() if line.strip()]
    return "\n".join(f"  {line[:500]}" for line in lines[-SHOWN_LINES:]) or "  it printed nothing"
