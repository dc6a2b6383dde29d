"""How does a test get a disk that is soon full? A small tmpfs that only its own processes see."""

import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

TRY = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "noded-t", "/mnt"]


@cache
def can_mount() -> bool:
    return os.geteuid() == 0 and subprocess.run(TRY, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not can_mount(), reason="needs root and mount namespaces")


def on_a_small_disk(folder: Path, size: str, command: Sequence[str], timeout: float = 60.0) -> str:
    """Run the command in a mount namespace of its own, with a tmpfs of `size` on the folder."""
    script = 'mount -t tmpfs -o "size=$1" noded-t "$2" && shift 2 && exec "$@"'
    whole = ["unshare", "--mount", "sh", "-c", script, "sh", size, str(folder), *command]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
