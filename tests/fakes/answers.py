"""Answers that are kept for the test instead of being sent to somebody."""

from dataclasses import dataclass, field

from noded.model.conflict import Conflict


@dataclass
class FakeAnswers:
    given: list[tuple[int, str, str, str]] = field(default_factory=list)

    def answer(
        self, request: int, kind: str, text: str, effect: str, conflicts: tuple[Conflict, ...] = ()
    ) -> None:
        self.given.append((request, kind, text, effect))
