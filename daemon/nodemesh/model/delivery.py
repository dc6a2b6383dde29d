"""What does delivery to one consuming node remember?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nodemesh.model.frame import Address, Places


class How(StrEnum):
    """What a consumer says of an event that it did not handle."""

    RETRY = "retry"
    REJECT = "reject"
    RELEASE = "release"
    LOST = "lost"
    """Another mesh says: the session ended that had it in hand."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What one frame of the log holds for a consuming node; `column` and `keys` as in its columns."""

    position: int
    places: Places
    types: tuple[str, ...]
    column: tuple[int, ...] = ()
    keys: tuple[int, ...] = ()

    def type_of(self, place: int) -> str:
        return self.types[self.column[place]] if self.column else self.types[0]


LOST_TWICE = 2
"""Sessions that ended with an event in hand, from which on it is suspected to end them."""


@dataclass(frozen=True, slots=True)
class Past:
    """What happened to events that wait again."""

    attempt: int = 1
    """The one that comes next."""
    lost: int = 0
    """Sessions that ended with it in hand."""

    @property
    def suspect(self) -> bool:
        return self.lost >= LOST_TWICE


NO_PAST = Past()


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one frame that wait together, with the same past."""

    position: int
    places: Places
    past: Past = NO_PAST


@dataclass(frozen=True, slots=True)
class Sending:
    """Give these events to the session that asked."""

    number: int
    position: int
    places: Places
    attempt: int
    epoch: int


@dataclass(slots=True)
class Held:
    """A delivery that is under way."""

    sending: Sending
    failed: set[int] = field(default_factory=set)
    """Places that were answered for by themselves."""
    deadline: float = 0.0
    past: Past = NO_PAST

    @property
    def left(self) -> Places:
        places = self.sending.places
        return tuple(p for p in places if p not in self.failed) if self.failed else places


@dataclass(frozen=True, slots=True)
class Wish:
    attempts: int = 5
    timeout: float = 30.0


@dataclass(slots=True, eq=False)
class Session:
    """One connection of one instance of the consuming node."""

    instance: str
    version: str
    wishes: Mapping[str, Wish]
    granted: int
    keeps_order: bool = False
    sent: int = 0
    number: int = 0
    through: int = 0
    held: dict[int, Held] = field(default_factory=dict)
    soonest: float = float("inf")
    """No deadline of what it holds is before."""
    over: bool = False
    is_peer: bool = False
    """It is another mesh: that it goes says nothing of the events it had."""
    elsewhere: int = 0
    """Deliveries from other meshes that the instance has in hand."""

    @property
    def timeout(self) -> float:
        return max((wish.timeout for wish in self.wishes.values()), default=Wish().timeout)

    @property
    def free(self) -> int:
        return self.granted - self.sent

    @property
    def room(self) -> int:
        """Events it may get now: nothing beside a suspect, which is sent alone."""
        if len(self.held) == 1 and next(iter(self.held.values())).past.suspect:
            return 0
        return max(0, self.granted - self.sent)

    def check(self, number: int, place: int) -> None:
        """Raises ValueError for a place that the delivery does not have."""
        held = self.held.get(number)
        if held is not None and not 0 <= place < len(held.sending.places):
            events = len(held.sending.places)
            raise ValueError(f"delivery {number} has {events} events, there is no event {place}")

    def late(self, now: float) -> list[Held]:
        """Taken out of its hands: nothing was said of them in time."""
        if self.soonest > now:
            return []
        found = [held for held in self.held.values() if held.deadline <= now]
        for held in found:
            del self.held[held.sending.number]
        self.soonest = min((held.deadline for held in self.held.values()), default=float("inf"))
        return found

    def wait_longer(self, seconds: float) -> None:
        self.soonest += seconds
        for held in self.held.values():
            held.deadline += seconds


@dataclass(slots=True)
class Count:
    """Events, by the release that had them."""

    delivered: int = 0
    acked: int = 0
    failed: int = 0
    first: int = 0
    """Dealt to it by share, at their first try, with an outcome; keys where order is asked."""
    first_failed: int = 0


@dataclass(frozen=True, slots=True)
class SetAside:
    """A dead letter in the making."""

    address: Address
    attempts: int
    reason: str
    version: str
