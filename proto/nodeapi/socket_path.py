"""How does a daemon take a path for its socket, without losing what is there or showing it half made?"""

import errno
import os
import socket
import stat
from pathlib import Path

LONGEST_PATH = 107
"""Bytes of a unix socket's path (sun_path without its final zero)."""


class Unusable(Exception):
    """The path cannot be used; the text says why and what to do."""


class InUse(Unusable):
    """Another process serves it."""


def check(path: Path, inner: Path) -> None:
    """Raises Unusable unless a socket may be put at `path`; `inner` is the longest name beside it."""
    if len(os.fsencode(inner)) > LONGEST_PATH:
        room = LONGEST_PATH - len(os.fsencode(inner)) + len(os.fsencode(path))
        raise Unusable(f"cannot serve {path}: its path is longer than {room} bytes; choose a shorter one")
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unusable(f"cannot serve {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(kind):
        raise Unusable(f"cannot serve {path}: something that is not a socket is there; move it away")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(str(path))
    if answer in (0, errno.EAGAIN):
        raise InUse(f"cannot serve {path}: another process listens there; stop it first")
    if answer not in (errno.ECONNREFUSED, errno.ENOENT):
        raise Unusable(f"cannot serve {path}: {os.strerror(answer)}")


def make_private(folder: Path) -> None:
    """Raises Unusable."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise Unusable(f"cannot use {folder}: expected a folder of uid {os.geteuid()}; remove it")
        folder.chmod(0o700)
    except OSError as error:
        raise Unusable(f"cannot make {folder}: {error.strerror}") from error


def listen(path: Path, aside: Path, mode: int, group: int | None) -> socket.socket:
    """Prepares the socket in the private folder, so that it appears at `path` with its final rights.

    Raises Unusable.
    """
    aside.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.setblocking(False)
        listener.bind(str(aside))
        if group is not None:
            os.chown(aside, -1, group)
        aside.chmod(mode)
        listener.listen(128)
        aside.rename(path)
    except OSError as error:
        listener.close()
        raise Unusable(f"cannot serve {path}: {error.strerror}") from error
    return listener
