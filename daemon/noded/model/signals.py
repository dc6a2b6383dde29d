"""What do nodes and the mesh say of the work that each version did?

Everything counts up from the beginning of its source's life: who reads it takes differences, and a lower
count as a new beginning.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answers:
    """Requests that one instance answered, by its own word (nodekit, or the histogram its manifest names)."""

    instance: str
    total: int
    bad: int = 0
    """Of them with a status that tells of a fault of the server, 5xx or gRPC's; 0 when it does not tell."""
    edges: tuple[float, ...] = ()
    """Upper bounds of answer times in seconds, rising; empty when it does not tell any."""
    within: tuple[int, ...] = ()
    """Answers that took at most so long; as many as edges."""


@dataclass(frozen=True, slots=True)
class Handled:
    """Events that one version of a node was given for the first time, by the mesh's word."""

    node: str
    version: str
    total: int
    """Events, or keys where order is asked, that have an outcome."""
    bad: int
