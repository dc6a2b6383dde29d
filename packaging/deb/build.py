"""How do the sources become noded-runtime, noded and nodectl, packages for Debian 12?

The locked wheels and our packages are laid out as they will lie in /usr/lib/noded; debhelper does the rest.
Runs as any user and writes only to `build` and `dist` of the checkout; debhelper and dpkg-dev are fetched
into `.tools` where they are not installed.
"""

import argparse
import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
from email.utils import formatdate
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "packaging/setup"))

import runtime_tree  # noqa: E402
import tools  # noqa: E402
from debian import Failed, run, say  # noqa: E402

UNITS = (
    "noded.service",
    "noded-launcher.service",
    "noded-mesh.service",
    "noded-nodes.service",
    "noded-proxy.service",
    "noded.slice",
)
PACKAGED = ("noded.sysusers", "noded.tmpfiles")
VERSION = re.compile(r"[0-9][A-Za-z0-9.+~]*")
PYTHON = (3, 11)


def main() -> int:
    parser = argparse.ArgumentParser("make deb", description="Build the .deb packages into dist/.")
    parser.add_argument("--version", default=_version(), help="instead of the version in setup.cfg")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "dist")
    given = parser.parse_args()
    if not VERSION.fullmatch(given.version):
        raise Failed(f"--version {given.version}: expected a version of Debian such as 0.1.0 or 0.1.1~rc1")
    if sys.version_info[:2] != PYTHON:
        raise Failed(f"make deb needs Python 3.11, as in Debian 12; .venv has {sys.version.split()[0]}")
    os.umask(0o022)
    (CHECKOUT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="deb-", dir=CHECKOUT / "build") as scratch:
        _build(Path(scratch) / f"noded-{given.version}", given.version)
        given.output.mkdir(parents=True, exist_ok=True)
        for package in sorted(Path(scratch).glob("*.deb")):
            shutil.copy(package, given.output / package.name)
            say(f"{given.output / package.name}: {package.stat().st_size / 1e6:.1f} MB")
    return 0


def _version() -> str:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(CHECKOUT / "setup.cfg")
    return settings.get("metadata", "version")


def _epoch() -> int:
    """When the last change was made: files in the packages bear this date, so that builds are alike."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdecimal():
        return int(given)
    command = ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    except OSError:
        told = ""
    return int(told) if told.isdecimal() else int((CHECKOUT / "CHANGELOG.md").stat().st_mtime)


def _write_debian(source: Path, version: str, epoch: int) -> None:
    debian = source / "debian"
    shutil.copytree(CHECKOUT / "packaging/debian", debian)
    shutil.copytree(CHECKOUT / "packaging/etc", source / "etc")
    (source / "units").mkdir()
    for name in UNITS:
        shutil.copy(CHECKOUT / "systemd" / name, source / "units")
    for name in PACKAGED:
        shutil.copy(CHECKOUT / "systemd" / name, debian)
    for path in (CHECKOUT / "LICENSE", CHECKOUT / "systemd/noded-nodes"):
        shutil.copy(path, source)
    (source / "noded-nodes").chmod(0o755)
    (debian / "changelog").write_text(
        f"noded ({version}) bookworm; urgency=medium\n\n  * See CHANGELOG.md.\n\n"
        f" -- noded <noded@localhost>  {formatdate(epoch)}\n"
    )
    (debian / "rules").chmod(0o755)


def _build(source: Path, version: str) -> None:
    epoch = _epoch()
    runtime_tree.lay_out(CHECKOUT, source / "tree")
    _write_debian(source, version, epoch)
    say("building the packages")
    environment = tools.environment(CHECKOUT) | {"SOURCE_DATE_EPOCH": str(epoch), "LC_ALL": "C.UTF-8"}
    # Build dependencies are what tools.py has seen to: dpkg's own check looks at installed packages only.
    run(["dpkg-buildpackage", "-us", "-uc", "-b", "-d", "-nc", "-ui"], cwd=source, env=environment)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failed, OSError) as failure:
        print(f"make deb: {failure}", file=sys.stderr)
        sys.exit(1)
