"""What does the mesh have to know of this host's nodes?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodespec.manifest import Check


@dataclass(frozen=True, slots=True)
class Speaker:
    """An instance that may publish and consume."""

    instance: str
    version: str
    uid: int


@dataclass(frozen=True, slots=True)
class Subscription:
    type: str
    ordered: bool
    """Events of one subject one after the other."""


@dataclass(frozen=True, slots=True)
class Contract:
    type: str
    version: str
    digest: str
    """Of the release in which the schema lies."""
    schema: str
    """Its file there; empty when any data will do."""
    check: Check


@dataclass(frozen=True, slots=True)
class Part:
    """What the mesh is told of one node."""

    speakers: tuple[Speaker, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    contracts: tuple[Contract, ...] = ()
    """Of a candidate first, so that stable has the last word on a type."""
    stable: str = ""
    """Version that gets what no share names."""
    canary: str = ""
    share: float = 0.0
    """Of its events for the canary: a lease, like that of requests."""


@dataclass(frozen=True, slots=True)
class Table:
    """All that the mesh is told; it replaces the one before as a whole."""

    number: int
    host: str
    parts: Mapping[str, Part]
    gone: tuple[str, ...]
    """Nodes for which no event waits any more."""
    lease: float
    """Seconds that the shares hold."""


@dataclass(frozen=True, slots=True)
class Mesh:
    generation: str = ""
    """Of the mesh that answers; empty while it is away."""
    number: int = 0
    """Of the newest table: it rises with every change, also over restarts."""
    taken: int = 0
    """Of the newest table that a mesh has taken."""
    gone: Mapping[str, int] = field(default_factory=dict)
    """Nodes that no longer consume, and the first table that says so; until it is taken."""
    leased_at: float = 0.0
    """When shares were last told."""
    problem: str = ""
    """Why the mesh did not take the newest table; empty when it did or may yet."""
