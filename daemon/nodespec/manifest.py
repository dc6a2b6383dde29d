"""What does a node say about itself?

The dataclasses mirror `node.toml` key for key. They hold plain values: seconds, bytes and
shares, never the text they were written as. `reading.py` is the only way from text to here.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Protocol(StrEnum):
    HTTP = "http"


class Listen(StrEnum):
    UNIX = "unix"
    PORT = "port"


class Probe(StrEnum):
    """How readiness is told: nodekit's message, sd_notify's READY=1, or an answered HTTP request."""

    SDK = "sdk"
    NOTIFY = "notify"
    HTTP = "http"
    NONE = "none"


class Rung(StrEnum):
    """One healing step; the order here is the order of cost."""

    COLLECT = "collect"
    SHRINK = "shrink"
    REPLACE = "replace"
    REGENERATE = "regenerate"


class Autonomy(StrEnum):
    OFF = "off"
    OBSERVE = "observe"
    ADVISE = "advise"
    APPROVE = "approve"
    ACT = "act"


@dataclass(frozen=True, slots=True)
class Stop:
    signal: str = "TERM"
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Serves:
    port: int
    protocol: Protocol = Protocol.HTTP
    listen: Listen = Listen.UNIX
    idempotent: tuple[str, ...] = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Health:
    readiness: Probe = Probe.SDK
    path: str = "/healthz"
    timeout: float = 2.0


@dataclass(frozen=True, slots=True)
class Resources:
    """Zero means no limit of the node's own."""

    memory: int = 0
    cpu: float = 0.0
    pids: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Levels:
    """Autonomy per kind of step. `tune` covers collect and shrink."""

    restart: Autonomy = Autonomy.ACT
    rollback: Autonomy = Autonomy.ACT
    tune: Autonomy = Autonomy.ADVISE
    replace: Autonomy = Autonomy.ADVISE
    regenerate: Autonomy = Autonomy.OFF


@dataclass(frozen=True, slots=True)
class Budget:
    """How often a day noded may climb to the dear rungs of one node."""

    replace: int = 6
    regenerate: int = 3


@dataclass(frozen=True, slots=True)
class Healing:
    ladder: tuple[Rung, ...] = (Rung.COLLECT, Rung.SHRINK, Rung.REPLACE, Rung.REGENERATE)
    settle: float = 30.0
    """Longest time a rung is watched before it is judged; a fast leak is judged sooner."""
    budget: Budget = field(default_factory=Budget)
    autonomy: Levels = field(default_factory=Levels)


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    steps: tuple[float, ...] = (0.10, 0.25, 0.50, 1.0)
    dwell: float = 30.0
    """Shortest time at a step."""
    soak: float = 600.0
    """How long the old version stays warm after the last step."""


@dataclass(frozen=True, slots=True)
class Tests:
    command: tuple[str, ...] = ()
    timeout: float = 120.0
    soak: tuple[str, ...] = ()
    """A load on the running node: it gets NODED_LISTEN and ends by itself."""


@dataclass(frozen=True, slots=True)
class Regeneration:
    write: tuple[str, ...] = ()
    """Globs of the node's own sources that a machine may change; empty means every `.py` outside tests."""
    constraints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeSpec:
    name: str
    version: str
    run: tuple[str, ...]
    user: str = "dynamic"
    env: tuple[tuple[str, str], ...] = ()
    start_timeout: float = 30.0
    stop: Stop = field(default_factory=Stop)
    instances: int = 1
    spares: int = 0
    serves: Serves | None = None
    health: Health = field(default_factory=Health)
    resources: Resources = field(default_factory=Resources)
    healing: Healing = field(default_factory=Healing)
    rollout: RolloutPlan = field(default_factory=RolloutPlan)
    tests: Tests = field(default_factory=Tests)
    regeneration: Regeneration = field(default_factory=Regeneration)
