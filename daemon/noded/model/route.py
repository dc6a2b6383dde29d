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
    """As pinned, for the canary's share, behind a fuse of three errors in a row."""
    DRAINING = "draining"
    """Finishes what it has and gets nothing new."""


@dataclass(frozen=True, slots=True)
class Server:
    instance: str
    address: str
    """`unix:/path` or `127.0.0.1:port`."""
    place: Place
    h2: bool = False
    """Asked in HTTP/2 from the first byte, as gRPC programs are; otherwise in HTTP/1.1."""
    raised: int = 0
    """How often this canary was put back after its fuse had cut it: a number that the proxy was not told yet
    puts it back once, the same number again leaves it as it is."""


@dataclass(frozen=True, slots=True)
class Route:
    node: str
    port: int
    """The port clients use."""
    servers: tuple[Server, ...] = ()
    share: float = 0.0
    """Fraction of requests for the canary, in steps of 0.01 %."""
    lease: float = 0.0
    """Seconds from now after which the proxy takes the share as 0; 0 when there is no share."""
    idempotent: tuple[str, ...] = ("GET", "HEAD")
    """Methods the proxy may send again to another server; every call of gRPC is a POST."""
    hosts: tuple[str, ...] = ()
    """Names of the Host header it answers for, among other nodes on the same port; empty: for all names that
    nobody else there has."""
    tcp: bool = False
    """The proxy shares connections and does not read them; such ports are a range of their own."""

    @property
    def door(self) -> tuple[int, bool, bool]:
        """Where in the proxy its servers stand: a node whose door changes leaves the old one."""
        return self.port, self.tcp, bool(self.hosts)


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
    """False while the health check or the fuse holds it down. A version without a server that is up takes
    nothing: the others are given its requests."""
    moved: int = 0
    """Of `bad`, what another server was asked instead: it counts there too."""
    again: int = 0
    """Of requests, what another instance was asked before: it counts there."""
    again_bad: int = 0
    """Of these, what went badly here too."""
