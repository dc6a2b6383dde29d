"""What is kept of an instance's memory readings."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trend:
    """Placeholder until policy/trend.py brings the real one."""
