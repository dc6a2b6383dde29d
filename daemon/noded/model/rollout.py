"""How far has a new version come, and what speaks for and against it?"""

from dataclasses import dataclass
from enum import StrEnum

from noded.model.release import Release
from nodespec.manifest import NodeSpec


class Stage(StrEnum):
    PREPARING = "preparing"
    STEP = "step"
    SOAK = "soak"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


ENDED = (Stage.PROMOTED, Stage.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a rollout: what both versions did while the canary had this share."""

    share: float
    started_at: float
    seconds: float = 0.0
    canary_requests: int = 0
    canary_bad: int = 0
    stable_requests: int = 0
    stable_bad: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """The proxy's counts of one instance that are in the steps already."""

    instance: str
    requests: int
    bad: int


@dataclass(frozen=True, slots=True)
class Rollout:
    id: str
    origin: str
    release: Release
    spec: NodeSpec
    from_version: str
    stage: Stage
    started_at: float
    since: float
    """When the stage or step was entered."""
    at_step: int = -1
    """Index into the plan's steps; -1 while the canary prepares."""
    done: tuple[Step, ...] = ()
    now: Step | None = None
    seen: tuple[Seen, ...] = ()
    rollback_evidence: float = 0.0
    promotion_evidence: float = 0.0
    requests_needed: int = 0
    leased_at: float = 0.0
    """When the share's lease was last asked for."""
    hurry: bool = False
    """A person asked for the next step now."""
    finish: bool = False
    """A person asked for the end now."""
    reason: str = ""
    ended_at: float = 0.0

    @property
    def share(self) -> float:
        return self.now.share if self.now else 0.0

    @property
    def ended(self) -> bool:
        return self.stage in ENDED

    @property
    def steps(self) -> tuple[Step, ...]:
        return (*self.done, self.now) if self.now else self.done
