"""How does a program come to life? What the child does, step by step, before it becomes the program."""

import ctypes
import errno
import json
import os
import resource
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from launcher import folders, proc
from launcher.cgroups import write
from launcher.loop import Pause
from launcher.orders import Kind, Refusal

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS = 38
_REPORT_FD = 3
_EXEC = "exec"
# A data folder of many files may have to change hands first; usually a start takes milliseconds.
_LONGEST_START = 60.0
_SHORT_OF = frozenset(
    (errno.EAGAIN, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO)
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """All the child needs. `switch` is false when the launcher is not root: the node keeps its user."""

    instance: str
    node: str
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    uid: int
    gid: int
    switch: bool
    files: int
    joins: tuple[str, ...]
    run: str
    logs: str
    data: str
    group: int


@dataclass(frozen=True, slots=True)
class Child:
    pid: int
    pidfd: int
    report: int


def fork(recipe: Recipe) -> Child:
    """Raises OSError when there is no more room for processes or descriptors."""
    report, child_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        pid = os.fork()
        if pid == 0:
            _become(recipe, child_end)
    except OSError:
        os.close(report)
        raise
    finally:
        os.close(child_end)
    try:
        return Child(pid, os.pidfd_open(pid), report)
    except OSError:
        # Without a descriptor for it the child could not be watched: it must not stay.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(report)
        raise


def await_exec(child: Child) -> Generator[Pause, None, None]:
    """A part of a task: returns once the program runs. Raises Refusal with the step that failed."""
    heard = b""
    while True:
        yield Pause(_LONGEST_START, child.report)
        try:
            news = os.read(child.report, 65536)
        except BlockingIOError:
            reason = f"{_last(heard)} takes over {_LONGEST_START:.0f} s"
            raise Refusal("timed_out", reason) from None
        if not news:
            break
        heard += news
    last = _last(heard)
    if isinstance(last, dict):
        raise Refusal(_kind_of(last["errno"]), last["text"])
    if last != _EXEC:
        raise Refusal("unavailable", f"the process was killed at the step: {last}")


def _last(heard: bytes) -> Any:
    """The step the child reported last, or the failure it reported instead."""
    lines = heard.splitlines()
    return json.loads(lines[-1]) if lines else "fork"


def _kind_of(number: int) -> Kind:
    if number == errno.ENOENT:
        return "not_found"
    return "unavailable" if number in _SHORT_OF else "refused"


def _become(recipe: Recipe, report: int) -> NoReturn:
    """Never returns into the launcher's loop, whatever happens."""
    step = "fork"
    try:
        os.dup2(report, _REPORT_FD, inheritable=False)
        os.closerange(_REPORT_FD + 1, 2**31 - 1)
        for step, do in _steps(recipe):
            _report(step)
            do()
    except OSError as error:
        _report({"errno": error.errno, "text": _explain(recipe, step, error)})
    finally:
        os._exit(127)


def _report(message: object) -> None:
    os.write(_REPORT_FD, json.dumps(message).encode() + b"\n")


def _steps(recipe: Recipe) -> Iterator[tuple[str, Callable[[], object]]]:
    """The groups come first, so that nothing done here escapes them; the user late, the program last."""
    yield "new session", os.setsid
    for join in recipe.joins:
        yield f"join {join}", partial(write, join, "0")
    yield "plain signals", _plain_signals
    yield (
        f"run folder {recipe.run}/{recipe.instance}",
        lambda: folders.make_run(recipe.run, recipe.instance, recipe.uid, recipe.group),
    )
    if recipe.data:
        yield (
            f"data folder {recipe.data}/{recipe.node}",
            lambda: folders.make_data(recipe.data, recipe.node, recipe.uid, recipe.gid),
        )
    yield f"log {recipe.logs}/{recipe.node}/{recipe.instance}.log", partial(_connect_output, recipe)
    yield "resource limits", partial(_limit, recipe.files)
    yield "no new privileges", _forbid_new_privileges
    if recipe.switch:
        yield f"become uid {recipe.uid}, gid {recipe.gid}", partial(_switch_user, recipe.uid, recipe.gid)
    yield f"cwd {recipe.cwd}", partial(os.chdir, recipe.cwd)
    yield _EXEC, partial(_execute, recipe.argv, recipe.env)


def _plain_signals() -> None:
    # Python ignores SIGPIPE and SIGXFSZ, and what is ignored stays ignored in the program.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with suppress(OSError):  # A protected launcher must not hand its protection to nodes.
        if (proc.read("/proc/self/oom_score_adj") or b"").startswith(b"-"):
            write("/proc/self/oom_score_adj", "0")


def _connect_output(recipe: Recipe) -> None:
    log = folders.open_log(recipe.logs, recipe.node, recipe.instance, recipe.group)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _limit(files: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.umask(0o007)


def _forbid_new_privileges() -> None:
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _switch_user(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _execute(argv: tuple[str, ...], env: Mapping[str, str]) -> None:
    """Raises OSError, the most telling one if several folders of PATH were tried."""
    if "/" in argv[0]:
        os.execve(argv[0], argv, env)
    worst = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for place in env.get("PATH", os.defpath).split(":"):
        try:
            os.execve(f"{place or '.'}/{argv[0]}", argv, env)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                worst = error
    raise worst


def _explain(recipe: Recipe, step: str, error: OSError) -> str:
    reason = os.strerror(error.errno or 0)
    if step.startswith("cwd "):
        return f"{step}: {reason}{_closed_folder(recipe)}"
    if step != _EXEC:
        place = f" ({error.filename})" if isinstance(error.filename, str) else ""
        return f"{step}: {reason}{place}"
    name = recipe.argv[0]
    return f"exec {name}: {reason}{_exec_hint(name, recipe.env, error.errno or 0)}"


def _exec_hint(name: str, env: Mapping[str, str], number: int) -> str:
    if number == errno.EACCES and os.path.isdir(name):
        return " (it is a folder)"
    if number == errno.EACCES:
        executable = "/" not in name or os.access(name, os.X_OK)
        return " (a folder above or its interpreter is closed)" if executable else " (file is not executable)"
    if number == errno.ENOENT and "/" not in name:
        return f" (not in PATH {env.get('PATH', os.defpath)})"
    if number == errno.ENOENT and os.path.exists(name):
        return " (the interpreter its first line names is missing)"
    return " (no program, and no first line #! that names one)" if number == errno.ENOEXEC else ""


def _closed_folder(recipe: Recipe) -> str:
    """Which folder above the working directory keeps this user out."""
    parts = recipe.cwd.split("/")
    for count in range(2, len(parts) + 1):
        above = "/".join(parts[:count])
        if os.path.isdir(above) and not os.access(above, os.X_OK):
            return f" (uid {recipe.uid} may not enter {above})"
    return ""
