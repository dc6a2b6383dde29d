"""How do processes end, how is a whole tree ended, and how is what they leave cleared away?"""

import contextlib
import os
import signal
import time
from collections.abc import Generator

from launcher import folders, proc
from launcher.loop import Pause, Task
from launcher.orders import Refusal
from launcher.state import State
from launcher.table import Exit, Record

_STEP = 0.005
_LONGEST_REMOVE = 2.0
_LONGEST_FREEZE = 5.0
_STILL = 0.5
"""Seconds a tree gets to stand still before it is killed process by process."""
_RECENT = 5.0
"""Seconds a process may take to die after the kernel has counted it: memory is given back page by page."""


def watch(state: State, record: Record) -> None:
    state.loop.watch(record.pidfd, lambda _: ended(state, record))


def ended(state: State, record: Record) -> None:
    how = _reap(record.pid) if record.child else Exit(unknown=True)
    kills = state.cgroups.oom_kills(record.instance)
    recent = not record.killed and time.monotonic() - record.oom_at < _RECENT
    if (kills > record.oom_kills or recent) and (how.unknown or how.signal == signal.SIGKILL):
        how = Exit(how.code, how.signal, how.unknown, oom=True)
    record.oom_kills = kills
    state.loop.forget(record.pidfd)
    state.ooms.forget(record.instance)
    state.table.ended(record, how)
    if record.run:
        return
    state.table.keep(record)
    event = {"event": "exited", "instance": record.instance, "pid": record.pid, **how.told()}
    state.tell({**event, "oom_kills": record.oom_kills})


def look_for_oom(state: State, instance: str) -> None:
    """Tells of children that were killed. What kills the main process too is told with its end."""
    record = state.table.records.get(instance)
    kills = state.cgroups.oom_kills(instance)
    if record is None or not record.running or kills <= record.oom_kills:
        return
    record.oom_kills, record.oom_at = kills, time.monotonic()
    state.tell({"event": "oom", "instance": instance, "kills": kills})


def kill(state: State, record: Record, timeout: float) -> Task:
    until = time.monotonic() + timeout
    record.killed = True
    # To look at every process of the host is dear: a recent look does, but not to end on.
    while (living := state.table.pids(record, False) or state.table.pids(record)) or record.running:
        if not state.cgroups.roots or not state.cgroups.kill(record.instance):
            yield from _kill_still(state, record, living)
        if time.monotonic() >= until:
            raise Refusal("timed_out", f"after {timeout:g} s there still live {some(living)}")
        yield Pause(_STEP)
    return state.table.status(record)


def _kill_still(state: State, record: Record, living: set[int]) -> Generator[Pause, None, None]:
    """What forks faster than it is killed is made to stand still first. On v1 it dies when it is thawed."""
    still = _freeze(state, record.instance, True)
    if not still:
        state.cgroups.stop_growth(record.instance)
    until = time.monotonic() + _STILL
    while still and not state.cgroups.frozen(record.instance) and time.monotonic() < until:
        yield Pause(_STEP)
    try:
        _kill_each(state, record, state.table.pids(record) if still else living)
    finally:
        if still:
            _freeze(state, record.instance, False)


def _freeze(state: State, instance: str, still: bool) -> bool:
    with contextlib.suppress(OSError):  # The group may be gone.
        return state.cgroups.freeze(instance, still)
    return False


def _kill_each(state: State, record: Record, living: set[int]) -> None:
    """A number may have changed hands since it was read: hold the processes, look again, then kill.

    The main process first: it must not see its children die and make something of it.
    """
    in_order = sorted(living, key=lambda pid: pid != record.pid)
    held = {pid: fd for pid in in_order if (fd := proc.hold(pid)) >= 0}
    still = state.table.pids(record)
    for pid, fd in held.items():
        with contextlib.suppress(ProcessLookupError):
            if pid in still:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        os.close(fd)


def freeze(state: State, instance: str, still: bool) -> Task:
    state.table.find(instance)
    if not state.cgroups.freeze(instance, still):
        raise Refusal("refused", f"there is no control group that can be frozen ({state.cgroups.kind})")
    until = time.monotonic() + _LONGEST_FREEZE
    while state.cgroups.frozen(instance) != still:
        if time.monotonic() >= until:
            if still:
                state.cgroups.freeze(instance, False)
            reason = "not every process stood still; thawed again" if still else "it is still frozen"
            raise Refusal("timed_out", f"after {_LONGEST_FREEZE:g} s {reason}")
        yield Pause(_STEP)
        # v1 forgets who waits for a child of vfork(2) that froze first, until it is told once more.
        state.cgroups.freeze(instance, still)
    return {"frozen": still}


def remove(state: State, instance: str) -> Task:
    record = state.table.records.get(instance)
    if record is None and not _traces(state, instance):
        raise Refusal("not_found", f"no instance {instance} is known here")
    if record is not None and (record.starting or (living := state.table.pids(record))):
        reason = "it is being started" if record.starting else f"there still live {some(living)}"
        raise Refusal("conflict", f"{reason}; kill it first")
    left = yield from clean(state, instance)
    if left:
        raise Refusal("unavailable", left)
    state.table.records.pop(instance, None)
    return {}


def _traces(state: State, instance: str) -> bool:
    places = [f"{state.settings.run}/{instance}", *state.cgroups.folders(instance).values()]
    return any(place and os.path.isdir(place) for place in places)


def clean(state: State, name: str) -> Generator[Pause, None, str | None]:
    """Groups and run folder. Answers why something is still there."""
    until = time.monotonic() + _LONGEST_REMOVE
    while (reason := state.cgroups.remove(name)) and time.monotonic() < until:
        yield Pause(_STEP)
    if reason or "/" in name:  # A group inside an instance's has no folder of its own.
        return reason
    return folders.remove_run(state.settings.run, name)


def _reap(pid: int) -> Exit:
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return Exit(unknown=True)
    return Exit(code=status) if status >= 0 else Exit(signal=-status)


def some(pids: set[int]) -> str:
    shown = ", ".join(str(pid) for pid in sorted(pids)[:20])
    return f"pids {shown}" if len(pids) <= 20 else f"pids {shown} and {len(pids) - 20} more"
