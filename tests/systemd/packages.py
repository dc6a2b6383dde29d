"""How do test hosts come by packages? Built once per run; a newer version is the same anew."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.systemd.roots import ROOT

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


def build(into: Path, checkout: Path = ROOT) -> None:
    command = [sys.executable, str(checkout / "packaging/deb/build.py"), "--output", str(into)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=1200, check=False, env=os.environ | EPOCH
    )
    if done.returncode:
        raise RuntimeError(f"make deb failed:\n{done.stdout}{done.stderr}")


def with_version(packages: Path, version: str, into: Path) -> None:
    """The same packages under another version, without building their content again."""
    into.mkdir(parents=True)
    for package in packages.glob("*.deb"):
        name, old, kind = package.stem.split("_")
        with tempfile.TemporaryDirectory(dir=into) as scratch:
            tree = Path(scratch) / "tree"
            _run("dpkg-deb", "--raw-extract", str(package), str(tree))
            control = tree / "DEBIAN/control"
            control.write_text(
                control.read_text()
                .replace(f"Version: {old}\n", f"Version: {version}\n")
                .replace(f"(= {old})", f"(= {version})")
            )
            target = into / f"{name}_{version}_{kind}.deb"
            _run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(target))


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=300)
