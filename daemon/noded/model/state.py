"""Everything the control plane remembers: one value, replaced and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from noded.model.incident import Record
from noded.model.instance import Instance, Role
from noded.model.mesh import Mesh, Part, Table
from noded.model.release import Release
from noded.model.rollout import Rollout, Stage, ran
from noded.model.route import Route
from nodespec.manifest import LIMITLESS, Levels, NodeSpec, lower


class Desired(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    REMOVED = "removed"


LEASE = 14.0
"""Seconds a canary keeps its share of requests and events without word from noded; below the 15 s that are
promised, for the way of the last word."""

GIVEN_UP = 10
"""Failures, as `policy/crashes.py` counts them, after which a node has failed."""


@dataclass(frozen=True, slots=True)
class Backoff:
    failures: int = 0
    """Failures in a row; back to 0 after a long healthy run."""
    until: float = 0.0
    last: str = ""
    """The newest failure in words."""
    at: float = 0.0
    """When the newest failure was counted."""


@dataclass(frozen=True, slots=True)
class NodeState:
    spec: NodeSpec
    """Manifest of the stable release."""
    release: Release
    desired: Desired = Desired.RUNNING
    paused: bool = False
    instances: Mapping[str, Instance] = field(default_factory=dict)
    serial: int = 0
    """Number of the newest instance."""
    backoff: Backoff = field(default_factory=Backoff)
    restarts: int = 0
    restart_wanted: bool = False
    releases: tuple[Release, ...] = ()
    """Known releases, oldest first, the stable one among them."""
    rollout: Rollout | None = None
    past_rollouts: tuple[Rollout, ...] = ()
    rollouts: int = 0
    healing: Record = field(default_factory=Record)
    route: Route | None = None
    """What the proxy was last told."""
    part: Part | None = None
    """Of the mesh's table; None without events."""
    awaited: int = 0
    """The table that the mesh must have taken before the first instance starts; 0 when none must."""
    totals: Mapping[str, int] = field(default_factory=dict)
    """Ends of healing steps and rollouts by `what/how`, since the node was created."""
    wake_at: float = 0.0
    """The alarm that was last asked for; 0 when none is set."""
    unrecorded: bool = False
    """The registry did not take what should run: it is told again."""
    prepared: tuple[str, ...] = ()
    """Releases whose commands of [node] before have been run."""
    preparing: str = ""
    """The release they are being run for."""
    holds_socket: bool = False
    """A listening socket is open for it, whether an instance runs or not."""
    caps: Levels = LIMITLESS
    """What the administrator allows at most, whatever the manifest says."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def autonomy(self) -> Levels:
        """How far noded may go by itself: the manifest's word, below the caps."""
        return lower(self.spec.healing.autonomy, self.caps)

    @property
    def failed(self) -> bool:
        """It crashed so often that it is only tried now and then, until a person starts it."""
        return self.backoff.failures >= GIVEN_UP

    @property
    def rolling_out(self) -> bool:
        return self.rollout is not None and not self.rollout.ended

    def version(self, version: str) -> Release | None:
        return next((release for release in self.releases if release.version == version), None)

    @property
    def led_here(self) -> Rollout | None:
        """The rollout that brought the release that runs."""
        return next(
            (
                one
                for one in reversed(self.past_rollouts)
                if one.stage is Stage.PROMOTED and one.release.digest == self.release.digest
            ),
            None,
        )

    def returns_to(self, verb: str, version: str) -> tuple[NodeSpec, Release] | None:
        """What an order would bring back beside what runs; None when that makes no sense."""
        last = self.past_rollouts[-1] if self.past_rollouts else None
        if self.rolling_out or last is None:
            return None
        if verb == "retry":
            return (last.spec, last.release) if last.stage is Stage.ROLLED_BACK else None
        before = self.led_here.from_version if self.led_here else ""
        return ran(self.past_rollouts).get(version or before) if verb == "rollback" else None

    def having(self, instance: Instance) -> "NodeState":
        return replace(self, instances={**self.instances, instance.id: instance})

    def without(self, instance: str) -> "NodeState":
        return replace(self, instances={i: held for i, held in self.instances.items() if i != instance})

    def of(self, role: Role) -> tuple[Instance, ...]:
        """Instances of a role that are not on their way out."""
        return tuple(i for i in self.instances.values() if i.role is role and not i.leaving)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The newest numbers that a removed node gave: no name is ever given twice."""

    instance: int = 0
    incident: int = 0
    rollout: int = 0
    recorded: bool = True
    """False while the registry has not taken that the node is gone."""


@dataclass(frozen=True, slots=True)
class Host:
    """What is fixed about this host while noded runs."""

    name: str = "localhost"
    run: str = "/run/noded/i"
    """Folder whose sub-folders, named by instance, hold the instances' sockets."""
    ports: tuple[tuple[int, int], ...] = ()
    """Ranges of ports the proxy has bound for requests, both ends included."""
    tcp_ports: tuple[tuple[int, int], ...] = ()
    """Ranges of ports the proxy has bound for connections that it does not read."""
    sockets: tuple[tuple[int, int], ...] = ()
    """Ranges of ports at which listening sockets may be held for nodes."""
    instance_ports: tuple[int, int] = (20000, 20999)
    """Where instances listen that cannot use a unix socket."""
    memory: int = 0
    """Bytes of memory of the machine; the limit of a node that has none of its own."""


@dataclass(frozen=True, slots=True)
class HostState:
    host: Host = field(default_factory=Host)
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    paused: bool = False
    proxy: str = ""
    """Generation of the proxy that holds our routes; empty while it is away."""
    mesh: Mesh = field(default_factory=Mesh)
    booted_at: float = 0.0
    removed: Mapping[str, Numbers] = field(default_factory=dict)
    caps: Levels = LIMITLESS
    caps_of: Mapping[str, Levels] = field(default_factory=dict)
    """Of single nodes; they count beside those of all."""
    held: bool = False
    """The file PAUSE lies beside policy.toml."""
    full: str = ""
    """What has no room on the disk of the state folder; empty while there is room."""
    journaled: bool = True
    """False while decisions cannot be written down."""

    @property
    def limited(self) -> bool:
        """By a person or for want of disk nothing goes on but keeping processes alive."""
        return self.paused or self.held or bool(self.full)

    @property
    def table(self) -> Table:
        """What the mesh is to hold."""
        parts = {name: node.part for name, node in self.nodes.items() if node.part is not None}
        return Table(self.mesh.number, self.host.name, parts, tuple(self.mesh.gone), LEASE)

    def holding(self, node: NodeState) -> "HostState":
        return replace(self, nodes={**self.nodes, node.name: node})

    def forgetting(self, node: NodeState) -> "HostState":
        numbers = Numbers(node.serial, node.healing.serial, node.rollouts)
        nodes = {name: held for name, held in self.nodes.items() if name != node.name}
        return replace(self, nodes=nodes, removed={**self.removed, node.name: numbers})
