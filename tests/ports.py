"""Which TCP ports may a test have? Those that no other test process was given lately."""

import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TextIO

FIRST, BEHIND = 21_000, 32_000
"""Behind the range that `[proxy] ports` has by itself, before the one the kernel takes its own from."""
_LAST = Path(tempfile.gettempdir(), "noded-test-ports")


def free_ports(count: int = 1) -> int:
    """The first of `count` ports in a row that are free on loopback now.

    They go round among all processes of this machine: between the look and the program that binds them lies
    time, and HAProxy, which binds with SO_REUSEPORT, would share a port with another HAProxy and not say so.
    """
    with _opened() as last:
        fcntl.flock(last, fcntl.LOCK_EX)
        begin = int(last.read() or FIRST)
        room = BEHIND - FIRST - count
        for step in range(0, room, count):
            first = FIRST + (begin - FIRST + step) % room
            if all(_is_free(first + offset) for offset in range(count)):
                last.seek(0)
                last.write(str(first + count))
                return first
    raise RuntimeError(f"no {count} free ports in a row on loopback, from {FIRST} to {BEHIND}")


def _opened() -> TextIO:
    """For every user, as some hosts of tests have another: O_CREAT on a file of another in /tmp is refused
    (protected_regular, proc_sys_fs(5))."""
    if not _LAST.exists():
        before = os.umask(0)
        try:
            with suppress(FileExistsError):
                _LAST.touch(0o666, exist_ok=False)
        finally:
            os.umask(before)
    return _LAST.open("r+")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
