"""How does an instance's output stay small while the instance holds it open?

It cannot be renamed under the one who writes: the beginning of the file is given back to the disk instead,
and reads as a hole. Everything is reached through open folders and without following symbolic links.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from launcher.folders import folder
from launcher.orders import Refusal, Result

_LIBC = ctypes.CDLL(None, use_errno=True)
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02
_PAGE = 4096
_CANNOT = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def trim(logs: str, instance: str, keep: int) -> Result:
    """Give back all but the newest `keep` bytes: "kept", "punched", or "cut" when only that was possible."""
    with _opened(logs, instance) as log:
        found = os.fstat(log)
        end = (found.st_size - keep) // _PAGE * _PAGE
        how = "kept"
        if end > 0 and found.st_blocks * 512 > keep:
            how = "punched" if _punch(log, end) else _cut(log)
        return {"how": how, "held": os.fstat(log).st_blocks * 512}


def discard(logs: str, instance: str) -> Result:
    """Remove what an instance that has ended printed."""
    with _node_folder(logs, instance) as own:
        os.unlink(_name(instance), dir_fd=own)
    return {}


def _punch(log: int, end: int) -> bool:
    span = (ctypes.c_longlong(0), ctypes.c_longlong(end))
    if _LIBC.fallocate64(log, _KEEP_SIZE | _PUNCH_HOLE, *span) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number))


def _cut(log: int) -> str:
    """All of it: who writes appends, and goes on at the new end."""
    os.ftruncate(log, 0)
    return "cut"


@contextmanager
def _opened(logs: str, instance: str) -> Iterator[int]:
    with _node_folder(logs, instance) as own:
        log = os.open(_name(instance), _FLAGS, dir_fd=own)
        try:
            if not stat.S_ISREG(os.fstat(log).st_mode):
                raise Refusal("refused", f"{_name(instance)} is not a file")
            yield log
        finally:
            os.close(log)


@contextmanager
def _node_folder(logs: str, instance: str) -> Iterator[int]:
    try:
        with folder(logs) as top, folder(instance.rpartition(".")[0], top) as own:
            yield own
    except FileNotFoundError:
        raise Refusal("not_found", f"no output of {instance} is kept") from None
    except OSError as error:
        raise Refusal("unavailable", f"the output of {instance}: {error.strerror}") from error


def _name(instance: str) -> str:
    return f"{instance}.log"
