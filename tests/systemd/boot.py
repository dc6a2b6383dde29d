"""Becomes a booted host: groups and mounts of its own, then systemd-nspawn. Run under `unshare --mount`.

    boot.py NAME ROOT SCRATCH COMMAND...     COMMAND is systemd-nspawn as it can be called here

Its own groups are joined first: that keeps systemd in the host out of the machine's groups. Everything
mounted here goes with the mount namespace.
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

# systemd-nspawn mounts the v1 controllers read-only, and systemd then says it limits and does not. They are
# rooted at the host's own groups, so it may have them.
FIRST = """\
#!/bin/sh
for group in memory cpu cpuacct cpuset pids freezer devices blkio; do
    if [ -d /sys/fs/cgroup/$group ]; then mount -o remount,bind,rw /sys/fs/cgroup/$group; fi
done
exec /sbin/init
"""


def group_mounts() -> list[Path]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(line.split()[4]) for line in lines if line.partition(" - ")[2].startswith("cgroup")]


def main() -> None:
    name, root, scratch, *command = sys.argv[1:]
    for mount in group_mounts():
        join(mount, mount / name)
    mount_root(Path(root), Path(scratch))
    # What systemd-nspawn leaves behind in /run is not the machine's business.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    merged = f"{scratch}/merged"
    first = Path(merged, "first")
    first.write_text(FIRST)
    first.chmod(0o755)
    os.execvp(
        command[0],
        [
            *command,
            *("--quiet", f"--directory={merged}", f"--machine={name}", "--register=no", "--keep-unit"),
            *("--console=read-only", "--kill-signal=SIGRTMIN+3", "--private-network", "/first"),
        ],
    )


def join(mount: Path, group: Path) -> None:
    group.mkdir(exist_ok=True)
    for key in ("cpuset.cpus", "cpuset.mems"):  # On v1 nobody can join while these are empty.
        if (mount / key).exists() and not (group / key).read_text().strip():
            (group / key).write_text((mount / key).read_text())
    if (mount / "cgroup.subtree_control").exists():
        for controller in (mount / "cgroup.controllers").read_text().split():
            with suppress(OSError):
                (mount / "cgroup.subtree_control").write_text(f"+{controller}")
    (group / "cgroup.procs").write_text(str(os.getpid()))


def mount_root(root: Path, scratch: Path) -> None:
    for part in ("upper", "work", "merged"):
        (scratch / part).mkdir(exist_ok=True)
    layers = f"lowerdir={root},upperdir={scratch}/upper,workdir={scratch}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, f"{scratch}/merged"], check=True)


if __name__ == "__main__":
    main()
