"""How does systemd read our units on this machine, without installing them?"""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
NAMES = sorted(path.name for path in UNITS.iterdir() if path.suffix in (".service", ".slice"))
# Units of systemd that ours name. What is in them does not matter here.
TARGETS = ("basic", "multi-user", "network", "shutdown", "slices", "sysinit")
PROGRAMS = (
    *(f"usr/lib/noded/bin/{name}" for name in ("noded", "noded-launcher", "noded-mesh")),
    "usr/lib/noded/noded-nodes",
    "usr/sbin/haproxy",
    "bin/sh",
)


def analyze() -> str:
    """The program itself: tests that need it fail without it and say what to do."""
    found = shutil.which("systemd-analyze", path=f"{ROOT / '.tools/bin'}:{os.environ.get('PATH', '')}")
    if found is None:
        raise RuntimeError("no systemd-analyze: run make setup, or install the package systemd")
    return found


def lay_out(root: Path) -> Path:
    """A tree with our units and a stand-in for everything they start. Answers the folder of the units."""
    folder = root / "usr/lib/systemd/system"
    folder.mkdir(parents=True)
    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    for name in TARGETS:
        (folder / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    for name in NAMES:
        shutil.copy(UNITS / name, folder)
    for name in PROGRAMS:
        program = root / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return folder


def verify(root: Path, *names: str) -> str:
    """What systemd complains about, "" when it does not."""
    command = [analyze(), "verify", f"--root={root}", "--man=no", "--recursive-errors=yes", *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr.strip() or ("" if done.returncode == 0 else f"ended with {done.returncode}")


def exposure(root: Path, name: str) -> float:
    """systemd's score from 0 (nothing exposed) to 10."""
    command = [analyze(), "security", f"--root={root}", "--offline=yes", "--no-pager", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    last = done.stdout.strip().splitlines()[-1]
    return float(last.partition(": ")[2].split()[0])


def settings(name: str) -> dict[str, list[str]]:
    """`Section.Key` to its values, in the order they stand."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in (UNITS / name).read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(f"{section}.{key}", []).append(value)
    return found
