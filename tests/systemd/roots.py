"""What do test hosts consist of? Two folders of Debian packages, built once and kept in `.tools/testbed`.

One is what a host has before noded is installed; the other holds what runs hosts: systemd-nspawn, QEMU, a
kernel. Nothing is installed on this machine: programs are started where they lie, with their own libraries.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".tools/testbed"
SECONDS = 1200
HOST = (
    "systemd systemd-sysv dbus udev kmod procps util-linux login iproute2 python3 ca-certificates haproxy "
    "bubblewrap"
).split()
TOOLS = "systemd-container qemu-system-x86 busybox-static kmod cpio e2fsprogs".split()
DEBIAN = (
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian bookworm-updates main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
)
# What a host for tests does not need and what would only make it busy.
MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service "
    "fstrim.timer haproxy.service console-getty.service getty@tty1.service"
).split()


def need_root() -> None:
    if os.geteuid() != 0:
        raise RuntimeError("make test-systemd boots hosts: it needs root (mounts, cgroups, namespaces)")


def host_root() -> Path:
    return _provide("host", HOST, "customize-host.sh")


def tools_root() -> Path:
    return _provide("tools", TOOLS, "customize-tools.sh")


def program(tools: Path, path: str) -> list[str]:
    """How a program of the tools is called: by its own loader, with its own libraries."""
    libraries = tools / "usr/lib/x86_64-linux-gnu"
    return [
        *(str(tools / "lib64/ld-linux-x86-64.so.2"), "--library-path", f"{libraries}:{libraries}/systemd"),
        *("--argv0", Path(path).name, str(tools / path)),
    ]


def _provide(name: str, packages: list[str], script: str) -> Path:
    need_root()
    if os.uname().machine != "x86_64":
        raise RuntimeError(f"make test-systemd knows only x86_64, not {os.uname().machine}")
    hook = Path(__file__).with_name(script)
    recipe = "\n".join((*packages, *DEBIAN, *MASKED, hook.read_text()))
    place = CACHE / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            for old in (*CACHE.glob(f"{name}-*"), *CACHE.glob(f"new-{name}-*")):
                shutil.rmtree(old)
            _build(place, packages, hook)
    return place


def _build(place: Path, packages: list[str], hook: Path) -> None:
    print(f"building {place.name}: {len(packages)} packages and what they need; once, about two minutes")
    fresh = place.with_name(f"new-{place.name}")
    shutil.rmtree(fresh, ignore_errors=True)
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("man", "doc", "locale")]
    command = [
        *(*_mmdebstrap(), "--mode=root", "--variant=minbase", "--format=directory", "--quiet"),
        *('--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Retries "3"', *excluded),
        *(f"--include={','.join(packages)}", f"--customize-hook=sh {hook} $1 {' '.join(MASKED)}"),
        *("bookworm", str(fresh), *_sources()),
    ]
    environment = os.environ | {"PATH": f"{Path(command[1]).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(f"mmdebstrap did not build {place.name}:\n{done.stderr[-4000:]}")
    fresh.rename(place)


def _mmdebstrap() -> list[str]:
    """It is Perl and runs where it lies."""
    found = shutil.which("mmdebstrap")
    unpacked = ROOT / ".tools/root/usr/bin/mmdebstrap"
    if found is None and not unpacked.exists():
        sys.path.insert(0, str(ROOT / "packaging/setup"))
        from debian import unpack

        unpack("mmdebstrap", ROOT / ".tools")
    return ["perl", found or str(unpacked)]


def _sources() -> list[str]:
    """This machine's mirrors of bookworm when it is one itself, else Debian's."""
    own = Path("/etc/apt/sources.list.d/debian.sources")
    if own.exists() and "bookworm" in own.read_text():
        return [str(own)]
    return list(DEBIAN)
