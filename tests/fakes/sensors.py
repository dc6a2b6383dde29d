"""Readings that the test wrote."""

from dataclasses import dataclass, field

from noded.model.instance import Process, Vitals


@dataclass
class FakeSensors:
    vitals: dict[int, Vitals] = field(default_factory=dict)
    """By pid; a process without any has vanished."""

    def read(self, instance: str, process: Process, at: float) -> Vitals | None:
        return self.vitals.get(process.pid)
