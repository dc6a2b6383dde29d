"""Probes that find what the test put there."""

from dataclasses import dataclass, field


@dataclass
class FakeProbes:
    good: set[tuple[str, str]] = field(default_factory=set)
    """Address and path that answer with 2xx."""
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def answers(self, address: str, uid: int, path: str, timeout: float) -> bool:
        self.asked.append((address, path))
        return (address, path) in self.good
