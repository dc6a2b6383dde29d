"""Everything noded can do: orders, each with the reason a person can read."""

from dataclasses import dataclass
from typing import TypeAlias

from noded.model.conflict import Conflict
from noded.model.incident import Site
from noded.model.instance import Process, Role
from noded.model.route import Route


@dataclass(frozen=True, slots=True)
class StartInstance:
    node: str
    instance: str
    digest: str
    version: str
    listen: str
    active: bool
    reason: str
    role: Role = Role.STABLE


@dataclass(frozen=True, slots=True)
class Prepare:
    """Run the commands of [node] before, once for a release; the first instance waits for them."""

    node: str
    digest: str
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class AdoptInstance:
    """Watch a process that outlived us as if we had started it."""

    node: str
    instance: str
    digest: str
    process: Process
    ready: bool
    reason: str


@dataclass(frozen=True, slots=True)
class StopInstance:
    node: str
    instance: str
    signal: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReloadInstance:
    """Have it read its settings again, by the signal its manifest names."""

    node: str
    instance: str
    signal: str
    reason: str


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Close the listening socket that is held for a node from instance to instance."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class KillInstance:
    node: str
    instance: str
    reason: str
    said: str = ""
    """The last line of the program that asked it, masked; for operators."""


@dataclass(frozen=True, slots=True)
class RemoveInstance:
    """Clear away what an ended instance leaves: cgroups, sockets."""

    node: str
    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class ActivateInstance:
    """Tell a spare or canary that it may act on its own now."""

    node: str
    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class InstallRoute:
    node: str
    route: Route
    cancels: tuple[str, ...]
    """Instances whose waiting starts are pointless once this route stands."""
    reason: str


@dataclass(frozen=True, slots=True)
class RenewShare:
    """Write the same route again so that the canary's lease does not end."""

    node: str
    route: Route
    reason: str


@dataclass(frozen=True, slots=True)
class RemoveRoute:
    node: str
    route: Route
    """As it was last told."""
    reason: str

    @property
    def port(self) -> int:
        return self.route.port


@dataclass(frozen=True, slots=True)
class InstallTable:
    """Tell the mesh who speaks, who consumes what, and by which contracts: all of it, as it is when told."""

    node: str
    """Whose change it tells; empty for several."""
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class RenewTable:
    """Tell the same table again so that the canaries' leases do not end."""

    node: str
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class BeginProfile:
    node: str
    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class EndProfile:
    node: str
    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class CollectGarbage:
    node: str
    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShrinkCaches:
    node: str
    instance: str
    fraction: float
    reason: str


@dataclass(frozen=True, slots=True)
class RestoreCaches:
    node: str
    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class Regenerate:
    """Have the node's next version written and proved by the worker."""

    node: str
    incident: str
    signature: str
    digest: str
    version: str
    next_version: str
    slope: float
    limit: int
    sites: tuple[Site, ...]
    tried: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class CancelRegeneration:
    node: str
    incident: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordRelease:
    """Enter a release into the registry, for good: a version never changes its content."""

    node: str
    version: str
    digest: str
    origin: str
    signature: str
    reason: str


@dataclass(frozen=True, slots=True)
class RemoveRelease:
    """Take the files of a release from the disk; what its version was stays on record."""

    node: str
    version: str
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordNode:
    """Switch what the registry says should run. One write: before it the old, after it the new."""

    node: str
    version: str
    digest: str
    desired: str
    reason: str


@dataclass(frozen=True, slots=True)
class ForgetNode:
    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    node: str
    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Nothing to do: a conclusion that a person should find in the journal."""

    node: str
    subject: str
    """The incident or rollout it is about."""
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to a request from outside. `kind` is empty when it was accepted."""

    request: int
    node: str
    kind: str
    text: str
    effect: str = ""
    reason: str = ""
    conflicts: tuple[Conflict, ...] = ()


Action: TypeAlias = (
    StartInstance
    | Prepare
    | AdoptInstance
    | StopInstance
    | ReloadInstance
    | CloseSocket
    | KillInstance
    | RemoveInstance
    | ActivateInstance
    | InstallRoute
    | RenewShare
    | RemoveRoute
    | InstallTable
    | RenewTable
    | BeginProfile
    | EndProfile
    | CollectGarbage
    | ShrinkCaches
    | RestoreCaches
    | Regenerate
    | CancelRegeneration
    | RecordRelease
    | RemoveRelease
    | RecordNode
    | ForgetNode
    | WakeAt
    | Note
    | Answer
)

Actions: TypeAlias = tuple[Action, ...]

IRREVERSIBLE = (
    StartInstance,
    Prepare,
    StopInstance,
    KillInstance,
    InstallRoute,
    Regenerate,
    RecordRelease,
    RemoveRelease,
    RecordNode,
    ForgetNode,
)
"""What changes the world for good: written down and synced before it is done."""


def irreversible(action: Action) -> bool:
    """A route without a canary's share is none of it: the proxy is told anew whenever it or noded starts, and
    the proxy ends with the machine."""
    if isinstance(action, InstallRoute):
        return action.route.share > 0.0
    return isinstance(action, IRREVERSIBLE)


RECORDED = (Regenerate, RecordRelease, RecordNode, ForgetNode)
"""What is not done while decisions cannot be written down: nothing of it keeps a process alive."""

TRAFFIC = (InstallRoute, RenewShare, RemoveRoute)
"""The lane that never waits for work."""

TABLES = (InstallTable, RenewTable)
"""A lane of their own: no node waits for the mesh."""

ROUTINE = (RenewShare, RenewTable, WakeAt, Answer)
"""Repeated or formal steps that would drown the decisions in the journal."""
