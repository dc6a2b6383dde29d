"""What does a node say about itself?

The dataclasses mirror `node.toml` key for key. They hold plain values: seconds, bytes and
shares, never the text they were written as. `reading.py` is the only way from text to here.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Protocol(StrEnum):
    """What clients speak; `http` is HTTP/1.1 and HTTP/2, `grpc` reaches the program as HTTP/2."""

    HTTP = "http"
    GRPC = "grpc"
    TCP = "tcp"


class Listen(StrEnum):
    """How the program gets its place: a unix socket or a port it opens itself, or an open socket as
    descriptor 3 (sd_listen_fds(3)) that outlives the instance."""

    UNIX = "unix"
    PORT = "port"
    FD = "fd"


class Probe(StrEnum):
    """How readiness or liveness is told: nodekit's messages, sd_notify's READY=1, an answered HTTP request,
    a connection, or a program that ends with 0."""

    SDK = "sdk"
    NOTIFY = "notify"
    HTTP = "http"
    TCP = "tcp"
    EXEC = "exec"
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
    hosts: tuple[str, ...] = ()
    """Names of the Host header for which it answers: nodes with different names may share one port."""


@dataclass(frozen=True, slots=True)
class Calls:
    """A node whose port this one asks, and how long it waits: a conflict with that node's objectives is found
    before it hurts."""

    node: str
    timeout: float


class Check(StrEnum):
    """What becomes of a published event that breaks its contract."""

    REJECT = "reject"
    WARN = "warn"
    OFF = "off"


class Order(StrEnum):
    SUBJECT = "subject"


@dataclass(frozen=True, slots=True)
class Publishes:
    """An event type of which this node is the only owner on its host."""

    type: str
    schema: str = ""
    """A file in the release: JSON Schema of the data."""
    check: Check = Check.REJECT


@dataclass(frozen=True, slots=True)
class Consumes:
    type: str
    schema: str = ""
    """What this node understands, for its own code; the publisher's is the contract."""
    order_by: Order | None = None
    """Events of one subject one after the other; in no order when not given."""


@dataclass(frozen=True, slots=True)
class Health:
    """Ready: an instance may take requests. Alive: it answers at all; one that is silent for `patience`
    seconds is ended and replaced, unless its host is what is slow."""

    readiness: Probe = Probe.SDK
    liveness: Probe | None = None
    """As readiness when not given, and none for notify."""
    path: str = "/healthz"
    command: tuple[str, ...] = ()
    """For exec: run inside the instance."""
    period: float = 0.0
    """Seconds between questions; 0 for half a second, five for exec."""
    timeout: float = 0.5
    """Longest time for one run of the command."""
    failures: int = 4
    """Questions in a row without an answer."""

    @property
    def alive_by(self) -> Probe:
        chosen = self.liveness if self.liveness is not None else self.readiness
        return Probe.NONE if chosen is Probe.NOTIFY else chosen

    @property
    def every(self) -> float:
        return self.period or (5.0 if self.alive_by is Probe.EXEC else 0.5)

    @property
    def patience(self) -> float:
        """Seconds of silence after which an instance counts as dead."""
        return self.failures * max(self.every, self.timeout)


@dataclass(frozen=True, slots=True)
class Resources:
    """Zero means no limit of the node's own."""

    memory: int = 0
    memory_high: int = 0
    """Above it the kernel slows the node down and takes pages back."""
    cpu: float = 0.0
    pids: int = 0
    io: int = 0
    """Weight from 1 to 10000 beside others that want the disk; 0 for the kernel's 100."""
    files: int = 0


@dataclass(frozen=True, slots=True)
class Levels:
    """Autonomy per kind of step. `tune` covers collect and shrink."""

    restart: Autonomy = Autonomy.ACT
    rollback: Autonomy = Autonomy.ACT
    tune: Autonomy = Autonomy.ADVISE
    replace: Autonomy = Autonomy.ADVISE
    regenerate: Autonomy = Autonomy.OFF


LIMITLESS = Levels(Autonomy.ACT, Autonomy.ACT, Autonomy.ACT, Autonomy.ACT, Autonomy.ACT)


def lower(one: Levels, other: Levels) -> Levels:
    """Of each kind the more careful of the two."""
    order = list(Autonomy)

    def least(a: Autonomy, b: Autonomy) -> Autonomy:
        return min(a, b, key=order.index)

    return Levels(
        least(one.restart, other.restart),
        least(one.rollback, other.rollback),
        least(one.tune, other.tune),
        least(one.replace, other.replace),
        least(one.regenerate, other.regenerate),
    )


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


class OnInconclusive(StrEnum):
    """What follows when a step has lasted `max_dwell` and the figures decide nothing."""

    HOLD = "hold"
    WIDEN = "widen"
    """The next share, for more evidence; never the last step."""
    PROMOTE = "promote"


class OnFailure(StrEnum):
    """What follows when the new version is found to be worse."""

    ROLLBACK = "rollback"
    FREEZE = "freeze"
    """The share stays where it is, where going back would do more harm, and a person decides."""


class Canary(StrEnum):
    """How the new version gets work."""

    SHARE = "share"
    """By its share of requests and events."""
    INSTANCES = "instances"
    """It fetches its work elsewhere: its share is that of acting instances."""


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    steps: tuple[float, ...] = (0.10, 0.25, 0.50, 1.0)
    dwell: float = 30.0
    """Shortest time at a step."""
    soak: float = 600.0
    """How long the old version stays warm after the last step."""
    max_dwell: float = 1800.0
    """Time at a step after which it counts as inconclusive."""
    on_inconclusive: OnInconclusive = OnInconclusive.HOLD
    on_failure: OnFailure = OnFailure.ROLLBACK
    canary: Canary = Canary.SHARE


@dataclass(frozen=True, slots=True)
class Objectives:
    """What users of the node may expect; 0 means that nothing is promised."""

    error_ratio: float = 0.0
    """Largest part of requests and events that may fail; also what a new version may be worse by."""
    latency_p99: float = 0.0
    """Seconds within which 99 of 100 requests are answered."""
    queue_lag: float = 0.0
    """Seconds an event may wait for it."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where the node tells its own figures, in Prometheus' text format, through the place where it serves."""

    path: str = "/metrics"
    latency: str = ""
    """Name of its histogram of answer times in seconds; empty when it has none."""


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
    before: tuple[tuple[str, ...], ...] = ()
    """Run to their end, one after the other, once before a release's first instance."""
    requirements: str = ""
    """A file in the release: wheels by hash, unpacked once into the release."""
    user: str = "dynamic"
    env: tuple[tuple[str, str], ...] = ()
    env_file: str = ""
    secrets: tuple[tuple[str, str], ...] = ()
    """Variables and the files their values are read from, by the launcher alone."""
    write: tuple[str, ...] = ()
    """Folders besides its data folder that are made and given to the node's user."""
    start_timeout: float = 30.0
    stop: Stop = field(default_factory=Stop)
    reload: str = ""
    """Signal on which the program reads its settings again; empty when it has none."""
    instances: int = 1
    spares: int = 0
    serves: Serves | None = None
    publishes: tuple[Publishes, ...] = ()
    consumes: tuple[Consumes, ...] = ()
    health: Health = field(default_factory=Health)
    resources: Resources = field(default_factory=Resources)
    healing: Healing = field(default_factory=Healing)
    rollout: RolloutPlan = field(default_factory=RolloutPlan)
    objectives: Objectives = field(default_factory=Objectives)
    metrics: Metrics = field(default_factory=Metrics)
    calls: tuple[Calls, ...] = ()
    tests: Tests = field(default_factory=Tests)
    regeneration: Regeneration = field(default_factory=Regeneration)

    @property
    def proxied(self) -> bool:
        """Whether its requests come through the proxy."""
        return self.serves is not None and self.serves.listen is not Listen.FD

    @property
    def speaks(self) -> bool:
        """Whether it publishes or consumes events."""
        return bool(self.publishes or self.consumes)

    @property
    def holds_socket(self) -> bool:
        """Whether its listening socket is held open for it from instance to instance."""
        return self.serves is not None and self.serves.listen is Listen.FD
