"""What can be told of an instance without touching it?"""

import time

from launcher import proc
from launcher.orders import Result
from launcher.state import State
from launcher.table import Record

_MOST_DESCRIPTORS = 1000
_MOST_STATES = 1000
_LONGEST_INSPECT = 1.0


def list_all(state: State) -> Result:
    """What is only run to its end is nobody's instance and stays out."""
    found = []
    shown = [record for record in state.table.records.values() if not record.run]
    for index, record in enumerate(shown):
        name = {"instance": record.instance, "node": record.node}
        status = state.table.status(record, fresh=index == 0)
        found.append({**name, **status, "cgroup": state.cgroups.folders(record.instance)})
    return {"instances": found, "sockets": state.sockets.told()}


def status(state: State, instance: str) -> Result:
    record = state.table.find(instance)
    return {**state.table.status(record), **_doing(state, record)}


def _doing(state: State, record: Record) -> Result:
    """How its memory limits were met, what it waits for, and in which state each process is."""
    pids = sorted(state.table.pids(record, fresh=False))[:_MOST_STATES]
    stats = {pid: found for pid in pids if (found := proc.stat(pid)) is not None}
    return {
        "events": state.cgroups.events(record.instance),
        "pressure": state.cgroups.pressure(record.instance),
        "states": {str(pid): found.state for pid, found in stats.items()},
        "waited": proc.waited(record.pid) if record.running else None,
    }


def inspect(state: State, instance: str) -> Result:
    record = state.table.find(instance)
    pids = sorted(state.table.pids(record))
    until = time.monotonic() + _LONGEST_INSPECT
    rss = pss = threads = 0
    descriptors: list[dict[str, object]] = []
    wchans: list[dict[str, object]] = []
    for pid in pids:
        resident, proportional = proc.memory(pid, exact=time.monotonic() < until)
        rss += resident
        pss += proportional
        found = proc.stat(pid)
        threads += found.threads if found else 0
        descriptors += proc.descriptors(pid, _MOST_DESCRIPTORS - len(descriptors))
        wchans += proc.wchans(pid, _MOST_STATES - len(wchans))
    told = {"pids": pids, "rss": rss, "pss": pss, "fds": descriptors, "threads": threads, "wchans": wchans}
    return {**told, **_doing(state, record)}
