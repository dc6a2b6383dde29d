"""Which instances did an earlier launcher start? Told by the control groups, else by the processes' marks."""

import os

from launcher import ending, proc, sockets
from launcher.cgroups import Cgroups
from launcher.loop import Task
from launcher.orders import INSTANCE_NAME
from launcher.requests import address_of
from launcher.settings import Settings
from launcher.state import State
from launcher.table import Exit, Record, scan

_LONGEST_END = 10.0


def take_over(state: State) -> int:
    """Watches what lives, takes back its sockets, and ends what was only run for one who waited."""
    found = find_instances(state.settings, state.cgroups)
    low, high = state.settings.dynamic or (1, 0)
    for record in found:
        state.table.keep(record)
        if low <= record.uid <= high and not record.run:
            state.table.uids[record.node] = record.uid
        if record.running:
            ending.watch(state, record)
            state.ooms.watch(record.instance)
            _take_back_socket(state, record)
        if record.run:
            state.loop.begin(_end(state, record), lambda _: None)
        for name in state.cgroups.inner(record.instance):
            inner = Record(name, record.node, 0, 0, record.uid, -1, child=False, run=True)
            state.loop.begin(_end(state, inner), lambda _: None)
    return sum(not record.run for record in found)


def _take_back_socket(state: State, record: Record) -> None:
    address = address_of(proc.environ(record.pid).get(sockets.MARK, ""))
    if address is not None:
        state.sockets.adopt(record.node, address, record.pid)


def _end(state: State, record: Record) -> Task:
    yield from ending.kill(state, record, _LONGEST_END)
    yield from ending.clean(state, record.instance)
    if state.table.records.get(record.instance) is record:
        del state.table.records[record.instance]
    return {}


def find_instances(settings: Settings, cgroups: Cgroups) -> list[Record]:
    """A record for each, running if its main process lives. What ended meanwhile ended in an unknown way."""
    if cgroups.roots:
        found = {name: cgroups.pids(name, inner=False) for name in sorted(cgroups.instances())}
    else:
        marked, _ = scan(os.path.realpath(settings.run))
        # The environment proves nothing: a process of root is never taken for a node's.
        found = {name: {pid for pid in pids if proc.uid(pid)} for name, pids in sorted(marked.items())}
        found = {name: pids for name, pids in found.items() if pids and INSTANCE_NAME.fullmatch(name)}
    return [_record(name, pids, cgroups.oom_kills(name)) for name, pids in found.items()]


def _record(instance: str, pids: set[int], oom_kills: int) -> Record:
    node = instance.rpartition(".")[0]
    how = Exit(unknown=True, oom=oom_kills > 0)
    record = Record(instance, node, 0, 0, -1, -1, child=False, exit=how, session_over=True)
    record.oom_kills = oom_kills
    stats = {pid: found for pid in pids if (found := proc.stat(pid)) is not None and not found.zombie}
    # A main process leads its session from before its exec on; of several leaders it is the oldest.
    leaders = [(found.start_time, pid) for pid, found in stats.items() if found.session == pid]
    likeliest = [pid for _, pid in sorted(leaders)] + list(stats)
    record.uid = next((uid for pid in likeliest if (uid := proc.uid(pid))), -1)
    record.run = any(proc.RUN in proc.environ(pid) for pid in likeliest[:1])
    if leaders:
        record.start_time, record.pid = min(leaders)
        record.pidfd = proc.hold(record.pid, record.start_time)
    if record.running:
        record.exit, record.session_over = None, False
    return record
