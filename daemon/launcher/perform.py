"""What does each order do? One match over the orders; whatever takes time is a task that pauses."""

import os
import signal
from collections.abc import Callable

from launcher import clone, ending, folders, logs, proc, reading, runs, starting
from launcher.adopt import take_over
from launcher.cgroups import Cgroups
from launcher.loop import Loop, Task
from launcher.ooms import Ooms
from launcher.orders import (
    WIRE_VERSION,
    Asker,
    Discard,
    Entrust,
    Freeze,
    Hello,
    Inspect,
    Kill,
    List,
    Order,
    Publish,
    Refusal,
    Remove,
    Result,
    Run,
    Signal,
    Start,
    Status,
    Thaw,
    Trim,
    Unlisten,
)
from launcher.requests import READERS
from launcher.settings import Settings
from launcher.state import State
from launcher.surroundings import inherited
from launcher.table import Table


class Perform:
    """Carries out orders. `tell` gets the events everyone is told."""

    def __init__(
        self,
        settings: Settings,
        cgroups: Cgroups,
        loop: Loop,
        tell: Callable[[Result], None],
        files: tuple[int, int],
    ) -> None:
        ooms = Ooms(loop, cgroups, lambda instance: ending.look_for_oom(self._state, instance))
        self._state = State(settings, cgroups, loop, tell, files, Table(cgroups, settings.run), ooms)
        self._state.births = clone.works(cgroups.birthplace("launcher-birth"))
        self.degraded = [*cgroups.degraded, *self._own_limits(), *inherited()]

    def _own_limits(self) -> list[str]:
        if self._state.root:
            return []
        notes = [f"users: not root, every node runs as uid {os.geteuid()}"]
        group = self._state.settings.group
        if group not in (os.getegid(), *os.getgroups()):
            notes.append(f"group {group}: not a member; run folders and logs get {os.getegid()}")
        return notes

    @property
    def group(self) -> int:
        return self._state.group

    def adopt(self) -> int:
        """Takes over the instances an earlier launcher started and answers how many."""
        return take_over(self._state)

    def left(self, asker: Asker) -> None:
        """What was run for one who has gone is ended: the next one may begin the same again."""
        for record in list(self._state.table.records.values()):
            if record.run and record.asker is asker:
                self._state.loop.begin(runs.end(self._state, record), lambda _: None)

    def task(self, order: Order, asker: Asker) -> Task:
        state = self._state
        match order:
            case Start():
                return (yield from starting.start(state, order))
            case Run():
                return (yield from runs.run(state, order, asker))
            case Kill(instance, timeout):
                return (yield from ending.kill(state, state.table.find(instance), timeout))
            case Freeze(instance):
                return (yield from ending.freeze(state, instance, True))
            case Thaw(instance):
                return (yield from ending.freeze(state, instance, False))
            case Remove(instance):
                return (yield from ending.remove(state, instance))
            case Entrust(instance, path):
                return self._entrust(instance, path)
            case _:
                return self._at_once(order)

    def _at_once(
        self, order: Signal | Status | List | Inspect | Publish | Unlisten | Trim | Discard | Hello
    ) -> Result:
        match order:
            case Signal(instance, number):
                return self._signal(instance, number)
            case Status(instance):
                return reading.status(self._state, instance)
            case List():
                return reading.list_all(self._state)
            case Inspect(instance):
                return reading.inspect(self._state, instance)
            case Publish(instance):
                return self._publish(instance)
            case Unlisten(node):
                return self._state.sockets.close(node)
            case Trim(instance, keep):
                return logs.trim(self._state.settings.logs, instance, keep)
            case Discard(instance):
                return self._discard(instance)
            case Hello():
                return self._hello()

    def _hello(self) -> Result:
        return {
            "version": WIRE_VERSION,
            "boot_id": proc.boot_id(),
            "uid": os.geteuid(),
            "cgroups": self._state.cgroups.kind,
            "degraded": self.degraded,
            "orders": list(READERS),
        }

    def _entrust(self, instance: str, path: str) -> Result:
        record = self._state.table.find(instance)
        if not record.running or record.uid <= 0:
            raise Refusal("conflict", "it is not running")
        return {"entrusted": starting.entrust(self._state, path, record.uid)}

    def _signal(self, instance: str, number: signal.Signals) -> Result:
        record = self._state.table.find(instance)
        if not record.running:
            raise Refusal("conflict", "it is not running")
        signal.pidfd_send_signal(record.pidfd, number)
        return {"pid": record.pid}

    def _discard(self, instance: str) -> Result:
        known = self._state.table.records.get(instance)
        if known is not None and (known.starting or self._state.table.pids(known)):
            raise Refusal("conflict", "it still runs")
        return logs.discard(self._state.settings.logs, instance)

    def _publish(self, instance: str) -> Result:
        record = self._state.table.find(instance)
        run = self._state.settings.run
        try:
            wrong = folders.publish(run, instance, record.uid)
        except FileNotFoundError:
            raise Refusal("not_found", f"{folders.SOCKET} is not there yet") from None
        if wrong:
            raise Refusal("refused", wrong)
        return {"path": f"{run}/{folders.PUBLISHED}/{instance}.sock"}
