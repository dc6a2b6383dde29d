"""What of the launcher's own surroundings must a program not inherit?"""

import ctypes
import errno
import os
import resource
import signal
from contextlib import suppress

from launcher import proc
from launcher.cgroupfs import write
from launcher.users import User

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_CAPBSET_DROP = 24
_PR_SET_TIMERSLACK = 29
_PR_SET_NO_NEW_PRIVS = 38
_NUMBERS = tuple(sorted(map(int, signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})))
_PLAIN_SLACK = 50_000  # nanoseconds, the kernel's default


def plain_signals() -> None:
    """What is ignored stays ignored in a program: Python does it with SIGPIPE, nohup with SIGHUP."""
    for number in _NUMBERS:
        with suppress(OSError, ValueError):  # Some belong to the C library.
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def plain_schedule() -> None:
    """A launcher that is protected or preferred must not hand that to nodes."""
    with suppress(OSError):
        if proc.read("/proc/self/oom_score_adj") != b"0\n":
            write("/proc/self/oom_score_adj", "0")
    with suppress(OSError):
        if os.sched_getscheduler(0) != os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    _LIBC.prctl(_PR_SET_TIMERSLACK, _PLAIN_SLACK, 0, 0, 0)


def limit(files: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    os.umask(0o007)


def forbid_new_privileges() -> None:
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def switch_user(user: User) -> None:
    """With the user every capability goes; the bounding set too, where the launcher may change it."""
    for capability in range(64):
        if _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 and ctypes.get_errno() in (
            errno.EINVAL,
            errno.EPERM,
        ):
            break
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
