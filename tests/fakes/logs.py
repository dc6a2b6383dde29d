"""Outputs of instances that are only numbers, on a disk of a given size."""

from collections.abc import Sequence
from dataclasses import replace

from noded.model.log_file import LogFile
from noded.ports import Conflict, NotFound, Unavailable


class FakeLogs:
    def __init__(self, *files: LogFile, disk: int = 2**40, other: int = 0) -> None:
        self.files = {file.instance: file for file in files}
        self.disk, self.other = disk, other
        self.running: set[str] = set()
        self.is_away = False
        self.has_holes = True
        self.looks = 0
        self.trimmed: list[tuple[str, int]] = []

    def look(self) -> tuple[LogFile, ...]:
        self.looks += 1
        if self.is_away:
            raise Unavailable("cannot look at the logs")
        return tuple(self.files.values())

    def look_at(self, instances: Sequence[str]) -> tuple[LogFile, ...]:
        return tuple(file for file in self.look() if file.instance in instances)

    def room(self) -> tuple[int, int]:
        return self.disk - self.other - sum(file.held for file in self.files.values()), self.disk

    async def trim(self, instance: str, keep: int) -> bool:
        self.trimmed.append((instance, keep))
        self.files[instance] = replace(self.files[instance], held=keep if self.has_holes else 0)
        return self.has_holes

    async def discard(self, instance: str) -> None:
        if instance in self.running:
            raise Conflict(f"cannot discard {instance}: it still runs")
        if self.files.pop(instance, None) is None:
            raise NotFound(f"cannot discard {instance}: no output is kept")
