"""Is the canary worse, good enough, or is it too early to say?

One number speaks against it: the weighted mean of the e-values of all signals and guards, over all steps. The
weights never change and sum to less than one, so however often one looks, and whatever is told, a version
that is not worse is rolled back with probability `Standard.false_rollback` at most. Another number speaks for
it, and each step earns its own.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from noded.model.rollout import Evidence
from noded.policy import evalues
from noded.policy.evalues import BREAKS, SHADES, Bad, Bets
from nodespec.manifest import NodeSpec

Kind = Literal["roll_back", "promote", "wait"]
ROLL_BACK: Final = "roll_back"
PROMOTE: Final = "promote"
WAIT: Final = "wait"

ERRORS: Final = "errors"
STATUS: Final = "status"
SLOW: Final = ("slow-50", "slow-90", "slow-99")
OBJECTIVE: Final = "objective"
SOAK: Final = "soak"
WEIGHTS: Final = {
    ERRORS: 0.5,
    STATUS: 0.25,
    **dict.fromkeys(SLOW, 0.06),
    OBJECTIVE: 0.02,
    SOAK: 0.04,
}
"""A signal nobody tells stays at 1. What is missing to one pays for the doubt about stable's own ratio."""
DOUBT: Final = 1.0 - sum(WEIGHTS.values())


@dataclass(frozen=True, slots=True)
class Counts:
    """What both versions did while the canary had one share. Counts are of the whole stage, not of one look.

    A request that was retried may be counted bad more than once, so bad may exceed requests.
    """

    share: float
    canary_requests: int
    canary_bad: int
    stable_requests: int
    stable_bad: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share is {self.share}, expected a number from 0 to 1 (0.1 is ten percent)")
        if min(self.canary_requests, self.canary_bad, self.stable_requests, self.stable_bad) < 0:
            raise ValueError(f"a negative number in {self}, expected counts of 0 or more")

    @property
    def comparable(self) -> bool:
        """Both versions had traffic. At a share of 0 or 1 an error says nothing about the difference."""
        return 0.0 < self.share < 1.0

    @property
    def canary_good(self) -> int:
        return max(0, self.canary_requests - self.canary_bad)

    @property
    def stable_good(self) -> int:
        return max(0, self.stable_requests - self.stable_bad)

    @property
    def asked(self) -> bool:
        return bool(self.canary_requests or self.stable_requests)


Stages = tuple[Counts, ...]
"""One after the other, the present one last."""


@dataclass(frozen=True, slots=True)
class Standard:
    """What a canary is held to.

    false_rollback: most often an equally good version is rolled back, per rollout, over all looks and guards.
    false_promotion: most often a version worse by `margin` earns a step; so it is also most often such a
        version gets past its first step at all.
    tolerance: the rate ratio canary/stable that still counts as equal. At 1.2, three errors at a
        tenth of the traffic roll back while stable has none.
    margin: the difference of bad ratios (0.01 is one percentage point) that still counts as good enough.
    objective: the bad ratio that users were promised; 0 when nothing was.
    """

    false_rollback: float = 0.01
    false_promotion: float = 0.05
    tolerance: float = 1.2
    margin: float = 0.01
    objective: float = 0.0

    def __post_init__(self) -> None:
        for name in ("false_rollback", "false_promotion", "margin"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number between 0 and 1")
        if not 1.0 <= self.tolerance < 1000.0:
            raise ValueError(f"tolerance is {self.tolerance}, expected a ratio of 1 or more")
        if not 0.0 <= self.objective < 1.0:
            raise ValueError(f"objective is {self.objective}, expected a ratio from 0 to below 1")


DEFAULT: Final = Standard()


def standard_of(spec: NodeSpec) -> Standard:
    promised = spec.objectives.error_ratio
    return Standard(margin=promised or DEFAULT.margin, objective=promised)


@dataclass(frozen=True, slots=True)
class Case:
    """All that speaks for and against one rollout."""

    errors: Stages
    """Failed requests and failed events together."""
    others: tuple[tuple[str, Stages], ...] = ()
    """`status` and `slow-50`, `slow-90`, `slow-99`, those that are told."""
    settled: Counts | None = None
    """Of the present stage's errors, what promotion may rest on; all of it when not given."""

    def __post_init__(self) -> None:
        if not self.errors:
            raise ValueError("no stage to judge, expected at least the present one")
        known = (STATUS, *SLOW)
        for name, _ in self.others:
            if name not in known:
                raise ValueError(f"signal {name!r} is unknown, expected one of {', '.join(known)}")

    def of(self, signal: str) -> Stages:
        """The guards are about errors."""
        if signal in (ERRORS, OBJECTIVE, SOAK):
            return self.errors
        for name, stages in self.others:
            if name == signal:
                return stages
        return ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`requests_needed`: about how many more canary requests until promotion when quality stays as it is:
    0 when decided, None when no number would do, as at a share of 0 or 1, which earns nothing."""

    kind: Kind
    reason: str
    e_rollback: float
    e_promote: float
    rollback_at: float
    promote_at: float
    requests_needed: int | None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict without words and outlook."""

    kind: Kind
    e_rollback: float
    e_promote: float
    evidence: tuple[Evidence, ...]
    """Of all signals and guards, also those that nobody tells."""
    bets: tuple[Bets, ...]


def find(case: Case, standard: Standard = DEFAULT) -> Finding:
    """Rollback rests on all stages, promotion on the present one. No data is no failure.

    The proxy's fuse is no evidence of its own: the errors that tripped it are in the counts. While stable has
    none, they roll back at a tenth of the traffic; while stable fails as well, the canary is given its share
    again once its health check raises it.
    """
    evidence = tuple(
        [Evidence(name, _against(name, case, standard), weight) for name, weight in WEIGHTS.items()]
    )
    worse = sum([one.weight * one.value for one in evidence])
    bets = _bets(case, standard)
    better = min([evalues.wealth(one) for one in bets], default=1.0)
    kind: Kind = WAIT
    if worse * standard.false_rollback >= 1.0:
        kind = ROLL_BACK
    elif better * standard.false_promotion >= 1.0:
        kind = PROMOTE
    return Finding(kind, worse, better, evidence, bets)


@lru_cache(64)
def weigh(case: Case, standard: Standard = DEFAULT) -> Verdict:
    """What was found, why, and how many requests more it takes. Many looks see the same counts."""
    found = find(case, standard)
    kind, worse, better = found.kind, found.e_rollback, found.e_promote
    rollback_at, promote_at = 1.0 / standard.false_rollback, 1.0 / standard.false_promotion
    needed = _needed(found.bets, promote_at) if kind == WAIT else 0
    told = tuple(one for one in found.evidence if _told(one.signal, case, standard))
    strongest = max(told, key=lambda one: one.weight * one.value).signal if kind == ROLL_BACK else ERRORS
    reason = _reason(kind, (worse, rollback_at), (better, promote_at), needed, bool(found.bets))
    counted = _counted(strongest, case, standard, kind == ROLL_BACK)
    return Verdict(kind, f"{reason}; {counted}", worse, better, rollback_at, promote_at, needed, told)


def _told(signal: str, case: Case, standard: Standard) -> bool:
    if signal == OBJECTIVE:
        return standard.objective > 0.0
    if signal == SOAK:
        return case.errors[-1].share >= 1.0
    return signal == ERRORS or bool(case.of(signal))


def _against(signal: str, case: Case, standard: Standard) -> float:
    stages = case.of(signal)
    if not stages:
        return 1.0
    if signal == OBJECTIVE:
        return _promise(stages, standard)
    if signal == SOAK:
        return 0.5 * (_soak(case.errors, standard) + _soak(case.of(STATUS), standard))
    return evalues.comparison(_bad(stages), standard.tolerance, SHADES if signal in SLOW else BREAKS)


def _bad(stages: Stages) -> tuple[Bad, ...]:
    return tuple([Bad(s.share, s.canary_bad, s.stable_bad) for s in stages if s.comparable])


def _promise(stages: Stages, standard: Standard) -> float:
    """Against "the canary keeps what was promised, or is no worse than stable": of both the weaker evidence,
    so that what hits both versions is no fault of the canary. Silent while stable itself breaks it."""
    if not standard.objective:
        return 1.0
    known = [s for s in stages if s.comparable]
    own = evalues.excess(
        standard.objective, sum(s.canary_good for s in known), sum(s.canary_bad for s in known)
    )
    value = min(own, evalues.comparison(_bad(stages), 1.0))
    asked, bad = _recorded(stages)
    return value if bad <= standard.objective * asked else min(value, 1.0)


def _soak(stages: Stages, standard: Standard) -> float:
    """Against "at full share, where stable has no traffic, the canary is no worse than stable was before"."""
    alone = [s for s in stages if s.share >= 1.0]
    if not alone:
        return 1.0
    limit = _limit(stages, standard)
    return evalues.excess(limit, sum(s.canary_good for s in alone), sum(s.canary_bad for s in alone))


def _limit(stages: Stages, standard: Standard) -> float:
    """The bad ratio that is borne at full share; 1 when there is nothing to hold the canary against."""
    asked, bad = _recorded(stages)
    if not asked:
        return standard.objective or 1.0
    bound = evalues.upper_bound(bad, asked, DOUBT * standard.false_rollback)
    return min(1.0, max(bound * standard.tolerance, standard.objective))


def _recorded(stages: Stages) -> tuple[int, int]:
    """Stable's requests beside the canary, and how many of them were bad."""
    known = [s for s in stages if s.comparable]
    return sum(s.stable_requests for s in known), sum(s.stable_bad for s in known)


def _bets(case: Case, standard: Standard) -> tuple[Bets, ...]:
    """A step is earned by errors and, where both versions tell it, by status."""
    now = case.settled or case.errors[-1]
    if not now.comparable:
        return ()
    status = case.of(STATUS)[-1:]
    both = [s for s in status if s.comparable and s.canary_requests and s.stable_requests]
    return tuple([_bet(counts, standard) for counts in (now, *both)])


def _bet(counts: Counts, standard: Standard) -> Bets:
    """A canary that gets less than its share, because it is down or its lease has ended, earns less: what
    stable does well is no merit of it."""
    good = min(counts.canary_good + counts.stable_good, counts.canary_good / counts.share)
    return Bets(counts.share, standard.margin, good, counts.canary_bad, counts.stable_bad)


def _needed(bets: tuple[Bets, ...], wanted: float) -> int | None:
    """Of the signals that have not earned it yet the slowest; None when one never will."""
    slowest: int | None = None
    for one in bets:
        if evalues.wealth(one) < wanted:
            more = evalues.requests_until(one, wanted)
            if more is None:
                return None
            slowest = max(slowest or 0, more)
    return slowest


def _reason(
    kind: Kind, against: tuple[float, float], earned: tuple[float, float], needed: int | None, compared: bool
) -> str:
    rollback = f"evidence for rollback {against[0]:.3g} of {against[1]:.3g}"
    promote = f"evidence for promotion {earned[0]:.3g} of {earned[1]:.3g}"
    if kind == ROLL_BACK:
        return f"the canary is worse: {rollback}"
    if kind == PROMOTE:
        return f"the canary is good enough: {promote}"
    if not compared:
        return f"no harm seen: {rollback}"
    more = f"; about {needed} more canary requests" if needed is not None else ""
    return f"too early to say: {rollback}, {promote}{more}"


WORDS: Final = {
    ERRORS: "bad",
    STATUS: "answered with a fault",
    **{name: f"slower than {name[5:]} of 100 were" for name in SLOW},
    OBJECTIVE: "bad",
    SOAK: "bad",
}


def _counted(signal: str, case: Case, standard: Standard, whole: bool) -> str:
    """The counts that the strongest evidence rests on."""
    stages = case.of(signal)
    shown = [s for s in stages if s.asked] if whole else stages[-1:]
    texts = [_stage(s, WORDS[signal]) for s in (shown or stages[-1:])]
    if signal == OBJECTIVE:
        texts.append(f"promised is {standard.objective * 100:.3g} %")
    if case.errors[-1].share >= 1.0 and signal in (ERRORS, SOAK):
        limit = _limit(stages, standard)
        texts.append(f"borne is {limit * 100:.3g} %" if limit < 1.0 else "nothing is known of stable")
    return "; ".join(texts)


def _stage(counts: Counts, word: str) -> str:
    canary = f"canary {counts.canary_bad} {word} of {counts.canary_requests}"
    stable = f", stable {counts.stable_bad} {word} of {counts.stable_requests}" if counts.share < 1.0 else ""
    return f"at {counts.share * 100:.4g} % of the traffic {canary}{stable}"
