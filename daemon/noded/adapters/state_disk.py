"""Is there room on the disk of the state folder, also for saying that there is none?

A file that only takes up room is given up first: what happens on a full disk can then still be written down.
"""

import contextlib
import os
from pathlib import Path

MIB = 2**20


class StateDisk:
    """`noded.runtime.monitors.Disk`."""

    def __init__(self, ballast: Path, size: int) -> None:
        self._ballast = ballast
        self._size = max(size, MIB)
        self._least = self._size // 4
        """Less than this is full: the ring, the registry and the chronicle write at any moment."""

    def lacking(self) -> str:
        try:
            free = free_bytes(self._ballast.parent)
        except OSError as error:
            return f"{self._ballast.parent} cannot be looked at: {error.strerror}"
        if self._held():
            if free >= self._least:
                return ""
            self.give_up()
        elif free >= self._size + 2 * self._least and self._take():
            return ""
        wanted = (self._size + 2 * self._least) / MIB
        return f"{self._ballast.parent} has {free / MIB:.1f} MiB free; {wanted:.0f} MiB are wanted"

    def give_up(self) -> bool:
        """True when that made room."""
        held = self._held()
        with contextlib.suppress(OSError):
            self._ballast.unlink(missing_ok=True)
        return held

    def _held(self) -> bool:
        try:
            return self._ballast.stat().st_size >= self._size
        except OSError:
            return False

    def _take(self) -> bool:
        try:
            handle = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, self._size)
            finally:
                os.close(handle)
        except OSError:
            self.give_up()
            return False
        return True


def free_bytes(folder: Path) -> int:
    """What an ordinary user can still write there."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
