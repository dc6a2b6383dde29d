"""How far has a new version come, and what speaks for and against it?"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from noded.model.instance import BESIDE, Instance, Role
from noded.model.pace import Pace
from noded.model.release import Release
from noded.model.signals import Answers, Handled
from nodespec.manifest import Canary, NodeSpec, Probe


class Stage(StrEnum):
    PREPARING = "preparing"
    STEP = "step"
    SOAK = "soak"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


class Question(StrEnum):
    """What waits for a person's word."""

    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


ENDED = (Stage.PROMOTED, Stage.ROLLED_BACK)

LONG = 1200.0
"""Seconds: the first look at the slopes of memory is taken after 18 minutes."""

THRESHOLDS = 3
"""Answer times at which both versions are compared: stable's median, 90th and 99th percentile before."""


def compares_memory(spec: NodeSpec) -> bool:
    """Whether a rollout lasts long enough for the slopes of two instances to be told apart."""
    plan = spec.rollout
    lasts = plan.dwell * (len(plan.steps) - 1) + plan.soak
    return spec.serves is not None and plan.canary is Canary.SHARE and lasts >= LONG


def splits_events(before: NodeSpec, after: NodeSpec) -> bool:
    """Whether versions that serve nothing may run side by side. Without the SDK an instance acts as soon as
    it runs: only its author can say that two may."""
    if before.serves is not None or after.serves is not None:
        return False
    if after.rollout.canary is Canary.INSTANCES:
        return True
    quiet = before.health.readiness is Probe.SDK and after.health.readiness is Probe.SDK
    return quiet and bool(before.consumes and after.consumes)


def percent(share: float) -> str:
    """As people read a share, which may be as small as 0.01 %."""
    return f"{share * 100:.4g}%"


@dataclass(frozen=True, slots=True)
class Tally:
    """How much of one kind both versions had, and how much of it was bad."""

    canary: int = 0
    canary_bad: int = 0
    stable: int = 0
    stable_bad: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a rollout: what both versions did while the canary had this share."""

    share: float
    started_at: float
    seconds: float = 0.0
    canary_requests: int = 0
    """As the proxy counted them; what failed was answered with 5xx, not answered, or sent elsewhere."""
    canary_bad: int = 0
    stable_requests: int = 0
    stable_bad: int = 0
    events: Tally = Tally()
    """First attempts, or keys where order is asked; bad are those that failed."""
    status: Tally = Tally()
    """Answers by the programs' own word; bad are gRPC statuses that tell of a fault of the server."""
    slow: tuple[Tally, ...] = ()
    """Answers by the programs' own word, one tally for each of `Rollout.thresholds`; bad are slower ones."""
    dealt: float = 0.0
    """Part of the work that the canary gets where that is not its share; 0 where it is."""
    early: Tally = Tally()
    """Of requests: counted while what began under another share may still have been under way."""

    @property
    def errors(self) -> Tally:
        """Requests and events together."""
        return Tally(
            self.canary_requests + self.events.canary,
            self.canary_bad + self.events.canary_bad,
            self.stable_requests + self.events.stable,
            self.stable_bad + self.events.stable_bad,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What the proxy had counted of one instance when it was last looked at; a lower count begins anew."""

    instance: str
    requests: int
    bad: int
    moved: int = 0
    again: int = 0
    again_bad: int = 0


@dataclass(frozen=True, slots=True)
class Transition:
    at: float
    stage: Stage
    share: float
    reason: str
    by: str = ""
    """A person's uid where one asked for it; empty for noded itself."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One signal's part in the verdict: it is worse at `1 / false_rollback`, weighed."""

    signal: str
    value: float
    weight: float


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory of a canary beside a fresh instance of stable, as means over blocks of time."""

    canary: str
    baseline: str
    began_at: float
    """When both were ready."""
    blocks: tuple[float, ...] = ()
    """Bytes that the canary had more than the baseline."""
    marks: tuple[float, ...] = ()
    """The middle of each block."""
    shares: tuple[float, ...] = ()
    """The canary's share during each block."""
    share: float = 0.0
    """Of the block under way, as the rest."""
    block_at: float = 0.0
    """When it began; 0 for the first."""
    sum: float = 0.0
    count: int = 0
    used: int = 0
    """Bytes of the canary, last read."""


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
    answers: tuple[Answers, ...] = ()
    """What instances last told of the requests they answered."""
    counted: tuple[Answers, ...] = ()
    """What of it is in the steps: the canary's one word later."""
    handled: tuple[Handled, ...] = ()
    """What the mesh last told of both versions."""
    thresholds: tuple[float, ...] = ()
    """Answer times in seconds, fixed before the first step; 0 where one is not compared or says no more than
    that before it, and empty when nobody tells any."""
    usable: bool = False
    """Both versions had a server that could be used at the last look: what happens meanwhile counts."""
    cut: bool = False
    """A canary was down at the last look: of what stable does meanwhile only a part is comparable."""
    settles_at: float = 0.0
    """Before, requests of the last share may still be under way."""
    busy: float = 0.0
    """Cores that all of stable used at most while the canary had a share."""
    greedy_since: float = 0.0
    """Since when the canary uses far more than that; 0 while it does not."""
    rollback_evidence: float = 0.0
    promotion_evidence: float = 0.0
    evidence: tuple[Evidence, ...] = ()
    requests_needed: int = 0
    growth: Growth | None = None
    paces: tuple[Pace, ...] = ()
    """Of the old version and of the new one, for people to look at; kept by `policy/pace.py`."""
    leased_at: float = 0.0
    """When the share's lease was last asked for."""
    from_spec: NodeSpec | None = None
    from_release: Release | None = None
    direct: bool = False
    """A person returns to this release: it takes all at once as soon as it is ready."""
    paused: bool = False
    """A person holds it at its share; harm still ends it."""
    question: Question | None = None
    """What the reason asks a person, where it asks."""
    frozen: str = ""
    """Why a person has to decide, where the plan says that nothing goes back by itself."""
    hurry: str = ""
    """Who asked for the next step now."""
    finish: str = ""
    """Who asked for the end now."""
    reason: str = ""
    ended_at: float = 0.0
    history: tuple[Transition, ...] = ()
    forced: str = ""
    """What was known to speak against it when a person went on all the same."""
    after: int = 0
    """Number of the node's newest instance when it began: those of a rollout before may still be leaving."""

    def owns(self, instance: Instance) -> bool:
        """Whether this rollout started it."""
        return instance.role in BESIDE and int(instance.id.rpartition(".")[2]) > self.after

    def deals_to(self, instance: Instance) -> bool:
        """Whether it is one of this rollout's canaries; one of the rollout before may still be leaving."""
        return instance.role is Role.CANARY and self.owns(instance)

    @property
    def plan(self) -> tuple[float, ...]:
        """The shares of its steps."""
        return (1.0,) if self.direct else self.spec.rollout.steps

    @property
    def canaries(self) -> int:
        """Instances of the new version that are wanted now."""
        if self.spec.rollout.canary is Canary.SHARE or self.direct:
            return self.spec.instances
        return max(1, math.ceil((self.share or self.plan[0]) * self.spec.instances))

    @property
    def compares_memory(self) -> bool:
        return not self.direct and compares_memory(self.spec)

    @property
    def share(self) -> float:
        return self.now.share if self.now else 0.0

    @property
    def ended(self) -> bool:
        return self.stage in ENDED

    @property
    def steps(self) -> tuple[Step, ...]:
        return (*self.done, self.now) if self.now else self.done


def ran(past: Iterable[Rollout]) -> dict[str, tuple[NodeSpec, Release]]:
    """Releases with their manifests, as rollouts remember them, by version."""
    known: dict[str, tuple[NodeSpec, Release]] = {}
    for one in past:
        if one.from_spec is not None and one.from_release is not None:
            known[one.from_version] = (one.from_spec, one.from_release)
        if one.stage is Stage.PROMOTED:
            known[one.release.version] = (one.spec, one.release)
    return known
