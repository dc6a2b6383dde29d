"""What has noded decided about events? One immutable value, replaced as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Judging(StrEnum):
    """What happens to an event that breaks its contract."""

    REJECT = "reject"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Member:
    """An instance that may speak, if the process at the other end has this uid."""

    instance: str
    node: str
    version: str
    uid: int


@dataclass(frozen=True, slots=True)
class Share:
    version: str
    share: float
    valid_until: float
    """Seconds since the epoch; afterwards the share is 0."""


@dataclass(frozen=True, slots=True)
class Consumer:
    node: str
    types: Mapping[str, bool]
    """By event type: whether it is handled in order of its subject."""
    stable: str = ""
    shares: tuple[Share, ...] = ()

    @property
    def ordered(self) -> bool:
        return any(self.types.values())


@dataclass(frozen=True, slots=True)
class Contract:
    type: str
    node: str
    version: str
    schema: str = ""
    judging: Judging = Judging.REJECT


@dataclass(frozen=True, slots=True)
class Table:
    number: int = 0
    members: Mapping[str, Member] = field(default_factory=dict)
    consumers: Mapping[str, Consumer] = field(default_factory=dict)
    contracts: Mapping[tuple[str, str], Contract] = field(default_factory=dict)
    """By type and publishing node; where two of its releases run, stable's."""
    of_releases: Mapping[tuple[str, str, str], Contract] = field(default_factory=dict)
    """By type, publishing node and version: a release keeps its own."""
    gone: tuple[str, ...] = ()
    host: str = ""
