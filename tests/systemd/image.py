"""Makes the disk of a guest: a host's root with the packages installed. Run under `unshare --mount`.

    image.py ROOT SCRATCH DEBS NODES MKE2FS...     leaves SCRATCH/disk

The packages are installed without a running systemd, as in an image that is made for many machines.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.systemd.boot import mount_root

SIZE = "3G"
REPORT = """\
[Unit]
Description=what the tests want to know of this guest
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/sh /srv/report.sh
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
TimeoutStartSec=infinity
ExecStopPost=/bin/systemctl poweroff --no-block

[Install]
WantedBy=graphical.target
"""
# An emulated machine is slow enough to be taken for one that hangs.
PATIENCE = """\
[Service]
TimeoutStartSec=300
WatchdogSec=200
"""


def main() -> None:
    root, scratch, debs, nodes, *mke2fs = sys.argv[1:]
    mount_root(Path(root), Path(scratch))
    merged = Path(scratch) / "merged"
    shutil.copytree(debs, merged / "srv/debs")
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
    packages = sorted(f"/srv/debs/{name}" for name in os.listdir(debs))
    subprocess.run(["chroot", str(merged), "dpkg", "--install", *packages], env=environment, check=True)
    shutil.rmtree(merged / "srv/debs")
    shutil.copytree(nodes, merged / "srv/nodes")
    shutil.copy(Path(__file__).with_name("report.sh"), merged / "srv")
    (merged / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 0\n")
    (merged / "etc/systemd/system/report.service").write_text(REPORT)
    patience = merged / "etc/systemd/system/noded.service.d/patience.conf"
    patience.parent.mkdir()
    patience.write_text(PATIENCE)
    subprocess.run(["chroot", str(merged), "systemctl", "--quiet", "enable", "report.service"], check=True)
    disk = f"{scratch}/disk"
    options = ["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", str(merged), disk, SIZE]
    subprocess.run([*mke2fs, *options], check=True)


if __name__ == "__main__":
    main()
