"""Which release gets how much of a consuming node's events?

A share is reached by counting, not by dice: at 10 % every tenth event is the canary's. With keys it is the
key that goes, and stays. Shares are of events at their first try; what was tried before goes to stable.
"""

from collections.abc import Set
from dataclasses import dataclass

from nodemesh.model.table import Consumer

MOST_OWED = 64.0
"""Events a canary that was busy may catch up on."""
SPREAD = 2654435761
"""Knuth's multiplicative hash: neighbouring keys fall far apart."""
FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Parts:
    """Of the releases that are there."""

    live: tuple[tuple[str, float], ...] = ()
    """Canaries with their shares."""
    rest: frozenset[str] = frozenset()
    """Releases that take what is nobody's share: stable; without it, whichever canary has a share."""


class Shares:
    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.parts = Parts()
        self._owed: dict[str, float] = {}
        self._since, self._until = 0.0, 0.0

    def holds(self, wall: float) -> bool:
        """Whether `parts` is still what it was decided to be; a clock may go back, too."""
        return self._since <= wall < self._until

    def judge(self, there: Set[str], wall: float) -> Parts:
        """`there`: releases with a session."""
        shares = self.consumer.shares
        self._since = max((s.valid_until for s in shares if s.valid_until <= wall), default=-FOREVER)
        self._until = min((s.valid_until for s in shares if s.valid_until > wall), default=FOREVER)
        stable, canaries = self.consumer.stable, {s.version for s in shares}
        rest = frozenset(v for v in there if (v == stable if stable else v not in canaries))
        live = tuple(
            (s.version, s.share)
            for s in shares
            if s.share > 0.0 and s.valid_until > wall and s.version in there and s.version != stable
        )
        return Parts(live, rest) if rest else Parts((), frozenset(version for version, _ in live))

    def adopt(self, parts: Parts) -> None:
        self.parts = parts
        known = {s.version for s in self.consumer.shares}
        self._owed = {v: min(owed, MOST_OWED) for v, owed in self._owed.items() if v in known}

    def split(self, events: int) -> list[tuple[str, int]]:
        """How many of these new events are whose; what is left is the rest's."""
        made = []
        left = events
        for version, share in self.parts.live:
            owed = self._owed.get(version, 0.0) + events * share
            # 0.1 + 0.2 is more than 0.3, and three times a third may be less than one.
            whole = min(int(owed + 1e-6), left)
            if whole > 0:
                made.append((version, whole))
                left -= whole
                owed -= whole
            self._owed[version] = owed
        return made

    def unsplit(self, version: str, unsent: int, of: int) -> None:
        """`of` events that were split come back to be split anew, `unsent` of them this release's."""
        share = dict(self.parts.live).get(version, 0.0)
        self._owed[version] = self._owed.get(version, 0.0) + unsent - of * share

    def missed(self, version: str, events: int) -> None:
        """It was busy: another took them."""
        self._owed[version] = min(self._owed.get(version, 0.0) + events, MOST_OWED)

    @property
    def left_over(self) -> bool:
        """Whether the rest has any share of its own."""
        return sum(share for _, share in self.parts.live) < 1.0 - 1e-9

    def version_of(self, key: int) -> str:
        """The canary that handles this key; empty: the rest."""
        place = (key * SPREAD & 0xFFFFFFFF) / 2.0**32
        for share in self.consumer.shares:
            if place < share.share:
                return (
                    share.version if any(share.version == version for version, _ in self.parts.live) else ""
                )
            place -= share.share
        return ""
