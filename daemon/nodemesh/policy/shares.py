"""Which release gets how much of a consuming node's events?

A share is reached by counting, not by dice: at 10 % every tenth event goes to the canary. With keys it is the
key that goes, and stays.
"""

from nodemesh.model.table import Consumer

MOST_OWED = 64.0
"""Events a canary that was busy may catch up on."""
SPREAD = 2654435761
"""Knuth's multiplicative hash: neighbouring keys fall far apart."""


class Shares:
    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self._owed: dict[str, float] = {}

    def route(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self._owed = {s.version: self._owed.get(s.version, 0.0) for s in consumer.shares}

    def of(self, version: str, wall: float) -> float:
        """Its fraction of all events now."""
        share = self._canary(version, wall)
        if share is not None:
            return share
        if self.consumer.stable and version != self.consumer.stable:
            return 0.0
        return max(0.0, 1.0 - sum(s.share for s in self.consumer.shares if s.valid_until > wall))

    def room(self, version: str, wall: float, others: bool) -> int:
        """How many new events it may have at once. `others`: whether another release takes the rest."""
        share = self.of(version, wall)
        if share <= 0.0:
            return 0
        if share >= 1.0 or not others or self._canary(version, wall) is None:
            return 1 << 30
        return int(self._owed.get(version, 0.0))

    def took(self, version: str, events: int, wall: float) -> None:
        share = self._canary(version, wall)
        if share is not None:
            self._owed[version] = max(0.0, self._owed.get(version, 0.0) - events)
            return
        rest = self.of(version, wall)
        for other in self.consumer.shares:
            if other.valid_until > wall and rest > 0.0:
                gain = events * other.share / rest
                owed = self._owed.get(other.version, 0.0) + gain
                self._owed[other.version] = min(owed, max(MOST_OWED, 2.0 * gain))

    def version_of(self, key: int, wall: float) -> str:
        """The release that handles this key; empty: whichever there is."""
        place = (key * SPREAD & 0xFFFFFFFF) / 2.0**32
        for share in self.consumer.shares:
            if share.valid_until > wall:
                if place < share.share:
                    return share.version
                place -= share.share
        return self.consumer.stable

    def _canary(self, version: str, wall: float) -> float | None:
        return next(
            (s.share if s.valid_until > wall else 0.0 for s in self.consumer.shares if s.version == version),
            None,
        )
