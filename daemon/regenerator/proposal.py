"""What may a generator answer?

A generator is a function `(Sources, Incident) -> Iterator[Proposal | Refusal]`: proposals in the order
they should be tried, refusals with the reason a person can read. It sees texts and evidence only; what it
proposes is judged by gates that never look at it or at the evidence.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from regenerator.incident import Incident, Site
from regenerator.sources import Sources


@dataclass(frozen=True, slots=True)
class Proposal:
    """`files` maps paths to their whole new text; `holds`: bytes it may keep before its bound shows."""

    generator: str
    site: Site
    target: str
    files: Mapping[str, str] = field(hash=False)
    reason: str
    holds: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    site: Site
    target: str
    reason: str


Generator = Callable[[Sources, Incident], Iterator[Proposal | Refusal]]
