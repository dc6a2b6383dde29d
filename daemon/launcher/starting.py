"""How is an instance started, so that nothing is left of a start that failed?"""

import os
import resource
import signal
from collections.abc import Generator, Mapping

from launcher import ending, folders, proc, sockets, spawn
from launcher.loop import Pause, Task
from launcher.orders import Asker, Program, Refusal, Start
from launcher.spawn import Recipe
from launcher.state import State
from launcher.table import Record
from launcher.users import User, user_of

Begun = Generator[Pause, None, tuple[Record, list[str]]]


def start(state: State, order: Start) -> Task:
    user = admit(state, order.instance, order.node, order.program.user)
    marks = marks_of(state, order.instance, order.node, order.program)
    listener = -1
    if order.listen is not None:
        same = [r for r in state.table.records.values() if r.node == order.node and r.running]
        listener = state.sockets.open(order.node, order.listen, [record.pid for record in same])
        marks[sockets.MARK] = order.listen.text
    recipe, notes = recipe_of(state, order.instance, order.node, order.program, user, marks, listener)
    entrusted = bool(order.notify) and entrust(state, order.notify, user.uid)
    record, degraded = yield from begin(state, recipe)
    record.starting = False
    ending.watch(state, record)
    state.ooms.watch(record.instance)
    return {
        "pid": record.pid,
        "start_time": record.start_time,
        "uid": user.uid,
        "cgroup": state.cgroups.folders(order.instance),
        "log": f"{state.settings.logs}/{order.node}/{order.instance}.log",
        "run": f"{state.settings.run}/{order.instance}",
        "listen": order.listen.text if order.listen else "",
        "entrusted": entrusted,
        "degraded": degraded + notes,
    }


def admit(state: State, instance: str, node: str, user: str) -> User:
    known = state.table.records.get(instance)
    if known is not None and known.starting:
        raise Refusal("conflict", "it is being started")
    if known is not None and known.run:
        raise Refusal("conflict", "it is being run")
    if known is not None and (living := state.table.pids(known)):
        raise Refusal("conflict", f"there still live {ending.some(living)}")
    return user_of(node, user, state.settings, state.table)


def entrust(state: State, path: str, uid: int) -> bool:
    """False when the node cannot be given the socket: only root can give. Raises Refusal."""
    # Root's sockets are given away only where nobody but root gives orders.
    givers = state.settings.peers - {0} or state.settings.peers
    try:
        return folders.entrust(path, uid, givers | {uid}, state.root)
    except FileNotFoundError:
        raise Refusal("not_found", f"{path} is not there") from None
    except OSError as error:
        raise Refusal("refused", f"{path}: {error.strerror}") from error


def marks_of(state: State, instance: str, node: str, program: Program) -> dict[str, str]:
    """What the launcher sets in the environment, and finds its instances by."""
    marks = {proc.MARK: instance, proc.PLACE: f"{state.settings.run}/{instance}/orders.sock"}
    if program.data:
        marks["NODED_DATA"] = f"{state.settings.data}/{node}"
    return marks


def recipe_of(
    state: State,
    name: str,
    node: str,
    program: Program,
    user: User,
    marks: Mapping[str, str],
    listener: int = -1,
) -> tuple[Recipe, list[str]]:
    """`name` is that of the control groups."""
    files, notes = _possible_files(program.limits.files, state.files)
    recipe = Recipe(
        instance=name,
        node=node,
        program=program,
        marks=marks,
        user=user,
        switch=state.root,
        files=files,
        joins=state.cgroups.joins(name),
        settings=state.settings,
        group=state.group,
        listener=listener,
    )
    return recipe, notes


def begin(state: State, recipe: Recipe, asker: Asker | None = None) -> Begun:
    """A part of a task: returns once the program runs. On failure nothing is left, except the log file.

    It is a run if there is an `asker`, who waits for its end.
    """
    name = recipe.instance
    birthplace = state.cgroups.birthplace(name) if state.births else ""
    if os.path.lexists(birthplace):
        # The kernel would kill at once whoever is born where others were killed together.
        birthplace = ""
    try:
        degraded = state.cgroups.make(name, recipe.program.limits)
        child = spawn.fork(recipe, birthplace)
    except (OSError, Refusal):
        yield from ending.clean(state, name)
        raise
    begun = proc.stat(child.pid)
    ticks = begun.start_time if begun else 0
    record = Record(
        name, recipe.node, child.pid, ticks, recipe.user.uid, child.pidfd, child=True, starting=True
    )
    record.run, record.asker = asker is not None, asker
    state.table.keep(record)
    try:
        yield from spawn.await_exec(child)
    except Refusal as refusal:
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        if refusal.kind == "timed_out":  # Stuck in the kernel: it ends when the kernel lets it.
            record.starting = False
            ending.watch(state, record)
            raise
        os.waitpid(child.pid, 0)
        os.close(child.pidfd)
        record.pidfd = -1  # Somebody may be waiting for its end.
        del state.table.records[name]
        yield from ending.clean(state, name)
        raise
    finally:
        os.close(child.report)
    return record, degraded


def _possible_files(wanted: int, own: tuple[int, int]) -> tuple[tuple[int, int], list[str]]:
    """Which limits can be given: more than the launcher's own takes a capability that it does not have."""
    hard = own[1]
    if not wanted:
        return own, []
    if hard == resource.RLIM_INFINITY or wanted <= hard:
        return (wanted, wanted), []
    return (hard, hard), [f"files limit not applied: {wanted} asked, {hard} possible"]
