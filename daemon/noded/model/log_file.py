"""What of an instance's output lies on the disk?"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogFile:
    """What one instance printed, as it lies on the disk."""

    node: str
    instance: str
    held: int
    """Bytes of the disk; holes count nothing."""
    age: float
    """Seconds since something was written."""
