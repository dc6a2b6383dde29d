"""How much has a version to do of late, and how fast does it answer?"""

from dataclasses import dataclass, replace

from noded.model.signals import Answers

SPAN = 5.0
"""Seconds of one of the two spans that a pace is made of: it tells of the last five to ten."""


@dataclass(frozen=True, slots=True)
class Span:
    since: float
    work: int = 0
    """Requests by the proxy's count, and events by the mesh's."""
    answered: int = 0
    """Requests by the programs' own word."""
    within: tuple[int, ...] = ()
    """Of them those that took at most so long as each edge says."""


@dataclass(frozen=True, slots=True)
class Pace:
    edges: tuple[float, ...] = ()
    """Upper bounds of answer times in seconds, rising; empty when nobody tells any."""
    spans: tuple[Span, ...] = ()
    """The one before, and the one under way."""
    looked_at: float = 0.0

    def adding(self, at: float, work: int = 0, answers: Answers | None = None) -> "Pace":
        """With what came since the last look; `answers` holds such differences, too."""
        spans = self.spans or (Span(at),)
        if at - spans[-1].since >= SPAN:
            # After a gap, as while noded was away, what comes is of the whole gap.
            before = spans[-1:] if at - spans[-1].since < 2 * SPAN else ()
            spans = (*before, Span(self.looked_at))
        spans = (*spans[:-1], replace(spans[-1], work=spans[-1].work + work))
        pace = Pace(self.edges, spans, at)
        return pace if answers is None or not answers.edges else pace._answering(answers)

    def _answering(self, answers: Answers) -> "Pace":
        spans = self.spans
        if answers.edges != self.edges:
            # Another build of the program tells other edges: they cannot be added up.
            nothing = (0,) * len(answers.edges)
            spans = tuple(replace(span, answered=0, within=nothing) for span in spans)
        now = spans[-1]
        within = tuple(map(sum, zip(now.within or (0,) * len(answers.edges), answers.within, strict=True)))
        now = replace(now, answered=now.answered + answers.total, within=within)
        return Pace(answers.edges, (*spans[:-1], now), self.looked_at)

    def rate(self, at: float) -> float:
        """Requests and events a second; 0 before the first second is over."""
        passed = at - self.spans[0].since if self.spans else 0.0
        return sum(span.work for span in self.spans) / passed if passed >= 1.0 else 0.0

    def quantile(self, share: float) -> float:
        """Seconds within which so large a part was answered, even between two edges; 0 when nobody tells, the
        last edge when it lies beyond."""
        told = [span for span in self.spans if span.answered and span.within]
        wanted = share * sum(span.answered for span in told)
        lower, below = 0.0, 0
        for n, edge in enumerate(self.edges if told else ()):
            count = sum(span.within[n] for span in told)
            if count >= wanted:
                return lower + (edge - lower) * (wanted - below) / (count - below) if count > below else edge
            lower, below = edge, count
        return lower
