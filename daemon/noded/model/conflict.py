"""Why would a release hurt another node, or its host?"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    CONTRACT = "contract"
    UNKNOWN = "unknown"
    """Two contracts whose fit only a person can tell."""
    OWNER = "owner"
    ORPHAN = "orphan"
    PORT = "port"
    RESOURCES = "resources"
    TIME_LIMIT = "time limit"
    WARNING = "warning"
    """It stops nothing."""


IMPOSSIBLE = (Kind.OWNER, Kind.PORT)
"""What no word of a person makes possible."""


@dataclass(frozen=True, slots=True)
class Conflict:
    kind: Kind
    node: str
    """The other one."""
    release: str
    """Its version."""
    field: str
    """Event type and place in its data, or key of the manifest."""
    text: str
    advice: str
    """What would resolve it."""
