"""In what surroundings does code of a node run here?

bubblewrap: no network but an own loopback, the release read-only, no home, hardly any /etc, no capability,
own process ids. Where it is missing or may not make namespaces, rlimits remain, and the report says "none".
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RELEASE = "/node"
SHARED = "/run/node"
DATA = "/data"
TMP_BYTES = 256 << 20
PROBE_SECONDS = 10.0
ETC = {
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "passwd": "node:x:{uid}:{gid}:node:/tmp:/usr/sbin/nologin\n",
    "group": "node:x:{gid}:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
KEPT_ETC = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")

Level = Literal["bubblewrap", "none"]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """`python` is the node's interpreter; `folders` are read besides the release, such as the SDK's."""

    bwrap: str
    python: str
    folders: tuple[str, ...]
    etc: Path

    @property
    def level(self) -> Level:
        return "bubblewrap" if self.bwrap else "none"

    def release(self, tree: Path) -> str:
        """Where the code sees the release."""
        return RELEASE if self.bwrap else str(tree)

    def shared(self, folder: Path) -> str:
        """Where the code sees the one folder it shares with the worker: for its listening socket."""
        return SHARED if self.bwrap else str(folder)

    def command(self, tree: Path, shared: Path, words: list[str]) -> list[str]:
        """Runs `words` in the release. A bare "python3" is the node's interpreter."""
        words = [self.python if words[0] in {"python", "python3"} else words[0], *words[1:]]
        if not self.bwrap:
            return words
        return [*self._enclosed(), "--ro-bind", str(tree), RELEASE, "--bind", str(shared), SHARED,
                "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", RELEASE, "--", *words]  # fmt: skip

    def environment(self, shared: Path) -> dict[str, str]:
        """Nothing of the worker's own environment passes."""
        scratch = {"HOME": "/tmp", "TMPDIR": "/tmp", "NODED_DATA": DATA}
        if not self.bwrap:
            scratch = dict.fromkeys(scratch, str(shared))
        return {
            "PATH": f"{Path(self.python).parent}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            **scratch,
        }

    def _enclosed(self) -> list[str]:
        words = [self.bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
                 "--hostname", "sandbox", "--ro-bind", "/usr", "/usr"]  # fmt: skip
        for link in LINKS:
            if os.path.islink(link):
                words += ["--symlink", os.readlink(link), link]
            elif os.path.isdir(link):
                words += ["--ro-bind", link, link]
        words += ["--proc", "/proc", "--dev", "/dev"]
        for folder in ("/dev/shm", "/tmp", DATA):
            words += ["--size", str(TMP_BYTES), "--tmpfs", folder]
        for name in ETC:
            words += ["--ro-bind", str(self.etc / name), f"/etc/{name}"]
        for path in KEPT_ETC:
            words += ["--ro-bind-try", path, path]
        for folder in self.folders:
            words += ["--ro-bind", folder, folder]
        return words


def open_sandbox(python: str, folders: tuple[str, ...], work: Path) -> Sandbox:
    """`work` is the worker's own folder. Tries the enclosure once, with the node's interpreter."""
    etc = work / "etc"
    etc.mkdir()
    for name, text in ETC.items():
        (etc / name).write_text(text.format(uid=os.getuid(), gid=os.getgid()), "ascii")
    needed = tuple(dict.fromkeys(f for f in (*_prefixes(python), *folders) if not _inside(f, "/usr")))
    bwrap = os.environ.get("NODED_BWRAP") or shutil.which("bwrap") or ""
    sandbox = Sandbox(bwrap, python, needed, etc)
    return sandbox if bwrap and _works(sandbox, work) else Sandbox("", python, needed, etc)


def _prefixes(python: str) -> list[str]:
    """Where an interpreter lives: its own folder, and for a virtual environment the one it was made from."""
    found = []
    for binary in (Path(python), Path(python).resolve()):
        prefix = binary.parent.parent
        found.append(str(prefix))
        settings = prefix / "pyvenv.cfg"
        if settings.is_file():
            for line in settings.read_text("utf-8", "replace")[:65536].splitlines():
                key, _, value = line.partition("=")
                if key.strip() == "home":
                    found.append(str(Path(value.strip()).parent))
    return [folder for folder in found if folder != "/"]


def _inside(path: str, folder: str) -> bool:
    return Path(path).resolve().is_relative_to(folder)


def _works(sandbox: Sandbox, work: Path) -> bool:
    words = sandbox.command(work / "etc", work / "etc", ["python3", "-I", "-c", "pass"])
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_SECONDS,
            env=sandbox.environment(work),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
