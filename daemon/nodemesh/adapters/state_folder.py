"""Is nobody else working in this state folder, and which life of the mesh is this?"""

import contextlib
import fcntl
import logging
import os
import time
from pathlib import Path

from nodemesh.ports import Refused

log = logging.getLogger("nodemesh")


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


def next_generation(folder: Path) -> int:
    """Higher than at every start before, whatever the clock says."""
    path = folder / "generation"
    try:
        before = int(path.read_text()) if path.exists() else 0
    except (OSError, ValueError):
        before = 0
    generation = max(before + 1, int(time.time()))
    part = path.with_suffix(".part")
    try:
        part.write_text(f"{generation}\n")
        part.replace(path)
    except OSError as error:
        # A full disk is no reason not to serve what is on it; the clock is right nearly always.
        log.error("cannot write %s: %s", path, error.strerror)
    return generation
