"""Who uses how much of the host and answers how many requests, now? What `top` shows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.screen import Cell, columns, styled
from nodectl.text import ago, amount, duration, share, size

SCARCE = 0.8
"""Share of the limit above which memory is shown in yellow."""
HEAD = ("NODE", "STATE", "CPU", "MEMORY", "LIMIT", "REQUESTS/S", "ERRORS/S", "LAG", "RESTARTS")
LEAVE_OUT = ("RESTARTS", "LAG", "LIMIT", "STATE", "ERRORS/S")
"""In this order, where the terminal is narrow."""


@dataclass(frozen=True, slots=True)
class Load:
    """Of a node or of one instance; rates are None until two looks have been taken."""

    name: str
    state: str
    cpu: float
    """Of one core."""
    memory: int
    limit: int
    requests: float | None
    errors: float | None
    lag: float
    restarts: int | None = None
    instances: tuple["Load", ...] = ()


ORDERS: dict[str, tuple[str, Callable[[Load], float]]] = {
    "c": ("CPU", lambda load: load.cpu),
    "m": ("memory", lambda load: load.memory),
    "r": ("requests", lambda load: load.requests or 0.0),
}


class Meter:
    """Turns counts into rates by what it saw before."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, int, int]] = {}

    def read(self, nodes: Iterable[pb.NodeStatus], at: float) -> list[Load]:
        found = [self._node(node, at) for node in nodes]
        alive = {one.name for load in found for one in load.instances}
        self._before = {name: seen for name, seen in self._before.items() if name in alive}
        return found

    def _node(self, node: pb.NodeStatus, at: float) -> Load:
        instances = tuple(self._instance(one, node.memory_limit, at) for one in node.instances)
        return Load(
            node.name,
            node.condition,
            sum(one.cpu for one in instances),
            sum(one.memory for one in instances),
            sum(one.limit for one in instances),
            _sum(one.requests for one in instances),
            _sum(one.errors for one in instances),
            max((one.lag for one in instances), default=0.0),
            node.restarts,
            instances,
        )

    def _instance(self, one: pb.InstanceStatus, limit: int, at: float) -> Load:
        before = self._before.get(one.id)
        self._before[one.id] = (at, one.requests, one.bad)
        requests = errors = None
        if before is not None and at > before[0]:
            # The proxy counts from its start: fewer than before is a new beginning.
            requests = max(0, one.requests - before[1]) / (at - before[0])
            errors = max(0, one.bad - before[2]) / (at - before[0])
        state = f"{one.role} {one.phase}"
        return Load(one.id, state, one.cpu_share, one.memory, limit, requests, errors, one.loop_lag)


def _sum(rates: Iterable[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None


def table(loads: Iterable[Load], order: str, width: int) -> list[Text]:
    """Nodes by what they use, each with its instances below it."""
    _, key = ORDERS[order]
    rows: list[list[Cell]] = []
    for node in sorted(loads, key=key, reverse=True):
        rows.append(_row(node, ""))
        rows += [_row(one, "  ") for one in sorted(node.instances, key=key, reverse=True)]
    return columns(HEAD, rows, spare=LEAVE_OUT, width=width)


def _row(load: Load, indent: str) -> list[Cell]:
    scarce = load.limit and load.memory > load.limit * SCARCE
    return [
        Text(indent).append_text(styled(load.name, "dim" if indent else "bold")),
        load.state,
        share(round(load.cpu, 3)),
        styled(size(load.memory), "yellow" if scarce else ""),
        size(load.limit) if load.limit else "-",
        _rate(load.requests),
        styled(_rate(load.errors), "red" if load.errors else ""),
        duration(load.lag) if load.lag >= 0.05 else f"{load.lag * 1000:.1f}ms",
        "" if load.restarts is None else str(load.restarts),
    ]


def _rate(per_second: float | None) -> str:
    return "-" if per_second is None else f"{per_second:.1f}"


def host_line(host: pb.HostStatus) -> str:
    parts = [host.name, f"up {ago(host.started_at).removesuffix(' ago')}" if host.started_at else ""]
    parts += [amount(host.cores, "core") if host.cores else "", size(host.memory) if host.memory else ""]
    if host.HasField("pressure"):
        told = host.pressure
        waits = (("cpu", told.cpu), ("memory", told.memory), ("io", told.io))
        parts.append("pressure " + ", ".join(f"{name} {_waited(one)}" for name, one in waits))
    return "  ".join(part for part in parts if part)


def _waited(of_one: float) -> str:
    return "-" if of_one < 0 else share(round(of_one, 3))
