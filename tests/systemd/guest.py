"""How is a whole machine on cgroup2 run, and what did it report?

QEMU without hardware acceleration, Debian's kernel and systemd: all is slow, Python about twenty times. So
the guest does what report.sh says by itself and writes lines "name value" to its second serial line.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.ground import wait_for
from tests.systemd import roots

LONGEST = 1500.0
KERNEL = (
    "root=/dev/vda console=ttyS0 systemd.unified_cgroup_hierarchy=1 psi=1 "
    "mitigations=off no_timer_check quiet"
)


@contextmanager
def _scratch() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="noded-guest-", dir="/tmp"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def report(debs: Path, nodes: Path) -> Mapping[str, str]:
    """Boots a guest, waits until it has switched itself off, and answers what it wrote."""
    host, tools = roots.host_root(), roots.tools_root()
    with _scratch() as scratch:
        _make_disk(host, scratch, debs, nodes, roots.program(tools, "usr/sbin/mke2fs"))
        lines = _run(tools, scratch)
    return dict(line.split(" ", 1) for line in lines if " " in line)


def _make_disk(root: Path, scratch: Path, debs: Path, nodes: Path, mke2fs: list[str]) -> None:
    command = [
        *("unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.systemd.image"),
        *(str(root), str(scratch), str(debs), str(nodes), *mke2fs),
    ]
    done = subprocess.run(
        command, cwd=roots.ROOT, capture_output=True, text=True, timeout=600, check=False, env=_environment()
    )
    if done.returncode:
        raise RuntimeError(f"the guest's disk was not made:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def _environment() -> dict[str, str]:
    # mke2fs shares this machine's settings otherwise, which may know options that ours does not.
    return os.environ | {"MKE2FS_CONFIG": "/dev/null"}


def _run(tools: Path, scratch: Path) -> list[str]:
    console, told = scratch / "console", scratch / "report"
    qemu = roots.program(tools, "usr/bin/qemu-system-x86_64")
    command = [
        *(*qemu, "-L", f"{tools}/usr/share/seabios", "-L", f"{tools}/usr/share/qemu"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "1024"),
        *("-kernel", f"{tools}/boot/vmlinuz", "-initrd", f"{tools}/boot/initrd.gz", "-append", KERNEL),
        *("-serial", f"file:{console}", "-serial", f"file:{told}"),
        *("-drive", f"if=none,id=d0,file={scratch}/disk,format=raw,cache=unsafe"),
        *("-device", "virtio-blk-pci,drive=d0"),
    ]
    # Its accelerator is a module, which it would look for in this machine's folders.
    modules = {"QEMU_MODULE_DIR": f"{tools}/usr/lib/x86_64-linux-gnu/qemu"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=os.environ | modules)
    try:
        wait_for(lambda: process.poll() is not None, "the guest to switch itself off", LONGEST, 0.5)
    except TimeoutError as late:
        raise RuntimeError(f"{late}\n{_end(told)}\n{_end(console)}") from late
    finally:
        process.kill()
        process.wait()
    found = told.read_text(errors="replace").splitlines()
    if "end of" not in " ".join(found[-3:]):
        raise RuntimeError(f"the guest went before it was through:\n{_end(told)}\n{_end(console)}")
    return found


def _end(path: Path) -> str:
    return path.read_text(errors="replace")[-3000:] if path.exists() else "nothing was written"
