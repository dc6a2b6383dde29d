"""What becomes of one rollout under the shipped verdict, when requests and their outcomes come by chance?

Every second is a look, and so is every moment at which the proxy's fuse trips. A look at which nothing can
change is not taken.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from noded.policy.verdict import (
    DEFAULT,
    PROMOTE,
    ROLL_BACK,
    SLOW,
    STATUS,
    Case,
    Counts,
    Finding,
    Standard,
    find,
)
from nodespec.manifest import RolloutPlan

PLAN = RolloutPlan()
FUSE = 3
"""Errors in a row after which the proxy takes the canary out, until its health check raises it."""
DOWN = 1
"""Whole seconds for which it is out; nothing counts then."""
BLOCK = 30
"""Seconds drawn at once."""
LATER = (0.5, 0.1, 0.01)
"""Part of the answers that are slower than each threshold."""


@dataclass(frozen=True, slots=True)
class World:
    """What happens to one rollout. Ratios are of requests that fail."""

    name: str
    stable: float
    canary: float
    rate: float = 10.0
    outage: float = 0.0
    """Ratio at which both fail for two minutes."""
    outage_at: tuple[str, float] = ("step", 600.0)
    """It begins within so many seconds of the first step, or of the soak."""
    told: bool = False
    """The node tells status and answer times, and it has promised something."""

    @property
    def standard(self) -> Standard:
        return replace(DEFAULT, objective=0.01) if self.told else DEFAULT


OUTAGE = 120.0


@dataclass(frozen=True, slots=True)
class Ended:
    how: str
    """`rolled back`, `promoted` or `inconclusive`."""
    seconds: float
    steps: int
    """That were earned."""
    canary_bad: int
    fuses: int
    looks: int


class Rollout:
    def __init__(self, world: World, dice: random.Random, patient: bool = True) -> None:
        self.world = world
        self.dice = dice
        self.patient = patient
        """Leaves out looks that can change nothing."""
        self.at = 0
        self.steps = self.bad = self.row = self.fuses = self.looks = 0
        self.done: dict[str, tuple[Counts, ...]] = {}
        where, within = world.outage_at
        self.outage_in = where
        self.outage_begins = dice.random() * within if world.outage else math.inf

    def run(self) -> Ended:
        for share in PLAN.steps:
            how = Step(self, share).run()
            if how != PROMOTE:
                break
            self.steps += 1
        else:
            how = "promoted"
        told = "rolled back" if how == ROLL_BACK else how
        return Ended(told, self.at, self.steps, self.bad, self.fuses, self.looks)


class Step:
    """One share: draws seconds, looks after each, and says how it ends."""

    def __init__(self, rollout: Rollout, share: float) -> None:
        self.rollout = rollout
        self.world = rollout.world
        self.share = share
        self.entered = rollout.at
        self.lasts = PLAN.soak if share >= 1.0 else PLAN.max_dwell
        self.names = ("errors", STATUS, *SLOW) if self.world.told else ("errors",)
        self.counts = {name: [0, 0, 0, 0] for name in self.names}
        self.standard = self.world.standard
        self.earned = 1.0
        """Evidence for the canary at the last verdict."""
        self.unbet = 0.0
        """Good requests since then, at most: each multiplies it by less than 1 + margin * share."""
        self.quiet: list[tuple[int, Case]] = []
        """Looks since the last verdict at which nothing bad had come: only promotion may follow from them."""

    def run(self) -> str:
        while self._lasted() < self.lasts:
            for second in self._block():
                found = self._second(second)
                if found in (ROLL_BACK, PROMOTE):
                    return self._closed(found)
                if self._lasted() >= self.lasts:
                    break
            if self._earned_quietly():
                return self._closed(PROMOTE)
        return self._closed(PROMOTE) if self.share >= 1.0 else "inconclusive"

    def _lasted(self) -> int:
        return self.rollout.at - self.entered

    def _closed(self, how: str) -> str:
        self.rollout.done = {n: (*self.rollout.done.get(n, ()), self._counted(n)) for n in self.names}
        return how

    # What comes

    def _block(self) -> Iterator[tuple[int, ...]]:
        """Counts second by second: good and bad ones of canary and stable, then how slow each was."""
        world, here = self.world, self.rollout.at - (self.entered if self.share >= 1.0 else 0)
        both = (self.rollout.outage_in == "soak") == (self.share >= 1.0)
        begins = self.rollout.outage_begins if both else math.inf
        out = begins <= here < begins + OUTAGE
        edges = [edge - here for edge in (begins, begins + OUTAGE) if edge > here]
        length = max(1, min(BLOCK, *(math.ceil(edge) for edge in edges if edge < BLOCK), BLOCK))
        canary, stable = world.rate * self.share, world.rate * (1.0 - self.share)
        ratios = (world.outage, world.outage) if out else (world.canary, world.stable)
        rates = [
            canary * (1.0 - ratios[0]),
            canary * ratios[0],
            stable * (1.0 - ratios[1]),
            stable * ratios[1],
        ]
        if world.told:
            parts = [a - b for a, b in zip(LATER, (*LATER[1:], 0.0), strict=True)]
            rates += [rate * part for rate in (canary, stable) for part in parts]
        return zip(*(poisson(rate, length, self.rollout.dice) for rate in rates), strict=True)

    def _second(self, drawn: tuple[int, ...]) -> str:
        good, bad = drawn[0], drawn[1]
        news = bad or drawn[3] or self.world.told or not self.rollout.patient
        if news and self._earned_quietly():
            return PROMOTE
        self.rollout.at += 1
        before = self._until_fuse(good, bad)
        if before is not None:
            dice, part = self.rollout.dice, self.rollout.dice.random()
            stable = [sum(dice.random() < part for _ in range(number)) for number in drawn[2:4]]
            # The rest of this second and the next are not counted: the canary is out.
            self._add((*before, *stable))
            self.rollout.fuses += 1
            self.rollout.at += DOWN
            return self._look()
        self._add(drawn)
        if news:
            return self._look()
        self.unbet += max(good + drawn[2], good / self.share)
        if self.earned * math.exp(self.unbet * self.standard.margin * self.share) * 1.01 > 20.0:
            self.quiet.append((self.rollout.at, self._case()))
        return ""

    def _until_fuse(self, good: int, bad: int) -> tuple[int, int] | None:
        """The canary's good and bad requests of this second up to its third error in a row; None without."""
        if not bad or self.rollout.row + bad < FUSE:
            if good:
                self.rollout.row = self._trailing(good, bad)
            else:
                self.rollout.row += bad
            return None
        outcomes = [True] * bad + [False] * good
        self.rollout.dice.shuffle(outcomes)
        for number, failed in enumerate(outcomes, 1):
            self.rollout.row = self.rollout.row + 1 if failed else 0
            if self.rollout.row == FUSE:
                self.rollout.row = 0
                errors = sum(outcomes[:number])
                return number - errors, errors
        return None

    def _trailing(self, good: int, bad: int) -> int:
        """Errors at the end of a second whose requests come in any order."""
        found = 0
        while bad > found and self.rollout.dice.random() * (good + bad - found) < bad - found:
            found += 1
        return found

    def _add(self, drawn: Sequence[int]) -> None:
        canary_good, canary_bad, stable_good, stable_bad, *slow = drawn
        self.rollout.bad += canary_bad
        one = (canary_good + canary_bad, canary_bad, stable_good + stable_bad, stable_bad)
        for name in self.names[:2]:
            self.counts[name] = [a + b for a, b in zip(self.counts[name], one, strict=True)]
        for place, name in enumerate(self.names[2:]) if slow else ():
            late = (one[0], sum(slow[place:3]), one[2], sum(slow[3 + place :]))
            self.counts[name] = [a + b for a, b in zip(self.counts[name], late, strict=True)]

    # What is decided

    def _counted(self, name: str) -> Counts:
        return Counts(self.share, *self.counts[name])

    def _case(self) -> Case:
        done = self.rollout.done
        errors, *others = [(name, (*done.get(name, ()), self._counted(name))) for name in self.names]
        return Case(errors[1], tuple(others))

    def _weigh(self, case: Case) -> Finding:
        self.rollout.looks += 1
        return find(case, self.standard)

    def _look(self) -> str:
        self.quiet.clear()
        found = self._weigh(self._case())
        kind, self.earned, self.unbet = found.kind, found.e_promote, 0
        return "" if kind == PROMOTE and self._lasted() < PLAN.dwell else kind

    def _earned_quietly(self) -> bool:
        """Whether one of the looks before was enough for the next step. Without bad events evidence for the
        canary only rises: when the last look is not enough, none was; else the first that is, is sought."""
        looks = [look for look in self.quiet if look[0] - self.entered >= PLAN.dwell]
        self.quiet.clear()
        if not looks or self.share >= 1.0 or self._weigh(looks[-1][1]).kind != PROMOTE:
            return False
        low, high = -1, len(looks) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._weigh(looks[middle][1]).kind == PROMOTE else (middle, high)
        self.rollout.at, case = looks[high]
        last = case.errors[-1]
        self.counts["errors"] = [last.canary_requests, last.canary_bad, last.stable_requests, last.stable_bad]
        return True


def poisson(mean: float, length: int, dice: random.Random) -> list[int]:
    if mean <= 0.0:
        return [0] * length
    weights = _chances(mean)
    return dice.choices(range(len(weights)), cum_weights=weights, k=length)


@lru_cache(256)
def _chances(mean: float) -> list[float]:
    total, found = 0.0, []
    for number in range(int(mean + 12.0 * math.sqrt(mean) + 20.0)):
        total += math.exp(number * math.log(mean) - mean - math.lgamma(number + 1))
        found.append(total)
    return found
