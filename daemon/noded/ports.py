"""What may noded ask of the world?

Every port raises only `PortError`s, sorted by what the caller can do about them. One contract
suite per port runs on its fake and on the real adapter.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from noded.model.route import Route, Traffic


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
        `Refused` when the port lies outside the proxy's ranges.
        """
        ...

    async def remove(self, port: int) -> None:
        """Empty the slot; an empty slot is fine."""
        ...

    async def traffic(self) -> Sequence[Traffic]:
        """Counts of every server that any route has."""
        ...

    async def generation(self) -> str:
        """Changes when the proxy was restarted and has forgotten every route."""
        ...
