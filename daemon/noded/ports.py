"""What may noded ask of the world?

Every port raises only `PortError`s, sorted by what the caller can do about them. One contract
suite per port runs on its fake and on the real adapter.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from noded.launch import Launch, Ran
from noded.model import conflict, signals
from noded.model.actions import Regenerate
from noded.model.inputs import Input, Observed
from noded.model.instance import Process, Vitals
from noded.model.liveness import Pressure
from noded.model.mesh import Table
from noded.model.release import Release
from noded.model.route import Route, Traffic
from nodespec.manifest import NodeSpec


class PortError(Exception):
    """A technology said no. The text reads "cannot <verb> <object>: <cause>"."""


class Unavailable(PortError):
    """Nothing was done; trying later may help."""


class TimedOut(PortError):
    """The outcome is unknown; read before trying again."""


class Conflict(PortError):
    """Somebody was faster, or it exists already; read again."""


class NotFound(PortError):
    """It is gone, which is usually fine."""


class Refused(PortError):
    """It will never work as asked; tell a person."""


@dataclass(frozen=True, slots=True)
class Record:
    """One key of the registry."""

    key: str
    value: bytes
    revision: int
    """Revision of the registry at which this value was written."""
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One write or removal, as a watch tells it; `value` is None when the key was removed."""

    key: str
    value: bytes | None
    revision: int


class Registry(Protocol):
    """The node map: keys are paths such as `nodes/catalog`, values at most 1 MiB.

    Every write raises one host-wide revision by one. Reads are linearizable: they see every
    write that was answered before the read began.
    """

    async def get(self, key: str) -> Record | None: ...

    async def list(self, prefix: str) -> tuple[tuple[Record, ...], int]:
        """Every record under the prefix in key order, and the revision they were read at."""
        ...

    async def put(self, key: str, value: bytes, *, expected: int | None = None, lease: int = 0) -> int:
        """Write and return the new revision.

        `expected` is the record's revision the caller read (0: the key must not exist); when it
        differs, `Conflict` is raised and nothing is written. None writes unconditionally. A
        record with a lease goes away with it; an unknown lease raises `NotFound`.
        """
        ...

    async def delete(self, key: str, *, expected: int | None = None) -> int:
        """Remove and return the new revision; a key that is not there raises `NotFound`."""
        ...

    def watch(self, prefix: str, after: int) -> AsyncIterator[Change]:
        """Every change under the prefix with a revision above `after`, in order, without gaps.

        Raises `Conflict` when changes after `after` are no longer kept: list again.
        """
        ...

    async def grant(self, ttl: float) -> int:
        """A new lease that ends `ttl` seconds after its last renewal."""
        ...

    async def renew(self, lease: int) -> float:
        """Keep a lease; returns its time to live. `NotFound` when it has ended."""
        ...

    async def revoke(self, lease: int) -> None:
        """End a lease and remove its records; a lease that has ended already is fine."""
        ...

    async def close(self) -> None: ...


class Proxy(Protocol):
    """Data plane for requests."""

    async def install(self, route: Route) -> None:
        """Make the proxy equal to the route. Idempotent; servers not in the route are removed.

        A share is written before anything slow is done, so that cutting a share takes effect
        even when the rest fails. Raises `Unavailable` when the proxy does not answer and
        `Refused` when the port lies outside the proxy's ranges. Routes of several nodes may have one
        port when all but one name hosts; who is told last gets a port or host that two claim.
        """
        ...

    async def remove(self, route: Route) -> None:
        """Take away what the route's node has at the route's door; nothing there is fine, and what is
        another node's by now stays."""
        ...

    async def traffic(self) -> Sequence[Traffic]:
        """Counts of every server that any route has."""
        ...

    async def generation(self) -> str:
        """Changes when the proxy was restarted and has forgotten every route."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """What a mesh says of itself: which process it is, and the number of the table it holds; 0 for none."""

    generation: str
    table: int


class Mesh(Protocol):
    """Data plane for events."""

    async def held(self) -> Held: ...

    async def handled(self, versions: Mapping[str, Collection[str]]) -> tuple[signals.Handled, ...]:
        """What these versions of these nodes did, by its counts since it started; nothing of a node that it
        does not know."""
        ...

    async def install(self, table: Table) -> None:
        """When it returns the mesh holds the table, on disk. The shares in it hold for its lease from now.

        The same number may come again. Raises `Refused` for a number below the one held, and
        `Unavailable` when the mesh does not answer.
        """
        ...


class Processes(Protocol):
    """What runs. Ends arrive as `InstanceExited` inputs, once for every watched instance."""

    async def run(self, launch: Launch, timeout: float, into: str = "") -> Ran:
        """Start, wait for the end, clear up. With `into`, inside the groups of that instance.

        It gets a name of its own, `node.N` with N from `FIRST_RUN` on, whatever the launch says.
        One that had to be ended at its timeout is told as `timed_out`, with what it printed until then.
        """
        ...

    async def inspect(self, instance: str) -> Mapping[str, object]:
        """What only root may see of it: pids, states, wait channels, descriptors; untrusted names."""
        ...

    async def unlisten(self, node: str) -> None:
        """Close the sockets held for a node; none is fine."""
        ...

    async def start(self, launch: Launch) -> tuple[Process, tuple[str, ...]]:
        """Start, and say which limits could not be applied. Raises `Refused` with the launcher's words."""
        ...

    async def entrust(self, instance: str, path: str) -> None:
        """Let a running instance speak where noded listens to it anew. One that is not there is fine."""
        ...

    def watch(self, node: str, instance: str, process: Process) -> None:
        """Tell when this process ends; one that has ended already is told at once."""
        ...

    async def signal(self, instance: str, signal: str) -> None:
        """One that is not there or has ended is fine."""
        ...

    async def kill(self, instance: str) -> None:
        """End the whole tree. An instance that is not there is fine."""
        ...

    async def publish(self, instance: str) -> None:
        """Make its listening socket reachable at the path routes use.

        Raises `Refused` when what lies there is not a socket the instance made.
        """
        ...

    async def remove(self, instance: str) -> None:
        """Clear away what an ended instance left. One that is not there is fine."""
        ...

    async def observe(self) -> tuple[Observed, ...]:
        """Every instance the launcher knows, also those that ended and were not cleared up."""
        ...


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The newest word of an instance's SDK."""

    at: float
    lag: float
    progress: int
    stuck: float = 0.0
    """Seconds the event loop had stood still when it was sent: its last turn is the last sign of life."""
    oldest: float = 0.0
    """Seconds that the oldest unanswered request had taken."""


class Nodes(Protocol):
    """The line to the SDK inside an instance. Readiness arrives as `InstanceReady` inputs."""

    def listen(self, node: str, instance: str) -> str:
        """Open the instance's notify socket and return its path; may be called again."""
        ...

    def expect(self, node: str, instance: str, uid: int) -> None:
        """Believe what this user says on the instance's socket, and nobody else."""
        ...

    async def order(self, instance: str, order: Mapping[str, object], timeout: float) -> Mapping[str, object]:
        """Have the SDK do something and return its result, which is untrusted.

        Raises `TimedOut` when it does not answer, `NotFound` when it has no SDK or is gone,
        `Unavailable` when it does not even take the order and `Refused` when it answers that it cannot.
        """
        ...

    def heartbeat(self, instance: str) -> Heartbeat | None: ...

    def answers(self, instance: str) -> signals.Answers | None:
        """Its newest word of the requests it answered; None when it never said any."""
        ...

    def forget(self, instance: str) -> None:
        """Close its socket; orders that wait fail with `NotFound`."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """What a process and those below it have done; differences of two looks tell what they do."""

    cpu: float
    """Seconds of CPU used."""
    waited: float
    """Seconds their threads were ready to run and had no CPU (/proc/PID/task/TID/schedstat)."""
    state: str
    """The kernel's letter for the main thread: R, S, D, T, t, Z."""


class Sensors(Protocol):
    """Readings of processes from outside."""

    def look(self, process: Process) -> Look | None:
        """None when it has vanished."""
        ...

    def pressure(self) -> Pressure: ...

    def read(self, instance: str, process: Process, at: float) -> Vitals | None:
        """None when it has just vanished, which is ordinary."""
        ...


class Probes(Protocol):
    async def answers(self, address: str, uid: int, path: str, timeout: float) -> bool:
        """True when a GET gets a 2xx answer in time; a unix socket must belong to `uid`."""
        ...

    async def responds(self, address: str, uid: int, path: str, timeout: float) -> bool:
        """True when a GET gets any HTTP answer in time: it lives, whatever it says."""
        ...

    async def connects(self, address: str, uid: int, timeout: float) -> bool:
        """True when a connection is taken in time."""
        ...


class Releases(Protocol):
    """Immutable trees on disk, by digest."""

    def path(self, digest: str) -> Path: ...

    def spec(self, digest: str) -> NodeSpec:
        """Raises `NotFound` when the release is not here."""
        ...

    async def remove(self, digest: str) -> None:
        """One that is not here is fine."""
        ...

    async def all(self) -> tuple[Release, ...]:
        """Those on this host whose manifest can be read."""
        ...


class Workshop(Protocol):
    """Has a node's next version made. The outcome arrives as an input, also after a restart of noded."""

    async def begin(self, order: Regenerate) -> None: ...

    async def cancel(self, incident: str) -> None:
        """Stop the work; work that is not there is fine."""
        ...


class Inbox(Protocol):
    def put(self, fact: Input) -> None:
        """Never blocks. A newer sample takes the place of one that waits."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Steady unix seconds: taken from the wall once, then from the boot clock."""
        ...


class Answers(Protocol):
    def answer(
        self, request: int, kind: str, text: str, effect: str, conflicts: tuple[conflict.Conflict, ...] = ()
    ) -> None:
        """Reply to whoever asked; nobody waiting any more is fine."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the chronicle."""

    at: float
    node: str
    subject: str
    kind: str
    name: str
    text: str
    body: str
    sequence: int = 0


class Chronicle(Protocol):
    """Decisions and the inputs that led to them, kept by age and number, to be read by people."""

    def add(self, entries: Sequence[Entry]) -> None:
        """Queue for writing; never blocks the caller on the disk."""
        ...

    async def read(self, node: str, subject: str, after: int, limit: int) -> tuple[Entry, ...]:
        """The newest `limit` entries with a sequence above `after`, oldest first."""
        ...


class Ring(Protocol):
    """The raw record, in segments that begin with a snapshot.

    What was flushed survives our death, what was synced survives the machine's.
    """

    def append(self, line: str) -> None: ...

    def flush(self) -> None: ...

    def rotate(self, header: str) -> None:
        """Begin a new segment with this header and drop the oldest beyond the size kept."""
        ...

    def full(self) -> bool:
        """The present segment has reached its size."""
        ...

    async def sync(self) -> None: ...
