"""How does a Debian package get into the checkout without being installed?

`apt-get download` and `dpkg-deb` run as any user, change nothing in the system and start no service.
Signatures are apt's own: it checks the package against the signed lists.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

# The host's hooks (package caches, desktop notifications) would act outside the checkout.
WITHOUT_HOOKS = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
Acquire::Retries "3";
"""
SECONDS = 600


class Failed(Exception):
    """A step of the set-up did not work; the text says which and what to do."""


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def run(command: Sequence[str | Path], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run to the end and return standard output; raises Failed with the last lines of standard error."""
    shown = " ".join(str(word) for word in command[:3])
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError as missing:
        raise Failed(f"{shown}: {missing.filename} not found") from missing
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{shown}: not finished after {SECONDS} s") from late
    if done.returncode:
        tail = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise Failed(f"{shown} ... ended with {done.returncode}:\n  {tail}")
    return done.stdout


def unpack(package: str, tools: Path, members: Sequence[str] = ()) -> None:
    """Unpack the package (or only its named members, as "./usr/bin/x") into `tools`/root."""
    root = tools / "root"
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tools, prefix="deb-") as scratch:
        archive = _download(package, tools, Path(scratch))
        if not members:
            run(["dpkg-deb", "-x", archive, root])
            return
        tar = Path(scratch) / "files.tar"
        with tar.open("wb") as out:
            subprocess.run(
                ["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=out, check=True, timeout=SECONDS
            )
        run(["tar", "-x", "--no-same-owner", "-f", tar, "-C", root, *members])


def _download(package: str, tools: Path, into: Path) -> Path:
    if shutil.which("apt-get") is None:
        raise Failed(f"{package}: this is no Debian system (apt-get not found)")
    into.chmod(0o755)
    options = _options(tools)
    try:
        run(["apt-get", *options, "-q", "download", package], cwd=into)
    except Failed:  # no lists at all, or lists older than the archive: fetch private ones
        private = _private_lists(tools)
        run(["apt-get", *options, *private, "-q", "update"], cwd=into)
        run(["apt-get", *options, *private, "-q", "download", package], cwd=into)
    found = sorted(into.glob("*.deb"))
    if not found:
        raise Failed(f"apt-get download {package} left no .deb file")
    return found[0]


def _options(tools: Path) -> list[str]:
    configuration = tools / "apt.conf"
    configuration.write_text(WITHOUT_HOOKS)
    # apt as root would drop to user _apt, who may not write below a home folder.
    return ["-c", str(configuration), "-o", "APT::Sandbox::User=root"]


def _private_lists(tools: Path) -> list[str]:
    lists, cache = tools / "apt" / "lists", tools / "apt" / "cache"
    for folder in (lists, cache):
        (folder / "partial").mkdir(parents=True, exist_ok=True)
        (folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
