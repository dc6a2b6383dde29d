"""An inbox that keeps everything it was given, for tests of what puts facts in."""

from typing import TypeVar

from noded.model.inputs import Input

T = TypeVar("T")


class FakeInbox:
    def __init__(self) -> None:
        self.facts: list[Input] = []

    def put(self, fact: Input) -> None:
        self.facts.append(fact)

    def all(self, kind: type[T]) -> list[T]:
        return [fact for fact in self.facts if isinstance(fact, kind)]
