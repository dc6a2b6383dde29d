"""How is a process born in its control group?

Moving a process into a group waits until every CPU has passed a quiet point (the kernel's
cgroup_threadgroup_rwsem), 5 to 20 ms on an idle machine. A child that is cloned into its group (clone3(2),
Linux 5.7, v2 alone) never moves, and is in no other group for any moment.
"""

import ctypes
import os
from contextlib import suppress

# The lock of the interpreter must stay held, as os.fork() has it: whoever comes back as the child is alone.
_LIBC = ctypes.PyDLL(None, use_errno=True)
_SYS_CLONE3 = 435
_CLONE_INTO_CGROUP = 0x200000000
_SIGCHLD = 17


class _Arguments(ctypes.Structure):
    """struct clone_args."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    )


def works(folder: str) -> bool:
    """Whether a child can be born there; the folder is made for that and removed.

    Linux takes for killed whoever is born in a group that was killed another number of times than the
    launcher's own (`kill_seq`): both are new, or this is false.
    """
    if not folder:
        return False
    with suppress(OSError):
        os.mkdir(folder, 0o755)
    pid, inside = fork(folder)
    if pid == 0:
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    with suppress(OSError):
        os.rmdir(folder)
    return inside and status == 0


def fork(folder: str) -> tuple[int, bool]:
    """As os.fork(), and whether the child was born in the group; "" for no group.

    It is forked as usual where the kernel, a filter of system calls or the folder does not allow more.
    """
    try:
        group = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if folder else -1
    except OSError:
        group = -1
    if group < 0:
        return os.fork(), False
    try:
        pid = _clone_into(group)
    finally:
        os.close(group)
    return (pid, True) if pid >= 0 else (os.fork(), False)


def _clone_into(group: int) -> int:
    """What os.fork() does, with another system call; negative when it fails."""
    arguments = _Arguments(flags=_CLONE_INTO_CGROUP, exit_signal=_SIGCHLD, cgroup=group)
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = int(_LIBC.syscall(_SYS_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments)))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    return pid
