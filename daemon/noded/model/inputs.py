"""Everything that can happen to noded: timestamped facts in the past tense.

`at` is steady seconds: unix time taken once when noded starts, then advanced by the kernel's
boot clock, so that it can be shown as a date and never jumps within a run.
"""

from dataclasses import dataclass
from typing import TypeAlias

from noded.model.incident import Report, Site
from noded.model.instance import Process, Vitals
from noded.model.liveness import Silence
from noded.model.release import Release
from noded.model.route import Traffic
from noded.model.signals import Answers, Handled
from noded.model.state import Host
from nodespec.manifest import Levels, NodeSpec


@dataclass(frozen=True, slots=True)
class Observed:
    """An instance that the launcher knows."""

    instance: str
    process: Process
    digest: str = ""
    """Of the release it works in; empty when that cannot be told."""
    running: bool = True
    """False when its main process has ended; processes that it began may live on."""


@dataclass(frozen=True, slots=True)
class Known:
    """A node as the registry has it."""

    spec: NodeSpec
    release: Release
    desired: str


@dataclass(frozen=True, slots=True)
class Booted:
    """noded came up, and this is what it found."""

    at: float
    host: Host
    observed: tuple[Observed, ...] = ()
    known: tuple[Known, ...] = ()
    intact: bool = True
    """False when the end of our memory was damaged: then the registry knows better."""


@dataclass(frozen=True, slots=True)
class Schema:
    digest: str
    """Of the release it lies in."""
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class ApplyRequested:
    at: float
    request: int
    spec: NodeSpec
    release: Release
    taken: str = ""
    """Digest the registry has for this version of this node already; empty when it has none."""
    plan_only: bool = False
    stopped: bool = False
    """A new node is entered and waits for its start: it was stopped where it comes from."""
    schemas: tuple[Schema, ...] = ()
    """Contracts of the release and of everything that lives here and shares a type with it."""
    lost: str = ""
    """A machine-written change of the active release that is missing here, as a diff; empty when none is."""
    force: bool = False
    """A person knows of the conflicts and goes on."""
    supersede: bool = False
    """A person knows that a machine-written change is lost and goes on."""


@dataclass(frozen=True, slots=True)
class CommandRequested:
    at: float
    request: int
    verb: str
    node: str
    by: str
    version: str = ""
    """The release to return to; empty for the one before."""
    schemas: tuple[Schema, ...] = ()
    """As of a release that is applied, where the order brings one back."""
    force: bool = False


@dataclass(frozen=True, slots=True)
class InstanceStarted:
    at: float
    node: str
    instance: str
    process: Process
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceReady:
    at: float
    node: str
    instance: str
    told_by: str
    spoken: bool = False
    """By the instance itself, not by an answer to a question of ours."""


@dataclass(frozen=True, slots=True)
class InstanceExited:
    at: float
    node: str
    instance: str
    status: str
    """`code 1`, `signal 9`, `out of memory` or `unknown`."""


@dataclass(frozen=True, slots=True)
class InstanceSilent:
    """It has given no sign of life for as long as its manifest grants; told again while that lasts."""

    at: float
    node: str
    instance: str
    silence: Silence


@dataclass(frozen=True, slots=True)
class Prepared:
    """The commands of [node] before were run for a release; `problem` is empty when all ended with 0."""

    at: float
    node: str
    digest: str
    problem: str = ""
    output: str = ""
    """The newest of what the one that failed printed, masked; for operators, never part of a reason."""


@dataclass(frozen=True, slots=True)
class PolicyRead:
    """What the administrator's files allow: policy.toml's caps, and whether PAUSE lies beside it."""

    at: float
    caps: Levels
    held: bool
    caps_of: tuple[tuple[str, Levels], ...] = ()
    """Of single nodes."""


@dataclass(frozen=True, slots=True)
class Reading:
    instance: str
    node: str
    vitals: Vitals


@dataclass(frozen=True, slots=True)
class Sampled:
    """One tick: readings of every instance of every node."""

    at: float
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class TrafficCounted:
    at: float
    counts: tuple[Traffic, ...] = ()


@dataclass(frozen=True, slots=True)
class SignalsTold:
    """What nodes and the mesh say of the work of versions that are being compared."""

    at: float
    answers: tuple[Answers, ...] = ()
    handled: tuple[Handled, ...] = ()


@dataclass(frozen=True, slots=True)
class ProxyFound:
    """The proxy answers; a generation not seen before knows none of our routes."""

    at: float
    generation: str


@dataclass(frozen=True, slots=True)
class ProxyLost:
    at: float
    cause: str


@dataclass(frozen=True, slots=True)
class MeshFound:
    """The mesh answers; `table` is the number of the one it holds, 0 when it has none."""

    at: float
    generation: str
    table: int = 0


@dataclass(frozen=True, slots=True)
class MeshLost:
    at: float
    cause: str


@dataclass(frozen=True, slots=True)
class TableTaken:
    """The mesh holds this table, on disk."""

    at: float
    number: int


@dataclass(frozen=True, slots=True)
class DiskFilled:
    """The disk of the state folder has no room left for more than keeping processes alive."""

    at: float
    cause: str
    journaled: bool = True
    """False when not even decisions can be written down."""


@dataclass(frozen=True, slots=True)
class DiskFreed:
    at: float


@dataclass(frozen=True, slots=True)
class RegistryRenewed:
    """The registry was damaged and begins anew: it knows no node and no release."""

    at: float
    cause: str
    releases: tuple[Release, ...] = ()
    """All that are on disk."""


@dataclass(frozen=True, slots=True)
class GarbageCollected:
    at: float
    node: str
    instance: str
    before: int
    after: int
    objects: int


@dataclass(frozen=True, slots=True)
class CachesShrunk:
    at: float
    node: str
    instance: str
    before: int
    after: int
    detail: str


@dataclass(frozen=True, slots=True)
class MemoryProfiled:
    at: float
    node: str
    instance: str
    sites: tuple[Site, ...]


@dataclass(frozen=True, slots=True)
class CandidateProposed:
    """The regeneration worker ended with a candidate; it is stored as a release already."""

    at: float
    node: str
    incident: str
    spec: NodeSpec
    release: Release
    report: Report


@dataclass(frozen=True, slots=True)
class RegenerationFailed:
    at: float
    node: str
    incident: str
    report: Report


@dataclass(frozen=True, slots=True)
class Woken:
    at: float
    node: str


@dataclass(frozen=True, slots=True)
class ActionFailed:
    """An action could not be done. `kind` says what the world answered, `cause` why."""

    at: float
    action: str
    node: str
    instance: str
    kind: str
    cause: str


Input: TypeAlias = (
    Booted
    | ApplyRequested
    | CommandRequested
    | InstanceStarted
    | InstanceReady
    | InstanceExited
    | InstanceSilent
    | Prepared
    | PolicyRead
    | Sampled
    | TrafficCounted
    | SignalsTold
    | ProxyFound
    | ProxyLost
    | MeshFound
    | MeshLost
    | TableTaken
    | DiskFilled
    | DiskFreed
    | RegistryRenewed
    | GarbageCollected
    | CachesShrunk
    | MemoryProfiled
    | CandidateProposed
    | RegenerationFailed
    | Woken
    | ActionFailed
)
