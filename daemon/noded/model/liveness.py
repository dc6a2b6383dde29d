"""What is known of an instance that gives no sign of life?"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pressure:
    """Share of the last ten seconds in which some work of the host waited; negative when the kernel does not
    tell (PSI, Documentation/accounting/psi.rst)."""

    cpu: float = -1.0
    memory: float = -1.0
    io: float = -1.0


@dataclass(frozen=True, slots=True)
class Silence:
    seconds: float
    """Since its last sign of life."""
    asked: str
    """What it owes: "its heartbeat", "GET /healthz"."""
    cpu: float = 0.0
    """Share of one core it used while silent."""
    waited: float = 0.0
    """Share of that time in which it was ready to run and had no CPU."""
    state: str = ""
    """The kernel's letter for its main thread: R, S, D, T, t or Z."""
    pressure: Pressure = field(default_factory=Pressure)
    detail: str = ""
    """Where its threads stand, as far as could be seen."""
    said: str = ""
    """The last line of the program that asks it, masked; for operators, never part of a reason."""
