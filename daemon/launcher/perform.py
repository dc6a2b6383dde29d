"""What does each order do? One match over the orders; whatever takes time is a task that pauses."""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Generator

from launcher import folders, proc, spawn
from launcher.adopt import find_instances
from launcher.cgroups import Cgroups
from launcher.loop import Loop, Pause, Task
from launcher.orders import (
    WIRE_VERSION,
    Hello,
    Inspect,
    Kill,
    List,
    Order,
    Publish,
    Refusal,
    Remove,
    Result,
    Signal,
    Start,
    Status,
)
from launcher.settings import Settings
from launcher.table import Exit, Record, Table
from launcher.users import user_of

_STEP = 0.005
_LONGEST_REMOVE = 2.0
_MOST_DESCRIPTORS = 1000
_LONGEST_INSPECT = 1.0
Tell = Callable[[Result], None]


class Perform:
    """Carries out orders. `tell` gets the events everyone is told."""

    def __init__(self, settings: Settings, cgroups: Cgroups, loop: Loop, tell: Tell) -> None:
        self._settings = settings
        self._cgroups = cgroups
        self._loop = loop
        self._tell = tell
        self._root = os.geteuid() == 0
        self._table = Table(cgroups, settings.run)
        self.degraded = [*cgroups.degraded, *self._own_limits()]

    def _own_limits(self) -> list[str]:
        if self._root:
            return []
        notes = [f"users: not root, every node runs as uid {os.geteuid()}"]
        if self._settings.group not in (os.getegid(), *os.getgroups()):
            notes.append(
                f"group {self._settings.group}: not a member; run folders and logs get {os.getegid()}"
            )
        return notes

    @property
    def group(self) -> int:
        """Who may reach run folders, logs and the launcher's socket."""
        mine = self._root or self._settings.group in (os.getegid(), *os.getgroups())
        return self._settings.group if mine else os.getegid()

    def task(self, order: Order) -> Task:
        match order:
            case Start():
                return (yield from self._start(order))
            case Kill(instance, timeout):
                return (yield from self._kill(instance, timeout))
            case Remove(instance):
                return (yield from self._remove(instance))
            case _:
                return self._at_once(order)

    def _at_once(self, order: Signal | Status | List | Inspect | Publish | Hello) -> Result:
        match order:
            case Signal(instance, number):
                return self._signal(instance, number)
            case Status(instance):
                return self._table.status(self._table.find(instance))
            case List():
                return self._list()
            case Inspect(instance):
                return self._inspect(instance)
            case Publish(instance):
                return self._publish(instance)
            case Hello():
                return self._hello()

    def _hello(self) -> Result:
        return {
            "version": WIRE_VERSION,
            "boot_id": proc.boot_id(),
            "uid": os.geteuid(),
            "cgroups": self._cgroups.kind,
            "degraded": self.degraded,
        }

    # -- start

    def _start(self, order: Start) -> Task:
        uid, gid = self._admit(order)
        files, note = _possible_files(order.limits.files)
        recipe = self._recipe(order, uid, gid, files)
        try:
            degraded = self._cgroups.make(order.instance, order.limits)
            child = spawn.fork(recipe)
        except OSError:
            yield from self._clean(order.instance)
            raise
        begun = proc.stat(child.pid)
        ticks = begun.start_time if begun else 0
        record = Record(
            order.instance, order.node, child.pid, ticks, uid, child.pidfd, child=True, starting=True
        )
        self._table.keep(record)
        yield from self._until_exec(child, record)
        record.starting = False
        self._watch(record)
        return {
            "pid": record.pid,
            "start_time": record.start_time,
            "uid": uid,
            "cgroup": self._cgroups.folders(order.instance),
            "log": f"{recipe.logs}/{order.node}/{order.instance}.log",
            "run": f"{recipe.run}/{order.instance}",
            "degraded": degraded + note,
        }

    def _admit(self, order: Start) -> tuple[int, int]:
        known = self._table.records.get(order.instance)
        if known is not None and known.starting:
            raise Refusal("conflict", "it is being started")
        if known is not None and (living := self._table.pids(known)):
            raise Refusal("conflict", f"there still live {_some(living)}")
        return user_of(order.node, order.user, self._settings, self._table)

    def _recipe(self, order: Start, uid: int, gid: int, files: int) -> spawn.Recipe:
        run = self._settings.run
        marks = {proc.MARK: order.instance, proc.PLACE: f"{run}/{order.instance}/orders.sock"}
        if order.data:
            marks["NODED_DATA"] = f"{self._settings.data}/{order.node}"
        return spawn.Recipe(
            instance=order.instance,
            node=order.node,
            argv=order.argv,
            cwd=order.cwd,
            env=marks | dict(order.env),
            uid=uid,
            gid=gid,
            switch=self._root,
            files=files,
            joins=self._cgroups.joins(order.instance),
            run=run,
            logs=self._settings.logs,
            data=self._settings.data if order.data else "",
            group=self.group,
        )

    def _until_exec(self, child: spawn.Child, record: Record) -> Generator[Pause, None, None]:
        """On failure nothing of the start is left, except the log file."""
        try:
            yield from spawn.await_exec(child)
        except Refusal as refusal:
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
            if refusal.kind == "timed_out":  # Stuck in the kernel: it ends when the kernel lets it.
                record.starting = False
                self._watch(record)
                raise
            os.waitpid(child.pid, 0)
            os.close(child.pidfd)
            del self._table.records[record.instance]
            yield from self._clean(record.instance)
            raise
        finally:
            os.close(child.report)

    # -- the end of processes

    def _watch(self, record: Record) -> None:
        self._loop.watch(record.pidfd, lambda _: self._ended(record))

    def _ended(self, record: Record) -> None:
        how = _reap(record.pid) if record.child else Exit(unknown=True)
        self._loop.forget(record.pidfd)
        self._table.ended(record, how)
        self._table.keep(record)
        event = {"event": "exited", "instance": record.instance, "pid": record.pid, **how.told()}
        self._tell({**event, "oom_kills": record.oom_kills})

    def _signal(self, instance: str, number: signal.Signals) -> Result:
        record = self._table.find(instance)
        if not record.running:
            raise Refusal("conflict", "it is not running")
        signal.pidfd_send_signal(record.pidfd, number)
        return {"pid": record.pid}

    def _publish(self, instance: str) -> Result:
        record = self._table.find(instance)
        try:
            wrong = folders.publish(self._settings.run, instance, record.uid)
        except FileNotFoundError:
            raise Refusal("not_found", f"{folders.SOCKET} is not there yet") from None
        if wrong:
            raise Refusal("refused", wrong)
        return {"path": f"{self._settings.run}/{folders.PUBLISHED}/{instance}.sock"}

    def _kill(self, instance: str, timeout: float) -> Task:
        record = self._table.find(instance)
        until = time.monotonic() + timeout
        # To look at every process of the host is dear: a recent look does, but not to end on.
        while (living := self._table.pids(record, False) or self._table.pids(record)) or record.running:
            if not self._cgroups.roots or not self._cgroups.kill(instance):
                self._kill_each(record, living)
            if time.monotonic() >= until:
                raise Refusal("timed_out", f"after {timeout:g} s there still live {_some(living)}")
            yield Pause(_STEP)
        return self._table.status(record)

    def _kill_each(self, record: Record, living: set[int]) -> None:
        """A number may have changed hands since it was read: hold the processes, look again, then kill.

        The main process first: it must not see its children die and make something of it.
        """
        in_order = sorted(living, key=lambda pid: pid != record.pid)
        held = {pid: fd for pid in in_order if (fd := proc.hold(pid)) >= 0}
        still = self._table.pids(record)
        for pid, fd in held.items():
            with contextlib.suppress(ProcessLookupError):
                if pid in still:
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
            os.close(fd)

    def _remove(self, instance: str) -> Task:
        record = self._table.records.get(instance)
        if record is None and not self._traces(instance):
            raise Refusal("not_found", f"no instance {instance} is known here")
        if record is not None and (record.starting or (living := self._table.pids(record))):
            reason = "it is being started" if record.starting else f"there still live {_some(living)}"
            raise Refusal("conflict", f"{reason}; kill it first")
        left = yield from self._clean(instance)
        if left:
            raise Refusal("unavailable", left)
        self._table.records.pop(instance, None)
        return {}

    def _traces(self, instance: str) -> bool:
        places = [f"{self._settings.run}/{instance}", *self._cgroups.folders(instance).values()]
        return any(place and os.path.isdir(place) for place in places)

    def _clean(self, instance: str) -> Generator[Pause, None, str | None]:
        until = time.monotonic() + _LONGEST_REMOVE
        while (reason := self._cgroups.remove(instance)) and time.monotonic() < until:
            yield Pause(_STEP)
        return reason or folders.remove_run(self._settings.run, instance)

    # -- reading

    def _list(self) -> Result:
        found = []
        for index, record in enumerate(self._table.records.values()):
            name = {"instance": record.instance, "node": record.node}
            status = self._table.status(record, fresh=index == 0)
            found.append({**name, **status, "cgroup": self._cgroups.folders(record.instance)})
        return {"instances": found}

    def _inspect(self, instance: str) -> Result:
        record = self._table.find(instance)
        pids = sorted(self._table.pids(record))
        until = time.monotonic() + _LONGEST_INSPECT
        rss = pss = threads = 0
        descriptors: list[dict[str, object]] = []
        for pid in pids:
            resident, proportional = proc.memory(pid, exact=time.monotonic() < until)
            rss += resident
            pss += proportional
            found = proc.stat(pid)
            threads += found.threads if found else 0
            descriptors += proc.descriptors(pid, _MOST_DESCRIPTORS - len(descriptors))
        return {"pids": pids, "rss": rss, "pss": pss, "fds": descriptors, "threads": threads}

    # -- after a restart of the launcher

    def adopt(self) -> int:
        """Takes over the instances an earlier launcher started and answers how many."""
        found = find_instances(self._settings, self._cgroups)
        low, high = self._settings.dynamic or (1, 0)
        for record in found:
            self._table.keep(record)
            if low <= record.uid <= high:
                self._table.uids[record.node] = record.uid
            if record.running:
                self._watch(record)
        return len(found)


def _possible_files(wanted: int) -> tuple[int, list[str]]:
    """How many open files can be granted: only with a capability more than the launcher has itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not wanted or hard == resource.RLIM_INFINITY or wanted <= hard:
        return wanted, []
    return hard, [f"files limit not applied: {wanted} asked, {hard} possible"]


def _reap(pid: int) -> Exit:
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return Exit(unknown=True)
    return Exit(code=status) if status >= 0 else Exit(signal=-status)


def _some(pids: set[int]) -> str:
    shown = ", ".join(str(pid) for pid in sorted(pids)[:20])
    return f"pids {shown}" if len(pids) <= 20 else f"pids {shown} and {len(pids) - 20} more"
