"""Which instances answer for a node, and how are requests shared between them?

A `Route` is a table: policy builds it, the proxy is made equal to it, nobody edits it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """What the proxy may do with one server of a route."""

    PINNED = "pinned"
    """Takes its version's share and nothing else."""
    SPARE = "spare"
    """Takes no share; a request that could not reach its server is sent here instead."""
    CANARY = "canary"
    """As pinned, for the canary's share, behind a fuse of three consecutive errors."""
    DRAINING = "draining"
    """Finishes what it has and gets nothing new."""


@dataclass(frozen=True, slots=True)
class Server:
    instance: str
    address: str
    """`unix:/path` or `127.0.0.1:port`."""
    place: Place


@dataclass(frozen=True, slots=True)
class Route:
    node: str
    port: int
    """The port clients use; it names the slot in the proxy."""
    servers: tuple[Server, ...] = ()
    share: float = 0.0
    """Fraction of requests for the canary."""
    lease: float = 0.0
    """Seconds from now after which the proxy takes the share as 0; 0 when there is no share."""
    idempotent: tuple[str, ...] = ("GET", "HEAD")
    """Methods the proxy may send again to another server."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Cumulative counts of one server since the proxy began to count it."""

    instance: str
    requests: int
    bad: int
    """5xx answers, connection and response failures, and requests redispatched away."""
    sessions: int
    """Requests in flight now."""
    up: bool
    """False while the health check or the fuse holds it down."""
