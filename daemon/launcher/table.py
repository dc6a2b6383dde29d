"""Which instances does the launcher know, which processes are theirs, and how did they end?"""

import math
import os
import time
from dataclasses import dataclass

from launcher import proc
from launcher.cgroups import Cgroups
from launcher.orders import Asker, Refusal, Result

_MOST_ENDED = 4096
_SCAN_LASTS = 0.02


@dataclass(frozen=True, slots=True)
class Exit:
    """`unknown` for a process that was not this launcher's child when it ended."""

    code: int | None = None
    signal: int | None = None
    unknown: bool = False
    oom: bool = False
    """The kernel counted that it killed for lack of memory just then."""

    def told(self) -> Result:
        return {"code": self.code, "signal": self.signal, "unknown": self.unknown, "oom": self.oom}


@dataclass(slots=True)
class Record:
    instance: str
    node: str
    pid: int
    start_time: int
    uid: int
    pidfd: int  # -1 once the process has ended
    child: bool
    starting: bool = False
    exit: Exit | None = None
    oom_kills: int = 0
    oom_at: float = -math.inf
    """When the last one was seen, by time.monotonic()."""
    killed: bool = False
    session_over: bool = False
    run: bool = False
    """Run to its end for one who waits: not an instance of the node."""
    asker: Asker | None = None
    """Who waits for it; None when that was another launcher's affair."""

    @property
    def forsaken(self) -> bool:
        """Nobody waits for it any more: it is being ended."""
        return self.run and (self.asker is None or self.asker.gone)

    @property
    def running(self) -> bool:
        return self.pidfd >= 0


class Table:
    def __init__(self, cgroups: Cgroups, run: str) -> None:
        self.records: dict[str, Record] = {}
        self.uids: dict[str, int] = {}  # dynamic uids by node
        self._cgroups = cgroups
        self._run = os.path.realpath(run)
        self._scan: tuple[float, dict[str, set[int]], dict[int, set[int]]] = (0.0, {}, {})

    def find(self, instance: str) -> Record:
        """Raises Refusal."""
        record = self.records.get(instance)
        if record is None:
            raise Refusal("not_found", f"no instance {instance} is known here")
        return record

    def keep(self, record: Record) -> None:
        """Remembers it; beyond so many ended ones the oldest are forgotten."""
        self.records.pop(record.instance, None)
        self.records[record.instance] = record
        ended = [name for name, known in self.records.items() if not known.running and not known.starting]
        for name in ended[: max(0, len(ended) - _MOST_ENDED)]:
            del self.records[name]

    def ended(self, record: Record, how: Exit) -> None:
        os.close(record.pidfd)
        record.pidfd = -1
        record.exit = how

    def forget_idle_uids(self) -> None:
        live = {record.node for record in self.records.values()}
        self.uids = {node: uid for node, uid in self.uids.items() if node in live}

    def pids(self, record: Record, fresh: bool = True) -> set[int]:
        """The living processes of the instance's tree."""
        main = {record.pid} if record.running else set[int]()
        if self._cgroups.roots:
            return main | self._cgroups.pids(record.instance)
        marked, sessions = self._scanned(fresh)
        found = marked.get(record.instance, set())
        if not record.session_over:
            inside = sessions.get(record.pid, set())
            # Once nobody is left in it, the session's number may come to mean something else.
            record.session_over = not inside and not record.running
            found = found | inside
        # Neither mark nor session proves anything about a process of somebody else.
        return main | {pid for pid in found if proc.uid(pid) == record.uid}

    def _scanned(self, fresh: bool) -> tuple[dict[str, set[int]], dict[int, set[int]]]:
        if fresh or time.monotonic() - self._scan[0] > _SCAN_LASTS:
            self._scan = (time.monotonic(), *scan(self._run))
        return self._scan[1:]

    def status(self, record: Record, fresh: bool = True) -> Result:
        pids = self.pids(record, fresh)
        live = self._cgroups.oom_kills(record.instance)
        return {
            "running": record.running,
            "home": proc.home(record.pid, record.start_time) if record.running else "",
            "pid": record.pid,
            "start_time": record.start_time,
            "uid": record.uid,
            "exit": record.exit.told() if record.exit else None,
            "oom_kills": max(live, record.oom_kills),
            "processes": len(pids),
        }


def scan(run: str) -> tuple[dict[str, set[int]], dict[int, set[int]]]:
    """Every process that bears the mark of an instance of this run folder, and all sessions.

    The mark is the environment the launcher gave: it finds trees where there are no control groups.
    """
    marked: dict[str, set[int]] = {}
    sessions: dict[int, set[int]] = {}
    for pid in proc.pids():
        found = proc.stat(pid)
        if found is None or found.zombie:
            continue
        sessions.setdefault(found.session, set()).add(pid)
        instance = mark_of(pid, run)
        if instance is not None:
            marked.setdefault(instance, set()).add(pid)
    return marked, sessions


def mark_of(pid: int, run: str) -> str | None:
    environment = proc.environ(pid)
    instance = environment.get(proc.MARK)
    if instance is None:
        return None
    place = os.path.dirname(environment.get(proc.PLACE, ""))
    ours = os.path.basename(place) == instance and os.path.realpath(os.path.dirname(place)) == run
    return instance if ours else None
