"""Is nobody else working in this state folder?"""

import contextlib
import fcntl
import os
from pathlib import Path

from noded.ports import Conflict, Refused


def take(path: Path) -> int:
    """Hold the folder until this process ends.

    Raises Conflict with the pid of who holds it, Refused when the folder cannot be used at all.
    """
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        wanted = "noded's user must own the folder [paths] state names"
        raise Refused(f"cannot use {path.parent}: {error.strerror}: {wanted}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        held = f"another noded (pid {holder}) works there: stop it, or set [paths] state"
        raise Conflict(f"cannot use {path.parent}: {held}") from error
    # For people only: on a full disk a lock without our pid is a lock all the same.
    with contextlib.suppress(OSError):
        length = os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        os.ftruncate(handle, length)
    return handle
