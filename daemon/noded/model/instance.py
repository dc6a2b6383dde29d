"""What is one running process tree, as the control plane knows it?"""

from dataclasses import dataclass, field
from enum import StrEnum

from noded.model.trend import Trend

HUNG = 3.0
"""Seconds of stillness after which an instance counts as hung."""

FIRST_RUN = 900_000_000
"""Numbers from here on are of programs that were run once beside the instances; they are never adopted."""


class Role(StrEnum):
    STABLE = "stable"
    SPARE = "spare"
    CANARY = "canary"
    BASELINE = "baseline"
    """Of the stable version, started with the canary: only as old as it, its memory can be compared."""


BESIDE = (Role.CANARY, Role.BASELINE)
"""Started for a rollout only: their faults are its own, and nobody else has to be started for them."""


class Phase(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Process:
    """A process as the kernel names it: a pid is only that process while its start time is the same."""

    pid: int
    start_time: int
    """Clock ticks after boot, field 22 of /proc/PID/stat."""
    uid: int
    memory_cgroup: str = ""
    """Folder with the memory accounting of the tree; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """The newest reading of one instance."""

    memory: int = 0
    """Anonymous memory of the whole tree in bytes: what a limit kills for and a leak grows."""
    cpu: float = 0.0
    """Share of one core since the reading before."""
    fds: int = 0
    threads: int = 0
    loop_lag: float = 0.0
    """Lateness of the event loop in seconds, told by nodekit; 0 when not told."""
    heartbeat_age: float = -1.0
    """Seconds since nodekit's last word; negative when it never spoke."""

    @property
    def still(self) -> float:
        """Seconds without a sign that the event loop turns; 0 for programs that never gave one."""
        return max(self.loop_lag, self.heartbeat_age, 0.0)


@dataclass(frozen=True, slots=True)
class Load:
    """Counts of the proxy since this instance got its first request."""

    requests: int = 0
    bad: int = 0
    sessions: int = 0
    up: bool = True
    counted_at: float = 0.0
    moved: int = 0
    """Of bad, what another instance was asked instead."""
    down_since: float = 0.0
    """Since when the proxy holds it down; 0 while it does not."""
    again: int = 0
    """Of requests, what another instance was asked before."""
    again_bad: int = 0


@dataclass(frozen=True, slots=True)
class Instance:
    id: str
    digest: str
    version: str
    role: Role
    phase: Phase
    created_at: float
    since: float
    """When the phase was entered."""
    listen: str = ""
    """Where the program is told to listen; what lies there is the node's to change."""
    address: str = ""
    """Where it is reached: the same socket by a path that only the launcher can change."""
    process: Process | None = None
    condemned: str = ""
    """Why it is to be replaced; empty while it is wanted."""
    killed_at: float = 0.0
    spared_at: float = 0.0
    """When it was last found silent and left alone, because its host was what was slow."""
    spared_requests: int = -1
    """What the proxy had counted then; negative when it was not left alone for want of CPU."""
    ready_at: float = 0.0
    acts: bool = False
    """A canary that was told to fetch its work beside stable."""
    raised: int = 0
    """How often its fuse in the proxy was put back, because the figures do not speak against it."""
    raised_bad: int = 0
    """What the proxy had counted bad then."""
    vitals: Vitals = field(default_factory=Vitals)
    load: Load = field(default_factory=Load)
    trend: Trend = field(default_factory=Trend)

    @property
    def serves(self) -> bool:
        return self.phase is Phase.READY

    @property
    def leaving(self) -> bool:
        return self.phase in (Phase.DRAINING, Phase.STOPPING)
