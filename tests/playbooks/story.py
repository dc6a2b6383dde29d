"""A story: paragraphs of inputs, `----`, and the actions that must follow."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from noded.model.actions import Action, RenewShare
from noded.model.inputs import Input
from tests.playbooks import deeds
from tests.playbooks.facts import Desk, moment

RULE = "----"


@dataclass(frozen=True, slots=True)
class Step:
    """One paragraph. What a person wrote is kept word for word."""

    written: tuple[str, ...]
    facts: tuple[Input, ...]
    expected: tuple[str, ...]


def read(path: Path) -> tuple[Step, ...]:
    """Raises ValueError with the place when a line cannot be read."""
    desk = Desk()
    return tuple(_steps(path, desk))


def _steps(path: Path, desk: Desk) -> Iterator[Step]:
    for number, paragraph in enumerate(path.read_text().strip().split("\n\n"), 1):
        lines = [line for line in paragraph.split("\n") if line]
        cut = lines.index(RULE) if RULE in lines else len(lines)
        facts: list[Input] = []
        for line in lines[:cut]:
            if line.startswith("#"):
                continue
            try:
                facts += desk.read(line)
            except (ValueError, IndexError, KeyError) as error:
                raise ValueError(
                    f"{path.name}, paragraph {number}: cannot read {line!r}: {error!r}"
                ) from error
        yield Step(tuple(lines[:cut]), tuple(facts), tuple(lines[cut + 1 :]))


def lines_of(fact: Input, actions: Iterable[Action]) -> list[str]:
    """Renewals of a lease come every few seconds and would drown the rest."""
    return [f"{moment(fact.at)} {deeds.told(a)}" for a in actions if not isinstance(a, RenewShare)]


def write(path: Path, steps: Iterable[Step], decided: Iterable[list[str]]) -> None:
    paragraphs = []
    for step, lines in zip(steps, decided, strict=True):
        rule = [RULE, *lines] if step.facts else []
        paragraphs.append("\n".join([*step.written, *rule]))
    path.write_text("\n\n".join(paragraphs) + "\n")
