"""How far has a consuming node come? What must survive a restart of the mesh."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodemesh.model.frame import Address


@dataclass(frozen=True, slots=True)
class Trial:
    """An event that was not handled at its first try."""

    attempt: int
    """How often it failed."""
    due: float
    """Seconds of the clock that runs while the host sleeps, when it may be sent again."""
    reason: str = ""
    version: str = ""
    """Which release failed it."""
    suspect: bool = False
    """A consumer died with it in hand, among others: it is sent alone from now on."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """`floor`: every frame below this position is settled for good.

    `open`: frames from the floor on that are settled in part, with a bit set for each place that is not.
    `settled`: runs of frames above the floor that are over, by their first and last position. As runs,
    because one event that waits for a day must not make the cursor grow with every frame behind it.
    `behind`: types that nobody handled from that position on; of these all is to be handled still.
    `top`: when the log is read again for them, it was read up to here before: below, of other types only
    what `open` names is left.
    """

    floor: int
    open: Mapping[int, int] = field(default_factory=dict)
    trials: Mapping[Address, Trial] = field(default_factory=dict)
    settled: tuple[tuple[int, int], ...] = ()
    behind: Mapping[str, int] = field(default_factory=dict)
    top: int = 0
    begun: int = 0

    @property
    def least(self) -> int:
        """All below is settled, of every type."""
        return min((self.floor, *self.behind.values()))


@dataclass(frozen=True, slots=True)
class Dead:
    """An event set aside for one consumer."""

    node: str
    address: Address
    attempts: int
    reason: str
    at: float
    """Seconds since the epoch."""
    version: str
