"""Readings that the test wrote."""

from dataclasses import dataclass, field

from noded.model.instance import Process, Vitals
from noded.model.liveness import Pressure
from noded.ports import Look


@dataclass
class FakeSensors:
    vitals: dict[int, Vitals] = field(default_factory=dict)
    """By pid; a process without any has vanished."""
    looks: dict[int, Look] = field(default_factory=dict)
    """By pid; one without any has vanished."""
    host: Pressure = field(default_factory=Pressure)

    def read(self, instance: str, process: Process, at: float) -> Vitals | None:
        return self.vitals.get(process.pid)

    def look(self, process: Process) -> Look | None:
        return self.looks.get(process.pid)

    def pressure(self) -> Pressure:
        return self.host
