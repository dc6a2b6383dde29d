"""Is nobody else working in this state folder?"""

import contextlib
import fcntl
import os
from pathlib import Path

from nodemesh.ports import Refused


def take(folder: Path) -> int:
    """Hold it until this process ends. Raises Refused with the pid of who holds it, or what is wrong."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        wanted = "the mesh's user must own the folder [mesh] state names"
        raise Refused(f"cannot use {folder}: {error.strerror}: {wanted}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        held = f"another noded-mesh (pid {holder}) works there: stop it, or set [mesh] state"
        raise Refused(f"cannot use {folder}: {held}") from error
    # For people only: on a full disk a lock without our pid is a lock all the same.
    with contextlib.suppress(OSError):
        length = os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        os.ftruncate(handle, length)
    return handle
