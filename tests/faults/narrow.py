"""A test host whose state and logs lie on small disks of their own, which nobody else on the machine sees.

A process that sleeps holds a mount namespace; launcher and noded are started inside it. From outside its
files are found below /proc/PID/root.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from tests.e2e import host as hosts
from tests.e2e.host import NODED_UID, Host

LAID_OUT = """
mount -t tmpfs -o "size=$1,mode=755,uid=$4,gid=$4" noded-t "$3/state" && mkdir "$3/state/data" &&
mount -t tmpfs -o "size=$2,mode=751,gid=$4" noded-t "$3/logs" &&
chgrp "$4" "$3/state/data" && chmod 751 "$3/state/data" && echo there && exec sleep 1000
"""


@dataclass
class NarrowHost(Host):
    holder: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        return self.seen(super().state)

    @property
    def logs(self) -> Path:
        return self.seen(self.folder / "logs")

    def seen(self, path: Path) -> Path:
        assert self.holder is not None
        return Path(f"/proc/{self.holder.pid}/root{path}")

    def _spawn(self, name: str, command: Sequence[str], *, uid: int = NODED_UID) -> None:
        assert self.holder is not None
        inside = ["nsenter", "--mount", f"--target={self.holder.pid}", f"--wd={self.folder}"]
        if uid:
            inside += ["setpriv", f"--reuid={uid}", f"--regid={NODED_UID}", "--clear-groups"]
        super()._spawn(name, [*inside, *command], uid=0)

    def close(self, keep: bool = False) -> None:
        super().close(keep)
        if self.holder is not None:
            self.holder.kill()
            self.holder.wait(10)


@contextmanager
def narrow_host(state: str, logs: str, settings: str) -> Iterator[NarrowHost]:
    """`settings` is added to noded.toml."""
    made = hosts.make("ndn")
    host = NarrowHost(*(getattr(made, field.name) for field in fields(Host)))
    with (host.folder / "etc/noded.toml").open("a") as file:
        file.write(settings)
    script = ["sh", "-c", LAID_OUT, "sh", state, logs, str(host.folder), str(NODED_UID)]
    host.holder = subprocess.Popen(
        ["unshare", "--mount", *script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        assert host.holder.stdout is not None
        assert host.holder.stdout.readline() == b"there\n"
        host.start()
        yield host
    finally:
        host.close()


def fill(path: Path, leave: int = 0) -> Path:
    """Write until the disk takes no more, or has only so much left."""
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            found = os.statvfs(path)
            spare = found.f_bavail * found.f_frsize - leave
            if leave and spare < 4096:
                return path
            file.write(bytes(min(2**20, spare // 4096 * 4096) if spare >= 4096 else 4096))
    return path
