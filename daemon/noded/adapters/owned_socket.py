"""How is a socket in a node's own folder reached without being led elsewhere?

The folder is the node's: a symbolic link there could lead us, with our rights, to any socket of
the host. The file is opened without following links, looked at, and used through the descriptor.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def owned(path: Path, uid: int) -> Iterator[str]:
    """A path that leads to this very socket. Raises OSError when it is no socket of this user."""
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != uid:
            raise PermissionError(f"{path} is not a socket that uid {uid} made")
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
