"""Where is one event on its way through one consuming node?

For people who ask, from what delivery says of itself; delivery remembers nothing for it.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from nodemesh.model.cursor import Cursor
from nodemesh.model.delivery import Held, Session
from nodemesh.model.frame import Address


class State(StrEnum):
    HANDLED = "handled"
    """Or set aside: whose letter is kept is dead."""
    WAITING = "waiting"
    IN_HAND = "in hand"
    RETRYING = "retrying"


@dataclass(frozen=True, slots=True)
class Place:
    state: State
    attempts: int = 0
    """Begun, with the one under way."""
    due: float = 0.0
    """When it is tried again, by the clock that runs while the host sleeps."""
    reason: str = ""
    instance: str = ""


class Whereabouts:
    """Of one moment: ask it at once and for many events."""

    def __init__(self, cursor: Cursor, sessions: Iterable[Session]) -> None:
        self._cursor = cursor
        self._settled = sorted(cursor.settled)
        self._held: dict[int, list[tuple[str, Held]]] = {}
        for session in sessions:
            for held in session.held.values():
                self._held.setdefault(held.sending.position, []).append((session.instance, held))

    @property
    def begun(self) -> int:
        """Position before which nothing was for this consumer."""
        return self._cursor.begun

    def of(self, address: Address, type: str = "") -> Place:
        trial = self._cursor.trials.get(address)
        for instance, held in self._held.get(address.position, ()):
            if address.place in held.left:
                reason = trial.reason if trial else ""
                return Place(State.IN_HAND, held.past.attempt, reason=reason, instance=instance)
        if trial is not None:
            return Place(State.RETRYING, trial.attempt, trial.due, trial.reason)
        if (behind := self._cursor.behind.get(type)) is not None and address.position >= behind:
            return Place(State.WAITING, reason=f"no instance that is here handles {type}")
        return Place(State.HANDLED if self._is_over(address) else State.WAITING)

    def _is_over(self, address: Address) -> bool:
        position, cursor = address.position, self._cursor
        if position < cursor.floor:
            return True
        if position in cursor.open:
            return not cursor.open[position] >> address.place & 1
        if position < cursor.top:
            return True
        run = bisect_right(self._settled, (position, 1 << 63)) - 1
        return run >= 0 and self._settled[run][1] >= position
