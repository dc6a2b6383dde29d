"""How does a program come to life? What the child does, step by step, before it becomes the program."""

import errno
import fcntl
import json
import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from launcher import clone, folders, inherit, secrets
from launcher.cgroupfs import write
from launcher.loop import Pause
from launcher.orders import Kind, Program, Refusal
from launcher.settings import Settings
from launcher.users import User

_LISTEN_FD = 3  # where sd_listen_fds(3) looks
_REPORT_FD = 4
_OUTPUT_FD = 5
_EXEC = "exec"
_LONGEST_TEXT = 4096
"""Characters of what is told of a start that failed."""
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
    program: Program
    marks: Mapping[str, str]
    """Variables that only the launcher sets."""
    user: User
    switch: bool
    files: tuple[int, int]
    joins: tuple[str, ...]
    settings: Settings
    group: int
    own_folder: bool = True
    listener: int = -1
    """The socket it gets, -1 for none."""
    output: int = -1
    """Where its output goes, -1 for the log."""


@dataclass(frozen=True, slots=True)
class Child:
    pid: int
    pidfd: int
    report: int


def fork(recipe: Recipe, birthplace: str = "") -> Child:
    """`birthplace` is the group it is born in, "" for none.

    Raises OSError when there is no more room for processes or descriptors.
    """
    report, child_end = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(report, False)  # The child waits until there is room for its word.
    try:
        pid, inside = clone.fork(birthplace)
        if pid == 0:
            _become(recipe, child_end, birthplace if inside else "")
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
    # A child that was killed may not have come to the end of its line.
    lines = heard.rpartition(b"\n")[0].splitlines()
    return json.loads(lines[-1]) if lines else "fork"


def _kind_of(number: int) -> Kind:
    if number == errno.ENOENT:
        return "not_found"
    return "unavailable" if number in _SHORT_OF else "refused"


def _become(recipe: Recipe, report: int, birthplace: str) -> NoReturn:
    """Never returns into the launcher's loop, whatever happens."""
    step = "fork"
    try:
        _place({_REPORT_FD: report, _LISTEN_FD: recipe.listener, _OUTPUT_FD: recipe.output})
        for step, do in _steps(recipe, birthplace):
            _report(step)
            do()
    except OSError as error:
        # A group that vanished under the start is nothing that is wrong with the order.
        number = errno.EAGAIN if step.startswith("join ") else error.errno
        _report({"errno": number, "text": _explain(recipe, step, error)[:_LONGEST_TEXT]})
    except secrets.Unfit as unfit:
        _report({"errno": 0, "text": f"{step}: {unfit}"[:_LONGEST_TEXT]})
    finally:
        os._exit(127)


def _place(wanted: Mapping[int, int]) -> None:
    """Gives each descriptor its number, and closes every other one above the standard three."""
    last = max(wanted) + 1
    free = {place: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, last) for place, fd in wanted.items() if fd >= 0}
    os.closerange(3, last)
    for place, fd in free.items():
        os.dup2(fd, place, inheritable=place == _LISTEN_FD)
    os.closerange(last, 2**31 - 1)


def _report(message: object) -> None:
    os.write(_REPORT_FD, json.dumps(message).encode() + b"\n")


def _steps(recipe: Recipe, birthplace: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """The groups come first, so that nothing done here escapes them; the user late, the program last."""
    program, settings, user = recipe.program, recipe.settings, recipe.user
    yield "new session", os.setsid
    for join in recipe.joins:
        if os.path.dirname(join) != birthplace:
            yield f"join {join}", partial(write, join, "0")
    yield "plain signals", inherit.plain_signals
    yield "plain schedule", inherit.plain_schedule
    if recipe.own_folder:
        yield (
            f"run folder {settings.run}/{recipe.instance}",
            lambda: folders.make_run(settings.run, recipe.instance, user.uid, recipe.group),
        )
    if program.data:
        yield (
            f"data folder {settings.data}/{recipe.node}",
            lambda: folders.make_data(settings.data, recipe.node, user.uid, user.gid),
        )
    for path in program.write:
        yield f"write {path}", partial(folders.make_written, path, settings.write, user.uid, user.gid)
    if recipe.output < 0:
        yield f"log {settings.logs}/{recipe.node}/{recipe.instance}.log", partial(_connect_log, recipe)
    else:
        yield "output", partial(_connect_pipe, user.uid)
    env = dict(program.env)
    yield from _environment(recipe, env)
    yield "resource limits", partial(inherit.limit, recipe.files)
    yield "no new privileges", inherit.forbid_new_privileges
    if recipe.switch:
        yield f"become uid {user.uid}, gid {user.gid}", partial(inherit.switch_user, user)
    yield f"cwd {program.cwd}", partial(os.chdir, program.cwd)
    yield _EXEC, partial(_execute, program.argv, env)


def _environment(recipe: Recipe, env: dict[str, str]) -> Iterator[tuple[str, Callable[[], object]]]:
    """The manifest's variables, then those of its file, its secrets, and what nobody may override."""
    program, roots, uid = recipe.program, recipe.settings.secrets, recipe.user.uid
    if program.env_file:
        yield "env_file", lambda: env.update(secrets.read_env_file(program.env_file, roots, uid))
    for name, path in program.secrets.items():
        yield f"secret {name}", partial(_add_secret, env, name, path, roots, uid)
    env |= recipe.marks
    if recipe.listener >= 0:
        env |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "listen"}


def _add_secret(env: dict[str, str], name: str, path: str, roots: tuple[str, ...], uid: int) -> None:
    env[name] = secrets.read_secret(path, roots, uid)


def _connect_log(recipe: Recipe) -> None:
    _connect(folders.open_log_or_nothing(recipe.settings.logs, recipe.node, recipe.instance, recipe.group))


def _connect_pipe(uid: int) -> None:
    os.fchown(_OUTPUT_FD, uid, -1)  # Scripts open /dev/stderr, which asks whose the pipe is.
    _connect(_OUTPUT_FD)


def _connect(output: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


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
    # Our own words, or the kernel's; what Python makes of an error may quote more than it should.
    reason = (
        error.strerror if error.errno == errno.EPERM and error.strerror else os.strerror(error.errno or 0)
    )
    if step.startswith("cwd "):
        return f"{step}: {reason}{_closed_folder(recipe)}"
    if step != _EXEC:
        place = f" ({error.filename})" if isinstance(error.filename, str) else ""
        return f"{step}: {reason}{place}"
    name = recipe.program.argv[0]
    return f"exec {name}: {reason}{_exec_hint(name, recipe.program.env, error.errno or 0)}"


def _exec_hint(name: str, env: Mapping[str, str], number: int) -> str:
    if number == errno.EACCES and os.path.isdir(name):
        return " (it is a folder)"
    if number == errno.EACCES:
        executable = "/" not in name or os.access(name, os.X_OK)
        return " (a folder above or its interpreter is closed)" if executable else " (file is not executable)"
    if number == errno.ENOENT and "/" not in name:
        # Only the manifest's own PATH is shown: the one of a file may be nobody's business.
        return f" (not in PATH {env.get('PATH', os.defpath)})"
    if number == errno.ENOENT and os.path.exists(name):
        return " (the interpreter its first line names is missing)"
    return " (no program, and no first line #! that names one)" if number == errno.ENOEXEC else ""


def _closed_folder(recipe: Recipe) -> str:
    """Which folder above the working directory keeps this user out."""
    parts = recipe.program.cwd.split("/")
    for count in range(2, len(parts) + 1):
        above = "/".join(parts[:count])
        if os.path.isdir(above) and not os.access(above, os.X_OK):
            return f" (uid {recipe.user.uid} may not enter {above})"
    return ""
