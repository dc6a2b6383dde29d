"""Which instances did an earlier launcher start? Told by the control groups, else by the processes' marks."""

import os

from launcher import proc
from launcher.cgroups import Cgroups
from launcher.orders import INSTANCE_NAME
from launcher.settings import Settings
from launcher.table import Exit, Record, scan


def find_instances(settings: Settings, cgroups: Cgroups) -> list[Record]:
    """A record for each, running if its main process lives. What ended meanwhile ended in an unknown way."""
    if cgroups.roots:
        return [_record(name, cgroups.pids(name)) for name in sorted(cgroups.instances())]
    marked, _ = scan(os.path.realpath(settings.run))
    # The environment proves nothing: a process of root is never taken for a node's.
    found = {name: {pid for pid in pids if proc.uid(pid)} for name, pids in sorted(marked.items())}
    return [_record(name, pids) for name, pids in found.items() if pids and INSTANCE_NAME.fullmatch(name)]


def _record(instance: str, pids: set[int]) -> Record:
    node = instance.rpartition(".")[0]
    record = Record(instance, node, 0, 0, -1, -1, child=False, exit=Exit(unknown=True), session_over=True)
    stats = {pid: found for pid in pids if (found := proc.stat(pid)) is not None and not found.zombie}
    # A main process leads its session from before its exec on; of several leaders it is the oldest.
    leaders = [(found.start_time, pid) for pid, found in stats.items() if found.session == pid]
    likeliest = [pid for _, pid in sorted(leaders)] + list(stats)
    record.uid = next((uid for pid in likeliest if (uid := proc.uid(pid))), -1)
    if leaders:
        record.start_time, record.pid = min(leaders)
        record.pidfd = proc.hold(record.pid, record.start_time)
    if record.running:
        record.exit, record.session_over = None, False
    return record
