"""How is `.venv` made from the lock files, also where Python has neither pip nor ensurepip?"""

import configparser
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from debian import Failed, run, say, unpack

LOCKS = ("runtime.txt", "regenerate.txt", "dev.txt")
SOURCE_ROOTS = ("daemon", "proto", "nodes")
# The kernel splits "#!" lines at spaces and cuts them at 127 bytes, so a shell finds the interpreter;
# to Python the second and third line are a string.
SCRIPT = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys

from {module} import {function}

if __name__ == "__main__":
    sys.exit({function}())
"""


def is_current(checkout: Path) -> bool:
    stamp = checkout / ".venv" / "stamp"
    try:
        return stamp.read_text() == _wanted(checkout)
    except FileNotFoundError:
        return False


def build(checkout: Path) -> None:
    venv = checkout / ".venv"
    (venv / "stamp").unlink(missing_ok=True)
    if not _is_usable(venv):
        say(f"making .venv with {sys.executable} ({sys.version.split()[0]})")
        run([sys.executable, "-m", "venv", "--clear", "--without-pip", venv])
    say("installing the locked packages")
    _install(checkout, venv)
    site = next((venv / "lib").glob("python3.*")) / "site-packages"
    (site / "noded-sources.pth").write_text("".join(f"{checkout / root}\n" for root in SOURCE_ROOTS))
    _write_scripts(checkout, venv)
    _warn_unless_reachable(venv)
    (venv / "stamp").write_text(_wanted(checkout))
    say(".venv is ready")


def _wanted(checkout: Path) -> str:
    """What the environment was made of: interpreter, place, locks, console scripts, and this recipe."""
    parts = [sys.executable, sys.version, str(checkout), *_console_scripts(checkout)]
    files = [*(checkout / "requirements" / name for name in LOCKS), Path(__file__)]
    parts += [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest() + "\n"


def _is_usable(venv: Path) -> bool:
    """False when the checkout was moved (its scripts name the interpreter) or Python was replaced."""
    python, notes = venv / "bin" / "python", venv / "pyvenv.cfg"
    if not (python.exists() and notes.exists()):
        return False
    lines = notes.read_text().splitlines()
    made_here = any(line.startswith("command = ") and line.endswith(f" {venv}") for line in lines)
    version = [str(python), "-c", "import sys; print(sys.version)"]
    done = subprocess.run(version, text=True, capture_output=True, timeout=60, check=False)
    same_base = f"executable = {os.path.realpath(sys.executable)}" in lines
    return made_here and same_base and done.stdout == f"{sys.version}\n"


def _install(checkout: Path, venv: Path) -> None:
    locks = [word for name in LOCKS for word in ("-r", str(checkout / "requirements" / name))]
    options = ["--require-hashes", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "-q"]
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONHOME", "PYTHONPATH")}
    environment["PYTHONPATH"] = str(_pip_wheel(checkout))
    environment["PIP_USER"] = "0"
    run([venv / "bin" / "python", "-m", "pip", "install", *options, *locks], cwd=checkout, env=environment)


def _pip_wheel(checkout: Path) -> Path:
    """A wheel of pip is importable as it is: the interpreter's own, Debian's, or one fetched for us."""
    tools = checkout / ".tools"
    found = (
        _bundled_pip()
        or _newest(Path("/usr/share/python-wheels"))
        or _newest(tools / "root/usr/share/python-wheels")
    )
    if found is None:
        say("no pip here: fetching Debian's python3-pip-whl")
        tools.mkdir(exist_ok=True)
        unpack("python3-pip-whl", tools)
        found = _newest(tools / "root/usr/share/python-wheels")
    if found is None:
        raise Failed("no pip found and the Debian package python3-pip-whl holds none: install python3-venv")
    return found


def _bundled_pip() -> Path | None:
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    return _newest(Path(spec.origin).parent / "_bundled")


def _newest(folder: Path) -> Path | None:
    wheels = sorted(folder.glob("pip-*.whl"))
    return wheels[-1] if wheels else None


def _write_scripts(checkout: Path, venv: Path) -> None:
    for line in _console_scripts(checkout):
        name, target = (part.strip() for part in line.split("="))
        module, function = target.split(":")
        script = venv / "bin" / name
        script.write_text(SCRIPT.format(python=venv / "bin" / "python", module=module, function=function))
        script.chmod(0o755)


def _console_scripts(checkout: Path) -> list[str]:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(checkout / "setup.cfg")
    return settings.get("options.entry_points", "console_scripts", fallback="").strip().splitlines()


def _warn_unless_reachable(venv: Path) -> None:
    python = Path(os.path.realpath(sys.executable))
    for folder in (*venv.parents, *python.parents):
        if not folder.stat().st_mode & 0o001:
            say(f"note: other users cannot enter {folder}: nodes can only run as the present user")
            return
