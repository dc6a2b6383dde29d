"""What is wrong with a node, what was tried, and how did it end?"""

from dataclasses import dataclass, field
from enum import StrEnum

from nodespec.manifest import Rung


class Stage(StrEnum):
    EVIDENCE = "gathering evidence"
    CHOOSING = "choosing a step"
    ACTING = "acting"
    WATCHING = "watching the effect"
    WAITING = "waiting for approval"
    ROLLING_OUT = "rolling out"
    VERIFYING = "verifying the cure"
    HOLDING = "holding"
    RESOLVED = "resolved"
    NEEDS_PERSON = "needs a person"


CLOSED = (Stage.RESOLVED,)


class Verdict(StrEnum):
    HELD = "held"
    DID_NOT_HOLD = "did not hold"
    BOUGHT_TIME = "bought time"
    ADVISED = "advised"
    OBSERVED = "observed"
    FAILED = "failed"
    SKIPPED = "skipped"
    PROPOSED = "proposed a candidate"


@dataclass(frozen=True, slots=True)
class Site:
    """A line of the node's code and what it holds more than before."""

    file: str
    line: int
    function: str
    bytes: int
    count: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """The rung being climbed now."""

    rung: Rung
    instance: str
    started_at: float
    slope_before: float
    acted_at: float = 0.0
    freed: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """A rung that was climbed, or passed by with a reason."""

    rung: Rung
    verdict: Verdict
    at: float
    seconds: float
    freed: int
    slope_after: float
    detail: str


@dataclass(frozen=True, slots=True)
class Gate:
    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the regeneration worker found."""

    verdict: str
    reason: str
    generator: str = ""
    version: str = ""
    gates: tuple[Gate, ...] = ()
    diff_lines: int = 0
    diff: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Incident:
    id: str
    signature: str
    instance: str
    finding: str
    opened_at: float
    slope: float
    """Bytes per second when it was found."""
    window: float
    """Seconds over which it was seen."""
    seconds_to_limit: float
    detected_after: float
    """Seconds between the instance's start and the finding."""
    stage: Stage
    since: float
    """When the stage was entered."""
    attempt: Attempt | None = None
    tried: tuple[Tried, ...] = ()
    sites: tuple[Site, ...] = ()
    report: Report | None = None
    profiled: bool = False
    """The end of the memory profile was asked for."""
    recurred: bool = False
    """A successor of a replaced instance grows as it did: replacing again buys time again."""
    approved: bool = False
    """A person allowed the step that waits."""
    closed_at: float = 0.0
    outcome: str = ""
    digest: str = ""
    """The release that has the trouble."""


@dataclass(frozen=True, slots=True)
class Spent:
    """A use of a budgeted rung."""

    rung: Rung
    at: float


@dataclass(frozen=True, slots=True)
class Record:
    """Everything healing remembers of one node."""

    now: Incident | None = None
    past: tuple[Incident, ...] = ()
    spent: tuple[Spent, ...] = field(default=())
    serial: int = 0
