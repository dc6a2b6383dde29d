"""A chronicle in a list. It passes the same contract suite as `SqliteChronicle`."""

from collections.abc import Sequence
from dataclasses import replace

from noded.ports import Entry


class FakeChronicle:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.entries.append(replace(entry, sequence=len(self.entries) + 1))

    async def read(self, node: str, subject: str, after: int, limit: int) -> tuple[Entry, ...]:
        found = [
            entry
            for entry in self.entries
            if entry.sequence > after and node in ("", entry.node) and subject in ("", entry.subject)
        ]
        return tuple(found[-limit:] if limit else ())
