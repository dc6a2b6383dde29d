"""A workshop that remembers what was ordered; the test puts the outcome into the inbox."""

from dataclasses import dataclass, field

from noded.model.actions import Regenerate


@dataclass
class FakeWorkshop:
    begun: list[Regenerate] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    async def begin(self, order: Regenerate) -> None:
        self.begun.append(order)

    async def cancel(self, incident: str) -> None:
        self.cancelled.append(incident)
