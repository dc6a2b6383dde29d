"""Probes that find what the test put there."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class FakeProbes:
    good: set[tuple[str, str]] = field(default_factory=set)
    """Address and path that answer with 2xx."""
    bad: set[tuple[str, str]] = field(default_factory=set)
    """Those that answer with anything else."""
    taking: set[str] = field(default_factory=set)
    """Addresses where connections are taken, besides those that answer."""
    mute: set[str] = field(default_factory=set)
    """Those where nothing comes before the time is over."""
    slow: dict[str, float] = field(default_factory=dict)
    """Seconds that an answer of theirs takes, if there is time for it."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    timeouts: set[float] = field(default_factory=set)

    async def answers(self, address: str, uid: int, path: str, timeout: float) -> bool:
        await self._ask(address, path, timeout)
        return (address, path) in self.good and address not in self.mute

    async def responds(self, address: str, uid: int, path: str, timeout: float) -> bool:
        await self._ask(address, path, timeout)
        in_time = self.slow.get(address, 0.0) < timeout and address not in self.mute
        return (address, path) in self.good | self.bad and in_time

    async def connects(self, address: str, uid: int, timeout: float) -> bool:
        await self._ask(address, "", timeout)
        known = self.taking | {place for place, _ in self.good | self.bad}
        return address in known and address not in self.mute

    async def _ask(self, address: str, path: str, timeout: float) -> None:
        self.asked.append((address, path))
        self.timeouts.add(timeout)
        await asyncio.sleep(timeout if address in self.mute else min(self.slow.get(address, 0.0), timeout))
